#!/usr/bin/env bash
# The long proofs: SIGKILL after every single instruction, in pairs and chains, and storms of thousands of rounds.
# PROCSHARE_SEED=N repeats a run's storms, PROCSHARE_KILLS=N says how many clients of a manager die in the one that judges histories.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --release --workspace --all-features -- --ignored --nocapture "$@"
