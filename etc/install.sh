#!/usr/bin/env bash
# Installs a built wa-sbc: etc/install.sh BINARY. Used by `make install`, the Debian package and the tarball.
#   PREFIX      /usr/local    the binary, man pages, completions, documents
#   SYSCONFDIR  /etc          wa-sbc/wa-sbc.toml, written only where there is none
#   UNITDIR     PREFIX/lib/systemd/system
#   DESTDIR                   stands in front of all of them
#   STRIP                     anything: without symbols, as packages have it
# Makes no user and starts nothing: the last lines say what is left to do, unless DESTDIR is set.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${1:?usage: etc/install.sh BINARY}
PREFIX=${PREFIX:-/usr/local}
SYSCONFDIR=${SYSCONFDIR:-/etc}
DESTDIR=${DESTDIR:-}
UNITDIR=${UNITDIR:-$PREFIX/lib/systemd/system}
share=$PREFIX/share

papers=$(mktemp -d)
trap 'rm -rf "$papers"' EXIT
"$binary" papers "$papers"

put() { install -D -m "$1" "$2" "$DESTDIR$3"; }
put 0755 "$binary" "$PREFIX/bin/wa-sbc"
if [ -n "${STRIP:-}" ] && command -v strip >/dev/null; then strip --strip-unneeded "$DESTDIR$PREFIX/bin/wa-sbc"; fi
for page in "$papers"/man/man?/*; do
    section=${page##*.}
    gzip -9n "$page"
    put 0644 "$page.gz" "$share/man/man$section/${page##*/}.gz"
done
put 0644 "$papers/completions/bash/wa-sbc" "$share/bash-completion/completions/wa-sbc"
put 0644 "$papers/completions/zsh/_wa-sbc" "$share/zsh/vendor-completions/_wa-sbc"
put 0644 "$papers/completions/fish/wa-sbc.fish" "$share/fish/vendor_completions.d/wa-sbc.fish"

sed "s#^ExecStart=.*#ExecStart=$PREFIX/bin/wa-sbc run#; s#/etc/wa-sbc/#$SYSCONFDIR/wa-sbc/#" \
    "$here/systemd/wa-sbc.service" >"$papers/unit"
put 0644 "$papers/unit" "$UNITDIR/wa-sbc.service"
put 0644 "$here/systemd/sysusers.conf" "$PREFIX/lib/sysusers.d/wa-sbc.conf"

examples=$share/doc/wa-sbc/examples
put 0644 "$papers/configuration.md" "$share/doc/wa-sbc/configuration.md"
put 0644 "$here/wa-sbc.toml" "$examples/wa-sbc.toml"
put 0644 "$here/meta-networks.txt" "$examples/meta-networks.txt"
put 0644 "$here/openapi.json" "$examples/openapi.json"
put 0644 "$here/grafana/wa-sbc.json" "$examples/grafana.json"
put 0644 "$here/prometheus/alerts.yml" "$examples/prometheus-alerts.yml"
put 0755 "$here/certbot-deploy.sh" "$examples/certbot-deploy.sh"

if [ ! -e "$DESTDIR$SYSCONFDIR/wa-sbc/wa-sbc.toml" ]; then
    put 0644 "$here/unconfigured.toml" "$SYSCONFDIR/wa-sbc/wa-sbc.toml"
fi

if [ -z "$DESTDIR" ]; then
    cat <<WORDS
wa-sbc is installed in $PREFIX. What is left to do, as root:
  systemd-sysusers                                     makes the user wa-sbc
  chown root:wa-sbc $SYSCONFDIR/wa-sbc; chmod 2750 $SYSCONFDIR/wa-sbc
  wa-sbc init && wa-sbc check && wa-sbc doctor
  systemctl daemon-reload; systemctl enable --now wa-sbc
WORDS
fi
