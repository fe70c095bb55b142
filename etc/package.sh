#!/usr/bin/env bash
# Makes a Debian package of a built wa-sbc: etc/package.sh BINARY DIRECTORY; prints the package's path.
# Needs dpkg-deb, which every Debian has, and no network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=$(realpath "${1:?usage: etc/package.sh BINARY DIRECTORY}")
out=${2:?usage: etc/package.sh BINARY DIRECTORY}
version=$("$binary" --version | sed -n 's/^wa-sbc //p')
architecture=$(dpkg --print-architecture)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || date +%s)}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 0755 "$root"
STRIP=1 DESTDIR=$root PREFIX=/usr UNITDIR=/lib/systemd/system "$here/install.sh" "$binary"

doc=$root/usr/share/doc/wa-sbc
install -m 0644 "$here/debian/copyright" "$doc/copyright"
gzip -9nc "$here/../CHANGELOG.md" >"$doc/changelog.gz"
chmod 0644 "$doc/changelog.gz"

# The oldest C library that has all symbols the binary asks for.
libc=$(grep -aoE 'GLIBC_2\.[0-9]+' "$root/usr/bin/wa-sbc" | sort -uV | tail -1 | sed 's/GLIBC_//')
install -d -m 0755 "$root/DEBIAN"
sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@LIBC@/${libc:-2.36}/" \
    -e "s/@SIZE@/$(du -ks --exclude=DEBIAN "$root" | cut -f1)/" "$here/debian/control" >"$root/DEBIAN/control"
echo /etc/wa-sbc/wa-sbc.toml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 0755 "$here/debian/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find . -type f -not -path './DEBIAN/*' -not -path './etc/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
    >"$root/DEBIAN/md5sums"
chmod 0644 "$root"/DEBIAN/{control,conffiles,md5sums}

mkdir -p "$out"
package=$out/wa-sbc_${version}_${architecture}.deb
dpkg-deb --root-owner-group -Zxz -z3 --build "$root" "$package" >/dev/null
echo "$package"
