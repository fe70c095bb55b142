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

# The load test mostly waits (for ports to drain): it runs while the other tests are compiled.
load=a_thousand_calls_each_way_at_50_a_second_leave_nothing_behind
cargo test --locked -p tests --test e2e_load --no-run
cargo test --locked -p tests --test e2e_load -- --nocapture >target/load.txt 2>&1 &
loading=$!
trap 'kill $loading 2>/dev/null || true' EXIT

status=0
cargo test --locked --workspace --no-run || status=$?
if [ "$status" = 0 ]; then
    cargo test --locked --workspace --no-fail-fast -- --skip "$load" || status=$?
fi
wait $loading || status=$?
trap - EXIT
cat target/load.txt

skipped=$(sort -u "$WA_SBC_SKIPS")
echo
if [ -n "$skipped" ]; then
    echo "wa-sbc: skipped here: $(paste -sd ';' <<<"$skipped" | sed 's/;/; /g')"
else
    echo "wa-sbc: nothing was skipped"
fi
echo "wa-sbc: tests $([ "$status" = 0 ] && echo passed || echo FAILED) in $((SECONDS - started)) s"
exit "$status"
