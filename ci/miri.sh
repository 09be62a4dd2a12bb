#!/usr/bin/env bash
# The objects and the contract of the operating system under Miri, on the heap backend: undefined behaviour, data races, and
# weak memory with one seed; MIRI_SEEDS=0..64 tries that many.
set -euo pipefail
cd "$(dirname "$0")/.."
# Handles that were sent away pin their objects until the process ends, on purpose.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks ${MIRI_SEEDS:+-Zmiri-many-seeds=$MIRI_SEEDS} ${MIRIFLAGS:-}"
target="${CARGO_TARGET_DIR:-target}/miri"
cargo +nightly miri test --quiet -p procshare --features heap --target-dir "$target" --lib -- sys:: "$@"
cargo +nightly miri test --quiet -p procshare --features heap --target-dir "$target" --test heap -- "$@"
