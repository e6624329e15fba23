#!/usr/bin/env bash
# redis-benchmark against a real redis-server and against the example `switchboard`, in turn, three times each:
# medians and ratios. Ends the two servers that it starts and nothing else.
#
#     cargo build --release --example switchboard && benches/redis.sh
#
# REDIS_PORT and SWITCHBOARD_PORT choose the ports, SWITCHBOARD the binary, REQUESTS and ROUNDS the size.
set -euo pipefail

redis_port=${REDIS_PORT:-16379}
switchboard_port=${SWITCHBOARD_PORT:-16380}
switchboard=${SWITCHBOARD:-${CARGO_TARGET_DIR:-target}/release/examples/switchboard}
requests=${REQUESTS:-1000000}
rounds=${ROUNDS:-3}

for program in redis-server redis-benchmark redis-cli; do
    command -v "$program" >/dev/null || { echo "$program is not installed" >&2; exit 1; }
done
[ -x "$switchboard" ] || {
    echo "$switchboard is not there: cargo build --release --example switchboard" >&2
    exit 1
}

work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT

# Somebody else's server on the port would be measured in the place of ours.
for port in "$redis_port" "$switchboard_port"; do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "port $port is in use: choose another with REDIS_PORT or SWITCHBOARD_PORT" >&2
        exit 1
    fi
done

redis-server --port "$redis_port" --save "" --appendonly no --dir "$work" >"$work/redis.log" 2>&1 &
started+=($!)
"$switchboard" --port "$switchboard_port" >"$work/switchboard.log" 2>&1 &
started+=($!)

await() { # name port
    for _ in $(seq 100); do
        if [ "$(redis-cli -p "$2" ping 2>/dev/null)" = PONG ]; then return; fi
        sleep 0.1
    done
    echo "$1 does not answer PING on port $2:" >&2
    tail -n 20 "$work/$1.log" >&2
    exit 1
}
await redis "$redis_port"
await switchboard "$switchboard_port"

measure() { # name port
    redis-benchmark -p "$2" -t get,set -r 100000 -P 16 -c 50 -n "$requests" -q --csv 2>/dev/null |
        tr -d '"\r' | awk -F, -v name="$1" '$1 == "GET" || $1 == "SET" { print name, $1, $2 }' >>"$work/results"
}

for round in $(seq "$rounds"); do
    # In alternating order, so that a machine that slows down favours nobody.
    if [ $((round % 2)) = 1 ]; then
        measure redis "$redis_port"
        measure switchboard "$switchboard_port"
    else
        measure switchboard "$switchboard_port"
        measure redis "$redis_port"
    fi
done

median() { # name command
    awk -v name="$1" -v command="$2" '$1 == name && $2 == command { print $3 }' "$work/results" | sort -n |
        awk '{ at[NR] = $1 } END { print NR % 2 ? at[(NR + 1) / 2] : (at[NR / 2] + at[NR / 2 + 1]) / 2 }'
}

printf '%-8s %16s %16s %8s\n' command redis switchboard ratio
for command in SET GET; do
    redis=$(median redis "$command")
    ours=$(median switchboard "$command")
    awk -v command="$command" -v redis="$redis" -v ours="$ours" \
        'BEGIN { printf "%-8s %14.0f/s %14.0f/s %8.2f\n", command, redis, ours, ours / redis }'
done
