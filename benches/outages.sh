#!/usr/bin/env bash
# How long clients are not served while replicas die, stop, or are cut off: real processes on hosts of their own (network
# namespaces; root, ip and nft), 20 samples of each scenario, against the goals. Takes about a quarter of an hour.
#
#   benches/outages.sh                            all scenarios
#   VR_OUTAGES_SAMPLES=5 benches/outages.sh       fewer samples
#   VR_OUTAGES_ONLY=deaf benches/outages.sh       the scenarios with this in their name
set -euo pipefail
cd "$(dirname "$0")/.."
export VR_TESTS_REQUIRE_NAMESPACES=1
cargo test --release --quiet -p viewstamped-cli --test network -- --ignored --exact outages::outages --nocapture
