#!/bin/sh
# Gives a renewed certificate to wa-sbc. Put it into /etc/letsencrypt/renewal-hooks/deploy/ and write into wa-sbc.toml:
#     certificate = "/etc/wa-sbc/fullchain.pem"
#     key = "/etc/wa-sbc/key.pem"
# certbot names the directory of the certificate in RENEWED_LINEAGE; run it once by hand for the first one.
set -eu
lineage=${RENEWED_LINEAGE:?the directory below /etc/letsencrypt/live}
to=${WA_SBC_CERTIFICATES:-/etc/wa-sbc}
install -m 0640 -g wa-sbc "$lineage/fullchain.pem" "$to/fullchain.pem.new"
install -m 0640 -g wa-sbc "$lineage/privkey.pem" "$to/key.pem.new"
mv "$to/key.pem.new" "$to/key.pem"
mv "$to/fullchain.pem.new" "$to/fullchain.pem"
# Running calls keep theirs; new connections get the new one.
if systemctl is-active --quiet wa-sbc.service; then systemctl reload wa-sbc.service; fi
