#!/usr/bin/env bash
# `make check`: formatting, clippy without warnings, the shape of the house, documentation without broken links,
# licences where cargo-deny is present.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
etc/build-tools.sh

cargo fmt --all --check
tests/shape.sh
cargo clippy --locked --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
if command -v cargo-deny >/dev/null; then
    cargo deny check
else
    echo "wa-sbc: cargo-deny is not installed, licences and advisories were not checked"
fi
