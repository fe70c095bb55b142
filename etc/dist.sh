#!/usr/bin/env bash
# Makes what is given away: etc/dist.sh BINARY DIRECTORY. A tarball of the sources, one of the installed files, the Debian
# package where dpkg-deb is, and SHA256SUMS. The same commit and binary give the same bytes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=$(realpath "${1:?usage: etc/dist.sh BINARY DIRECTORY}")
mkdir -p "${2:?usage: etc/dist.sh BINARY DIRECTORY}"
out=$(realpath "$2")
cd "$here/.."
version=$("$binary" --version | sed -n 's/^wa-sbc //p')
machine=$(uname -m)-linux
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

name=wa-sbc-$version
git archive --format=tar --prefix="$name/" HEAD | gzip -9n >"$out/$name.tar.gz"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
STRIP=1 DESTDIR=$root/$name-$machine PREFIX=/usr/local etc/install.sh "$binary"
cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$root/$name-$machine/"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$root" -cf - "$name-$machine" \
    | gzip -9n >"$out/$name-$machine.tar.gz"

made=("$name.tar.gz" "$name-$machine.tar.gz")
if command -v dpkg-deb >/dev/null; then
    made+=("$(basename "$(etc/package.sh "$binary" "$out")")")
fi
cd "$out"
sha256sum "${made[@]}" >SHA256SUMS
cat SHA256SUMS
