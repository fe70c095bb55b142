#!/usr/bin/env bash
# Sees to what a build needs besides Rust: a C compiler (for ring and libopus) and cmake (for libopus).
# Installs them where it may (root and apt; cmake else through pip), otherwise says in one line what to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    echo "wa-sbc: cargo is in ~/.cargo/bin but not in PATH; run: . ~/.cargo/env" >&2
    exit 1
fi
if ! command -v cargo >/dev/null; then
    echo "wa-sbc: Rust 1.95 or later is needed and 'cargo' was not found; install it with rustup, then try again" >&2
    exit 1
fi

apt_may() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
apt_add() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if ! command -v cc >/dev/null; then
    if apt_may; then
        echo "wa-sbc: installing a C compiler (build-essential)"
        apt_add build-essential
    else
        echo "wa-sbc: a C compiler is needed; as root: apt-get install build-essential" >&2
        exit 1
    fi
fi

# The Makefile puts this directory into PATH.
own=target/tools/cmake/data/bin/cmake
if ! command -v cmake >/dev/null && [ ! -x "$own" ]; then
    if apt_may && echo "wa-sbc: installing cmake" && apt_add cmake; then
        :
    elif python3 -m pip --version >/dev/null 2>&1 \
        && echo "wa-sbc: installing cmake into target/tools" \
        && PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --target target/tools cmake && [ -x "$own" ]; then
        :
    else
        echo "wa-sbc: cmake is needed to build libopus; as root: apt-get install cmake" >&2
        exit 1
    fi
fi
