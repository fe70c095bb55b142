#!/usr/bin/env bash
# `make fuzz`: coverage-guided fuzzing of what reads strangers' bytes, all targets in turn, FUZZ_SECONDS in all.
#   FUZZ_SECONDS=3600     how long, shared by the targets
#   FUZZ_TARGETS="a b"    which; the names are those of the directories under tests/fuzz/corpus
#   FUZZ_KEEP=1           put what was new back into the corpus, minimised
# A stable compiler does: the instrumentation is LLVM's own, and libFuzzer comes as source with libfuzzer-sys.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${FUZZ_SECONDS:-600}
targets=${FUZZ_TARGETS:-$(ls tests/fuzz/corpus)}
triple=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$PWD/target/fuzz
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"

# With --target the flags are not for build scripts, which have no libFuzzer to link with.
etc/build-tools.sh
cargo build --release --locked --manifest-path tests/fuzz/Cargo.toml --target "$triple"
bin=$CARGO_TARGET_DIR/$triple/release

set -- $targets
each=$((seconds / $#))
status=0
for target in "$@"; do
    found=target/fuzz/found/$target
    log=target/fuzz/$target.log
    mkdir -p "$found" target/fuzz/artifacts
    if "$bin/$target" "$found" "tests/fuzz/corpus/$target" -max_total_time="$each" -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="target/fuzz/artifacts/$target-" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
        covered=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
        echo "fuzz: $target: $runs executions in ${each} s, $covered, no finding"
    else
        echo "fuzz: $target: a finding, see $log and target/fuzz/artifacts" >&2
        grep -m1 -A2 panicked "$log" >&2 || true
        status=1
    fi
    if [ -n "${FUZZ_KEEP:-}" ]; then
        kept=target/fuzz/kept/$target
        rm -rf "$kept"
        mkdir -p "$kept"
        "$bin/$target" -merge=1 -max_len=1500 "$kept" "tests/fuzz/corpus/$target" "$found" >/dev/null 2>&1
        cp -n "$kept"/* "tests/fuzz/corpus/$target/"
    fi
done
exit "$status"
