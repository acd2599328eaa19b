#!/bin/bash
# Runs fuzzers one after the other. Their corpus starts with tests/corpus and other files of this repository, and is kept between runs.
# usage: scripts/run_fuzzers.sh [--seconds N] [--runs N] FUZZER...     each until N runs are done or N seconds are over; 0: no limit
# environment: FUZZ_OWN_SEEDS=1   leaves out files that are not of this project (models of libonnx-testdata): for scripts/fuzz_corpus.sh
#              FUZZ_SEED=N        of the fuzzer's drawing (libFuzzer draws one; it is printed)
# Prints for each reader how many runs were made, in how many seconds, and how many inputs are kept; then the sum.
set -u
seconds=0 runs=0
while [ $# -gt 1 ]; do
    case $1 in
    --seconds) seconds=$2 ;;
    --runs) runs=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ "$seconds" -gt 0 ] || [ "$runs" -gt 0 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
limits=(-max_total_time="$seconds")
[ "$runs" -eq 0 ] || limits+=(-runs="$runs")
failed=0 sum=0
for fuzzer in "$@"; do
    name=${fuzzer##*/fuzz_}
    folder=$(dirname "$fuzzer")/../corpus/$name
    mkdir -p "$folder" "$folder-found"
    case $name in
    net) seeds=$(find student_train tests -name '*.net') ;;
    image) seeds=$(find tests/golden/evaluation_views tests/golden/image_files -type f) ;;
    onnx) seeds=$(find tests -name '*.onnx' -size -64k; [ -n "${FUZZ_OWN_SEEDS-}" ] || find /usr/share/libonnx-testdata/data -name '*conv*' -prune -exec find {} -name model.onnx \; 2>/dev/null) ;;
    safetensors) seeds=$(find tests -name "*.safetensors" -size -64k) ;;
    manifest) seeds=$(find . -name cache.json -size -64k | head -20) ;; # of caches that were made here, by make demo
    answers)
        seeds=$(find tests -name answers.json)
        printf '{"answers": "%064d", "split": "train", "first": 3, "count": 2, "sha256": "%064d"}\n' 0 1 >"$folder/head"
        head -c 160 /dev/zero >>"$folder/head" # two views of 10 logits, with the feature's 36 values and 6 scales
        ;;
    shard | dataset | run) # they make their own
        seeds=
        if ! FUZZ_SEEDS=$folder "$fuzzer" -runs=0 >"$folder.log" 2>&1; then
            tail -5 "$folder.log"
            echo "not ok fuzz_$name: makes no seeds"
            failed=1
            continue
        fi
        ;;
    gzip)
        seeds=
        printf 'a short text, a short text, a short text' | gzip -9n >"$folder/short"
        head -c 3000 Makefile | gzip -9 >"$folder/named"
        ;;
    text)
        seeds=
        printf 'random_resized_crop(scale=0.7:1.0)+hflip(p=0.5)+rotate(180)+affine(30)+color_jitter(0.4)+erase(p=0.5)' >"$folder/recipe"
        printf '0.1*ce(label_smoothing=0.1) + 0.9*kd(T=4, reduction=mean)' >"$folder/loss"
        printf '[fit]\nepochs = 3\n# comment\nout = " run"\n' >"$folder/ini"
        ;;
    *) seeds= ;;
    esac
    number=0
    for seed in $seeds; do
        number=$((number + 1))
        cp -n "$seed" "$folder/seed-$number"
    done
    log=$folder.log kept=()
    [ ! -d "tests/corpus/$name" ] || kept=("tests/corpus/$name")
    if "$fuzzer" "${limits[@]}" ${FUZZ_SEED:+-seed=$FUZZ_SEED} -max_len=65536 -timeout=20 -rss_limit_mb=4096 -artifact_prefix="$folder-found/" \
        "$folder" "${kept[@]}" >"$log" 2>&1; then
        read -r made took < <(sed -nE 's/^Done ([0-9]+) runs in ([0-9]+) .*/\1 \2/p' "$log")
        sum=$((sum + made))
        echo "ok fuzz_$name: $made runs in $took s, seed $(sed -nE 's/^INFO: Seed: //p' "$log"), $(ls "$folder" | wc -l) inputs kept"
    else
        failed=1
        tail -40 "$log"
        echo "not ok fuzz_$name: see $log; inputs that failed: $folder-found/"
    fi
done
echo "$sum runs of $# readers ended without a finding"
exit $failed
