#!/bin/bash
# scripts/bench_cpu.py with the smallest sizes: every kind of row is measured and the page written; without the others' packages it
# measures softcache alone, says why, and leaves the page alone. SOFTCACHE_PYTHON names a Python with torch, torchvision, onnx, onnxruntime, h5py.
# shellcheck disable=SC2016 # rows have backquotes
set -u
build=${BUILD:-build}
python=${SOFTCACHE_PYTHON:-python3}
if ldd "$build/student_train" | grep -qE 'lib[atu]b?san'; then
    echo "ok bench_cpu # SKIP a sanitized build needs too long"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check() { # NAME, then a command; its output explains a failure
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then echo "ok $name"; else echo "not ok $name: $output"; fi
}
bench() { # INTERPRETER OPTIONS: the smallest run
    local interpreter=$1
    shift
    # shellcheck disable=SC2086 # words
    OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 $interpreter scripts/bench_cpu.py --build "$build" --cpu-seconds --rounds 1 --seconds 0.01 \
        --photos 22 --views 2 --size 64 --student dwpw-small:32:3 --teacher resnet18 --no-compile --out "$work/page.md" "$@" >"$work/log" 2>&1 ||
        { cat "$work/log"; return 1; }
}

# A row has ours, the ratio to the best, and the state of the machine.
has_row() { # NAME NUMBERS
    grep -F "| $1" "$work/page.md" | grep -qE "^\|[^|]*\|[^|]*$2" || { echo "no row '$1' with numbers"; cat "$work/log"; return 1; }
}
every_row() {
    local all='\| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \| [^|]+ \| [0-9.]+ \| \*\*[0-9.]+\*\* \| [^|]* \| (not )?quiet' name
    bench "$python" || return 1
    for name in 'JPEG decoded' 'views rendered' 'a shard written' 'a shard read' 'teacher resnet18' '`dwpw-small` at 32, forward, fp32' \
        '`dwpw-small` at 32, backward, fp32' '`dwpw-small` at 32, step, fp32' '`dwpw-small` at 32, step, bf16' '`fit`: from start' '`fit`: peak memory' \
        '`teacher_dump run`: peak memory' 'decode, augment, teacher, student'; do
        has_row "$name" "$all" || return 1
    done
    has_row '`fit`: an epoch' '\| [-0-9.]+ \| [0-9.]+ \| [0-9.]+ ' && has_row '`teacher_dump run`: resnet18' '\| [0-9.]+ \| - \| - ' &&
        grep -qE '^The cache (of 2 views has paid after epoch|does not pay here)' "$work/page.md" &&
        grep -qE '^Written by .* torch [0-9.]+' "$work/page.md"
}
if "$python" -c 'import torch, torchvision, onnx, onnxruntime, h5py, PIL' 2>/dev/null; then
    check bench_of_every_kind_of_row every_row
else
    echo "ok bench_of_every_kind_of_row # SKIP no $python with torch, torchvision, onnx, onnxruntime and h5py (set SOFTCACHE_PYTHON)"
fi

alone() {
    rm -f "$work/page.md"
    bench "python3 -S" --only photos --only shards --only step --only teacher || return 1 # -S: without installed packages
    grep -qE 'teacher resnet18: skipped: this Python has no torch' "$work/log" && grep -q 'photos: only softcache is measured' "$work/log" &&
        grep -qE '^\| `dwpw-small` at 32, step, fp32 \| [^|]+ \| [0-9.]+ \| - \| - \| - ' "$work/log" &&
        ! grep -q '^| teacher' "$work/log" && [ ! -e "$work/page.md" ] && grep -q 'is left as it is' "$work/log" || { cat "$work/log"; return 1; }
}
check bench_without_the_others_says_so alone
