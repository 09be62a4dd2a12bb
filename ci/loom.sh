#!/usr/bin/env bash
# The models: every interleaving of two or three threads in the words, with a death at every step. Names select models; see
# src/model.rs. LOOM_MAX_PREEMPTIONS=N explores further than each model's own bound.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom ${RUSTFLAGS:-}"
cargo test --quiet --release -p procshare --lib --target-dir "${CARGO_TARGET_DIR:-target}/loom" -- models:: "$@"
