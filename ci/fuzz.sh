#!/usr/bin/env bash
# What anybody may send to a manager or a listener, under libFuzzer: FUZZ_SECONDS (60) for each target, or for those that are named.
# What it finds is written to fuzz/artifacts; what is worth keeping goes to fuzz/corpus, which every run of the tests replays.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "skipped: cargo-fuzz is not installed (cargo install cargo-fuzz; rustup toolchain install nightly)"
    exit 0
fi
for target in "${@:-frames values handshake store}"; do
    for one in $target; do
        echo "== $one"
        # New inputs are kept apart: fuzz/corpus is written by hand.
        mkdir -p "fuzz/artifacts/found/$one"
        cargo +nightly fuzz run "$one" "fuzz/artifacts/found/$one" "fuzz/corpus/$one" -- \
            -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1
    done
done
