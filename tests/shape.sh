#!/usr/bin/env bash
# The rules of docs/ARCHITECTURE.md that a compiler does not check, as plain searches over the sources.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
broken=0

# forbid WHY PATTERN PATH...: lines that match break the rule. Comments do not count, nor what follows #[cfg(test)].
forbid() {
    local why=$1 hits
    export PATTERN=$2
    shift 2
    hits=$(find "$@" \( -name '*.rs' -o -name Cargo.toml \) -not -name tests.rs -not -path '*/target/*' -print0 \
        | xargs -0 awk '
            FNR == 1 { shipped = 1 }
            /^#\[cfg\(test\)\]/ { shipped = 0 }
            shipped && $0 !~ /^ *\/\// && $0 ~ ENVIRON["PATTERN"] { print FILENAME ":" FNR ": " $0 }')
    if [ -n "$hits" ]; then
        printf 'shape: %s\n%s\n' "$why" "$hits" >&2
        broken=1
    fi
}

cores="crates/sip crates/sdp crates/media crates/b2bua crates/whatsapp"
sources=$(printf '%s/src ' $cores)
manifests=$(printf '%s/Cargo.toml ' $cores)

forbid "the cores know no runtime" '^(tokio|mio|async)[-. ]' $manifests
forbid "the cores do not read clocks; time is an argument" '(Instant|SystemTime)::now\(' $sources
forbid "the cores do not roll dice; randomness comes seeded" '(rand::|getrandom|thread_rng)' $sources
forbid "the cores open no sockets and start no threads" '(std::net::(Tcp|Udp)|thread::spawn|std::fs::)' $sources
forbid "no shared state in the cores" '(Arc<Mutex|RwLock|static mut|OnceLock|LazyLock<Mutex)' $sources
forbid "what is peculiar about Meta stands in crates/whatsapp, crates/sim, etc, docs, pcaps and tests" \
    '(wa\.meta\.vc|x-wa-meta|wacid|fbinfra)' crates/sip/src crates/sdp/src crates/media/src crates/b2bua/src
forbid "b2bua does not depend on media or whatsapp" '^(media|whatsapp)[. ]' crates/b2bua/Cargo.toml
forbid "media depends on sdp only" '^(sip|b2bua|whatsapp)[. ]' crates/media/Cargo.toml
forbid "sip and sdp depend on nothing of ours" '^(media|b2bua|whatsapp|sim|wa-sbc)[. ]' crates/sip/Cargo.toml crates/sdp/Cargo.toml
forbid "no names that say nothing" \
    '(struct|enum|trait|mod) +[A-Za-z_]*(Manager|Handler|Helper|Util|Misc)([^a-z]|$)' crates tests
forbid "no getters named get_" 'fn get_' crates/*/src
forbid "nothing is left to do" '(todo|unimplemented)!\(' crates tests

# The documents name only what is there.
for named in $(grep -rhoE '`(crates|tests|etc|docs)/[A-Za-z0-9_./-]+`' README.md CONTRIBUTING.md docs/*.md docs/adr/*.md | tr -d '`' | sort -u); do
    if [ ! -e "$named" ]; then
        echo "shape: a document names $named, which does not exist" >&2
        broken=1
    fi
done

# What breaks the core on purpose still finds what it breaks.
tests/mutations.sh --check || broken=1

if [ "$broken" = 0 ]; then echo "wa-sbc: the house has its shape"; fi
exit "$broken"
