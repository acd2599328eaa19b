#!/bin/bash
# Training steps of the preset `speed` at 224x224, batch 128: our kernels and PyTorch's in turn, three times, so that
# both meet the same changes of the machine's speed. Prints the median of each, and their ratio. Needs a python3 with torch
# (SOFTCACHE_PYTHON names another one); otherwise it says that it is skipped.
# usage: scripts/bench_against_pytorch.sh [SECONDS]     SECONDS of each measurement (5)
set -u
cd "$(dirname "$0")/.." || exit 66
python=${SOFTCACHE_PYTHON:-python3}
bench=${BUILD:-build}/tests/bench_train
seconds=${1:-5}
if ! "$python" -c 'import torch' 2>/dev/null; then
    echo "comparison with PyTorch skipped: $python has no torch (SOFTCACHE_PYTHON names another)"
    exit 0
fi
threads=2
ours=() theirs=()
for _ in 1 2 3; do
    ours+=("$("$bench" "$seconds" 0 | sed -nE "s/.* $threads threads, .*: ([0-9]+) images\/s.*/\1/p" | head -1)")
    theirs+=("$("$python" scripts/bench_pytorch.py --threads "$threads" --seconds "$seconds" | sed -nE 's/.*: ([0-9]+) images\/s/\1/p')")
    echo "softcache ${ours[-1]} images/s, PyTorch ${theirs[-1]} images/s"
done
median() { printf '%s\n' "$@" | sort -n | sed -n 2p; }
a=$(median "${ours[@]}") b=$(median "${theirs[@]}")
awk -v a="$a" -v b="$b" -v t="$threads" 'BEGIN {
    printf "speed student, 224x224, batch 128, %d threads: softcache %d images/s, PyTorch %d images/s, %.2f times as fast\n", t, a, b, a / b }'
