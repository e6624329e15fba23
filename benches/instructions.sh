#!/usr/bin/env bash
# Instructions for a cast and for a call, of a server that can be upgraded beside one that cannot.
#
# Needs valgrind. Each figure is the difference of two runs, so that what is done once does not count.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "valgrind is missing: apt-get install valgrind" >&2; exit 1; }
cargo build --release --quiet -p incarnate-bench --bin incarnate-instructions
program=${CARGO_TARGET_DIR:-target}/release/incarnate-instructions

count() { # what, kind, how many
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" "$3" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

for what in cast call; do
    plain=0
    for kind in plain upgradable; do
        few=$(count "$what" "$kind" 20000)
        many=$(count "$what" "$kind" 120000)
        each=$(((many - few) / 1000))
        [ "$kind" = plain ] && plain=$each
        awk -v what="$what" -v kind="$kind" -v each="$each" -v plain="$plain" 'BEGIN {
            printf "%s %-10s %7.2f instructions, %+.2f %%\n", what, kind, each / 100, (each / plain - 1) * 100 }'
    done
done
