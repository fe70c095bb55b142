#!/usr/bin/env bash
# Walks docs/install.md literally: installs the package with dpkg into a root of its own (an overlay over this machine's, in
# namespaces of its own, with a network of its own) and runs every block marked ```sh there.
#   tests/install/walk.sh PACKAGE DOCUMENT CERTIFICATE KEY AUTHORITY
# Writes "== N" before what block N says and "-- N status" behind it. Nothing of this machine is touched. Needs root.
set -euo pipefail

if [ "${1:-}" != inside ]; then
    exec unshare --mount --net --pid --fork --kill-child "$0" inside "$@"
fi
shift
package=$1 document=$2 certificate=$3 key=$4 authority=$5

base=$(mktemp -d)
mount -t tmpfs none "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
mount -t proc proc "$base/root/proc"
mount --rbind /dev "$base/root/dev"
mount -t tmpfs none "$base/root/run"
mount -t tmpfs none "$base/root/tmp"

# The machine of the document: two addresses, a name, a certificate of an authority this machine trusts.
ip link set lo up
for address in 203.0.113.7 10.0.0.5 10.0.0.20; do ip address add "$address/32" dev lo; done
printf '127.0.0.1 localhost\n203.0.113.7 sbc.example.com\n203.0.113.99 wa.meta.vc\n' >"$base/root/etc/hosts"
home=$base/root/tmp/home
mkdir -m 0755 "$home"
cp "$package" "$home/$(grep -o 'wa-sbc_[^ ]*\.deb' "$document" | head -1)"
echo given-by-meta >"$home/sip-password"
mkdir -p "$base/root/etc/ssl/certs"
cp "$authority" "$base/root/etc/ssl/certs/ca-certificates.crt"
cp "$certificate" "$home/fullchain.pem"
cp "$key" "$home/key.pem"
cp "$document" "$home/document.md"
cp "$(dirname "${BASH_SOURCE[0]}")/walker.sh" "$home/"
exec chroot "$base/root" /bin/bash -c 'cd /tmp/home && exec bash ./walker.sh'
