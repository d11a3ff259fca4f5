#!/usr/bin/env bash
# Puts of 64-byte keys and 128-byte values: three etcd nodes and three vr replicas on this machine, in turn.
# What it needs and how it calls the load generator for etcd: benches/README.md.
set -euo pipefail

: "${ETCD_LOAD:?name a load generator for etcd, see benches/README.md}"
VR_BIN=${VR_BIN:-$(dirname "$0")/../target/release/vr}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-5}
if [ "$#" -gt 0 ]; then CLIENTS=("$@"); else CLIENTS=(1 16 256); fi

for tool in etcd etcdctl python3; do
    command -v "$tool" >/dev/null || { echo "error: $tool is not installed" >&2; exit 3; }
done
[ -x "$VR_BIN" ] || { echo "error: $VR_BIN does not exist; run: cargo build --release --bin vr" >&2; exit 3; }

work=$(mktemp -d /dev/shm/compare-etcd.XXXXXX)
children=()
finish() {
    [ "${#children[@]}" -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# wait_for COMMAND...: until it succeeds, at most 30 s.
wait_for() {
    local deadline=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "error: still failing after 30 s: $*" >&2; exit 3; }
        sleep 0.1
    done
}

etcd_endpoints=127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379
start_etcd() {
    local cluster=n0=http://127.0.0.1:2380,n1=http://127.0.0.1:22380,n2=http://127.0.0.1:32380
    etcd_pids=()
    for prefix in "" 2 3; do
        local node=n${#etcd_pids[@]} client=http://127.0.0.1:${prefix}2379 peer=http://127.0.0.1:${prefix}2380
        etcd --name "$node" --data-dir "$work/$node" --logger zap --log-level warn \
            --listen-client-urls "$client" --advertise-client-urls "$client" \
            --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
            --initial-cluster "$cluster" --initial-cluster-state new >>"$work/$node.log" 2>&1 &
        etcd_pids+=($!)
    done
    children+=("${etcd_pids[@]}")
    wait_for env ETCDCTL_API=3 etcdctl --endpoints="$etcd_endpoints" endpoint health
}

vr_endpoints=127.0.0.1:4379,127.0.0.1:4389,127.0.0.1:4399
start_vr() {
    "$VR_BIN" dev --base-port 4379 --data "$work/vr" >"$work/vr.log" 2>&1 &
    children+=($!)
    wait_for "$VR_BIN" status --endpoints "$vr_endpoints"
}

load_etcd() {
    local pids
    pids=$(IFS=,; echo "${etcd_pids[*]}")
    "$ETCD_LOAD" --endpoints "$etcd_endpoints" --op put --clients "$1" --conns "$(($1 < 32 ? $1 : 32))" \
        --seconds "$SECONDS_EACH" --key-size 64 --value-size 128 --keyspace 10000 --pids "$pids"
}

load_vr() {
    "$VR_BIN" bench put --endpoints "$vr_endpoints" --clients "$1" --seconds "$SECONDS_EACH" \
        --key-size 64 --value-size 128 --keyspace 10000 -o json
}

# The idle ones cost next to nothing, so both may run all the time; only one is loaded at a time.
start_etcd
start_vr
for clients in "${CLIENTS[@]}"; do
    for round in $(seq "$ROUNDS"); do
        echo "$clients clients, round $round of $ROUNDS" >&2
        load_etcd "$clients" | sed "s/^/etcd $clients /" >>"$work/results"
        load_vr "$clients" | sed "s/^/vr $clients /" >>"$work/results"
    done
done

python3 - "$work/results" <<'PYTHON'
import json
import statistics
import sys

results = {}
for line in open(sys.argv[1]):
    system, clients, text = line.split(" ", 2)
    run = json.loads(text)
    latency = run.get("latency_us", {})
    servers = run.get("servers") or {}
    results.setdefault(int(clients), {}).setdefault(system, []).append({
        "throughput": run.get("throughput", run.get("ops_per_s")),
        "p50": latency.get("p50", run.get("p50_us")),
        "p99": latency.get("p99", run.get("p99_us")),
        "cpu": servers.get("cpu_seconds_per_100k", run.get("server_cpu_s_per_100k")),
    })

print(f"{'clients':>7}  {'system':>6}  {'puts/s':>10}  {'p50 us':>10}  {'p99 us':>10}  {'CPU s/100k':>10}")
for clients, systems in sorted(results.items()):
    medians = {}
    for system, runs in systems.items():
        medians[system] = {key: statistics.median(run[key] or float("nan") for run in runs) for key in runs[0]}
        m = medians[system]
        print(f"{clients:>7}  {system:>6}  {m['throughput']:>10.0f}  {m['p50']:>10.0f}  {m['p99']:>10.0f}  {m['cpu']:>10.2f}")
    ratio = {key: medians["vr"][key] / medians["etcd"][key] for key in medians["vr"]}
    print(f"{clients:>7}  {'ratio':>6}  {ratio['throughput']:>10.2f}  {ratio['p50']:>10.2f}  {ratio['p99']:>10.2f}  {ratio['cpu']:>10.2f}")
PYTHON
