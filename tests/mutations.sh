#!/usr/bin/env bash
# Breaks core and media on purpose, one rule at a time, and asks the scenes, or the test a mutation names, whether they notice.
#
#   tests/mutations.sh              every mutation under tests/mutations: one after the other into a copy of the sources, the
#                                   scenes built and played; at least one has to fail, and is named
#   tests/mutations.sh NAME...      these only
#   tests/mutations.sh --check      only whether every mutation still fits the sources, exactly once (part of tests/shape.sh)
#
# A mutation is a file: the rule it breaks, the source it changes, the tests that are to notice where it is not the scenes, the
# lines that stand there (-) and what stands there instead (+). Each costs the build of a few crates, 20 to 60 s; so this is no
# part of `make test`. The copy and what is built of it stand in target/mutations.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
tree=$root/target/mutations/tree

# What a mutation says: rule, file, judge; was and now are whole lines.
read_mutation() {
    local line
    rule='' file='' judge='-p tests --test scenes' was='' now=''
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            'rule '*) rule=${line#rule } ;;
            'file '*) file=${line#file } ;;
            'test '*) judge=${line#test } ;;
            '-' | '- '*) line=${line#-} was+=${line# }$'\n' ;;
            '+' | '+ '*) line=${line#+} now+=${line# }$'\n' ;;
            *) echo "mutations: $1 has a line that says nothing: $line" >&2 && return 1 ;;
        esac
    done <"$1"
    [ -n "$rule" ] && [ -n "$file" ] && [ -n "$was" ] || { echo "mutations: $1 lacks a rule, a file or lines" >&2 && return 1; }
}

# The source with the mutation in it, on stdout; fails unless the lines stand there exactly once.
mutated() {
    local text rest
    [ -f "$1/$file" ] || return 1
    text=$'\n'$(<"$1/$file")$'\n'
    [[ $text == *$'\n'"$was"* ]] || return 1
    rest=${text#*$'\n'"$was"}
    [[ $'\n'$rest != *$'\n'"$was"* ]] || return 1
    text=${text/$'\n'"$was"/$'\n'"$now"}
    printf '%s' "${text#$'\n'}"
}

check() {
    local mutation broken=0 count=0
    for mutation in tests/mutations/*; do
        read_mutation "$mutation" || { broken=1 && continue; }
        count=$((count + 1))
        mutated "$root" >/dev/null || {
            echo "mutations: $mutation no longer fits $file: its lines (-) do not stand there exactly once; have both say the same again" >&2
            broken=1
        }
    done
    [ "$count" -ge 90 ] || { echo "mutations: only $count of them" >&2 && broken=1; }
    return $broken
}

if [ "${1:-}" = --check ]; then
    check
    exit
fi
check

chosen=("$@")
if [ ${#chosen[@]} = 0 ]; then
    # Those that need more than the scenes come last.
    mapfile -t chosen < <(grep -L '^test ' tests/mutations/* && grep -l '^test ' tests/mutations/*)
fi
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -coz --exclude-standard | xargs -0 cp --parents -p -t "$tree"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/mutations/built}
log=$root/target/mutations/log.txt
survived=()
for mutation in "${chosen[@]}"; do
    name=${mutation##*/}
    read_mutation "tests/mutations/$name"
    mutated "$tree" >"$tree/mutated"
    mv "$tree/$file" "$tree/original"
    mv "$tree/mutated" "$tree/$file"
    began=$SECONDS
    # shellcheck disable=SC2086  # the judge is several words
    if ! (cd "$tree" && cargo test --locked $judge --no-run) >"$log" 2>&1; then
        grep -A6 '^error' "$log" | head -20 >&2 || true
        echo "BROKEN    $name does not compile: it proves nothing"
        survived+=("$name")
        mv "$tree/original" "$tree/$file"
        touch "$tree/$file"
        continue
    fi
    # The first red test is enough; what is played after it is not waited for.
    # shellcheck disable=SC2086
    red=$( (cd "$tree" && RUST_BACKTRACE=0 timeout 240 cargo test --locked $judge 2>/dev/null || [ $? != 124 ] || echo "test a_scene_that_never_ends ... FAILED") \
        | sed -nE '/^test ([A-Za-z0-9_:]+) \.\.\. FAILED$/ { s//\1/p; q }' || true)
    if [ -n "$red" ]; then
        echo "caught    $name ($rule): $red, $((SECONDS - began)) s"
    else
        echo "SURVIVED  $name ($rule), $((SECONDS - began)) s"
        survived+=("$name")
    fi
    # Touched, so that cargo sees that it changed back.
    mv "$tree/original" "$tree/$file"
    touch "$tree/$file"
done
if [ ${#survived[@]} -gt 0 ]; then
    echo "wa-sbc: nobody noticed ${survived[*]}"
    exit 1
fi
echo "wa-sbc: every one of ${#chosen[@]} mutations was caught"
