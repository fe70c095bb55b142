#!/usr/bin/env bash
# `make test`: build once, run every test of the workspace against the real binary, and say at the end, in one line,
# what could not be run here and why.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
started=$SECONDS

etc/build-tools.sh
tests/install-tools.sh
tests/shape.sh

cargo build --release --locked -p wa-sbc
export WA_SBC_BIN="$PWD/target/release/wa-sbc"
export WA_SBC_SKIPS="$PWD/target/skipped.txt"
: >"$WA_SBC_SKIPS"

status=0
cargo test --locked --workspace --no-fail-fast || status=$?

skipped=$(sort -u "$WA_SBC_SKIPS")
echo
if [ -n "$skipped" ]; then
    echo "wa-sbc: skipped here: $(paste -sd ';' <<<"$skipped" | sed 's/;/; /g')"
else
    echo "wa-sbc: nothing was skipped"
fi
echo "wa-sbc: tests $([ "$status" = 0 ] && echo passed || echo FAILED) in $((SECONDS - started)) s"
exit "$status"
