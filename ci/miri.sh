#!/usr/bin/env bash
# The library under Miri, on the heap backend: undefined behaviour, data races, and weak memory with one seed;
# MIRI_SEEDS=0..64 tries that many. Names select tests.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "skipped: Miri is not installed (rustup toolchain install nightly --component miri,rust-src)"
    exit 0
fi
# Handles that were sent away pin their objects until the process ends, on purpose; the dead clean nothing up.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks ${MIRI_SEEDS:+-Zmiri-many-seeds=$MIRI_SEEDS} ${MIRIFLAGS:-}"
target="${CARGO_TARGET_DIR:-target}/miri"
run() {
    cargo +nightly miri test --quiet -p procshare --features heap --target-dir "$target" "$@"
}
# What compares the layout with its page finds no undefined behaviour, and takes long there.
run --lib -- --skip layout_is_documented "$@"
# Frames lie where other frames lay, so that a word may begin within what were bytes: Miri's model of weak memory stops there.
run --test heap -- --skip frames_ --skip a_pipe_ "$@"
if [ $# -eq 0 ]; then
    MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-weak-memory-emulation" run --test heap -- frames_ a_pipe_
fi
run --test races -- "$@"
