#!/usr/bin/env bash
# `make test`: build once, run every test of the workspace against the real binary, and say at the end, in one line each,
# what could not be run here and why, and what had to be played twice.
#
# Many tests play calls in real time. On a shared machine one of them can fail because the machine stood still. So what
# failed is played once more, alone, when everything else is done: a fault of ours fails again, and what passed then is named.
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

# The load test mostly waits (for ports to drain): it runs while the other tests are compiled. Asked for as a part of the
# whole workspace, so that crates are built with the features they have there, and once.
load=a_thousand_calls_each_way_at_50_a_second_leave_nothing_behind
cargo test --locked --workspace --test e2e_load --no-run
cargo test --locked --workspace --test e2e_load -- --nocapture >target/load.txt 2>&1 &
loading=$!
trap 'kill $loading 2>/dev/null || true' EXIT

status=0
log=target/tests.txt
: >"$log"
cargo test --locked --workspace --no-run || exit
# Calls in real time mostly wait: more of them at once than there are processors.
cargo test --locked --workspace --no-fail-fast -- --skip "$load" --test-threads "$(($(nproc) * 2))" 2>&1 | tee "$log" || status=$?
wait $loading || { status=$?; echo "test $load ... FAILED" >>"$log"; }
trap - EXIT
cat target/load.txt

# Only verdicts of tests that have a name can be asked for again; a program that was killed or aborted gave none.
again=()
if [ "$status" != 0 ] && ! grep -qE "didn't exit successfully|^test .* \(line [0-9]+\).* FAILED\$" "$log"; then
    mapfile -t again < <(sed -nE 's/^test ([A-Za-z0-9_:]+)( - should panic)? \.\.\. FAILED$/\1/p' "$log" | sort -u)
fi
if [ "${#again[@]}" -gt 0 ]; then
    echo "wa-sbc: playing again, alone: ${again[*]}"
    status=0
    cargo test --locked --workspace --no-fail-fast -- --exact "${again[@]}" --test-threads 1 --nocapture || status=$?
fi

skipped=$(sort -u "$WA_SBC_SKIPS")
echo
if [ -n "$skipped" ]; then
    echo "wa-sbc: skipped here: $(paste -sd ';' <<<"$skipped" | sed 's/;/; /g')"
else
    echo "wa-sbc: nothing was skipped"
fi
if [ "${#again[@]}" -gt 0 ]; then
    echo "wa-sbc: failed once and were played again, alone: ${again[*]}"
fi
echo "wa-sbc: tests $([ "$status" = 0 ] && echo passed || echo FAILED) in $((SECONDS - started)) s"
exit "$status"
