#!/usr/bin/env bash
# The independent programs that judge wa-sbc in tests/tests/interop*.rs. Installs what is missing where it may
# (root and apt), otherwise prints the missing names; fails only when CI=true or WA_SBC_REQUIRE_TOOLS=1.
set -euo pipefail

# program:Debian package
wanted=(
    sipp:sip-tester
    kamailio:kamailio
    baresip:baresip-core
    tshark:tshark
    openssl:openssl
    ip:iproute2
    runuser:util-linux
    unshare:util-linux
    systemd-analyze:systemd
    git:git
    psql:postgresql-client
    pebble:pebble
    curl:curl
    setpriv:util-linux
)
# Files of a package that has no program of its own.
files=(
    "*/kamailio/modules/tls.so:kamailio-tls-modules"
    "*/kamailio/modules/uuid.so:kamailio-extra-modules"
    "*/libsrtp2.so:libsrtp2-dev"
    "postgresql/*/bin/initdb:postgresql"
)

missing() {
    local pair
    for pair in "${wanted[@]}"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
    done
    for pair in "${files[@]}"; do
        compgen -G "/usr/lib/${pair%%:*}" >/dev/null || compgen -G "/usr/lib${pair%%:*}" >/dev/null \
            || echo "${pair##*:}"
    done
}

packages=$(missing | sort -u)
[ -z "$packages" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "wa-sbc: installing" $packages
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
    packages=$(missing)
    [ -z "$packages" ] && exit 0
fi

echo "wa-sbc: missing Debian packages:" $packages "(as root: make install-tools)" >&2
if [ "${CI:-}" = true ] || [ "${WA_SBC_REQUIRE_TOOLS:-}" = 1 ]; then exit 1; fi
