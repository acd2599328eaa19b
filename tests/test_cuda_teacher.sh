#!/bin/bash
# teacher_dump --device cuda as a user runs it, on the execution shim: its caches equal those of the CPU within the
# tolerance of the precision, resuming gives equal bytes, and a cache belongs to the kind of device that made it.
set -u
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checks="same_as_the_cpu every_precision resumes_with_equal_bytes belongs_to_its_device works_without_cudnn
    engine_without_cudnn says_what_memory_is_missing no_gpu_is_said"

skip_all() {
    for check in $checks; do echo "ok $check # SKIP $1"; done
    exit 0
}
check() { # NAME, then a command; its output explains a failure
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then echo "ok $name"; else echo "not ok $name: $output"; fi
}
expect() { # CODE TEXT, then a command: it ends with the code and says the text
    local wanted=$1 text=$2 output code
    shift 2
    output=$("$@" 2>&1)
    code=$?
    [ $code -eq "$wanted" ] && grep -qF -- "$text" <<<"$output" && return
    echo "exit $code, wanted $wanted and '$text': $output"
    return 1
}

shim=$build/shim/teacher_dump
[ -x "$shim" ] && [ -e "$build/shim/softcache_cuda.so" ] || skip_all "no CUDA backend on the execution shim"
"$build/synthetic_images" --out "$work/data" --train 40 --val 20 --classes 10 --width 61 --height 53 >/dev/null ||
    skip_all "no synthetic photos"
export XDG_CACHE_HOME=$work/plans
teacher=tests/golden/teachers/tiny.onnx
features="--feature map0:pooled --feature map1 --feature-views 2"
dump() { # OUT, then options
    local out=$1
    shift
    "${program:-$shim}" run --data "$work/data" --teacher $teacher --out "$out" --views 3 --base 36 --quiet --teacher-check off $features "$@"
}

same() {
    dump "$work/cuda" --device cuda &&
        expect 0 "140 views rechecked, 140 identical" "$shim" recheck "$work/cuda" --teacher $teacher -n 140 --device cuda &&
        expect 0 "140 views rechecked" "$shim" recheck "$work/cuda" --teacher $teacher -n 140 --device cpu
}
check same_as_the_cpu same

precisions() {
    local precision
    for precision in fp32 tf32 bf16; do
        dump "$work/$precision" --device cuda --teacher-precision $precision --batch 7 &&
            expect 0 "made on cuda in $precision, now on cpu in fp32" \
                "$shim" recheck "$work/$precision" --teacher $teacher -n 140 --device cpu || return 1
    done
}
check every_precision precisions

resumed() {
    dump "$work/resumed" --device cuda --part 2/2 && dump "$work/resumed" --device cuda --batch 5 --threads 1 &&
        diff -r "$work/cuda" "$work/resumed"
}
check resumes_with_equal_bytes resumed

belongs() {
    expect 78 'teacher.device is "cuda" there and "cpu" here' dump "$work/cuda" --device cpu &&
        expect 78 'teacher.precision is "fp16" there and "bf16" here' \
            dump "$work/cuda" --device cuda --teacher-precision bf16 &&
        expect 78 "fp16 needs a GPU" dump "$work/other" --device cpu --teacher-precision fp16
}
check belongs_to_its_device belongs

# A folder of its own, without softcache_cudnn.so beside or above it.
alone=$work/alone/bin
mkdir -p "$alone"
cp "$shim" "$build/shim/softcache_cuda.so" "$build/softcache_onednn.so" "$alone"
without() {
    local program=$alone/teacher_dump
    dump "$work/plain" --device cuda --batch 40 &&
        expect 0 "cuda in fp32, now on cpu" "$shim" recheck "$work/plain" --teacher $teacher -n 140 --device cpu &&
        expect 0 "140 identical" "$program" recheck "$work/plain" --teacher $teacher -n 140 --device cuda &&
        expect 78 "teachers in fp16 need cuDNN: softcache_cudnn.so" \
            dump "$work/other" --device cuda --teacher-precision fp16
}
check works_without_cudnn without

engine() { # the whole test of engines again, with our own kernels
    export SOFTCACHE_TEST_CUDA=$alone/softcache_cuda.so CMOCKA_MESSAGE_OUTPUT=STDOUT
    local output
    cp "$build/tests/test_inference" "$alone" && output=$("$alone/test_inference" 2>&1) &&
        ! grep -q SKIPPED <<<"$output" || { echo "${output//not ok/failed}"; return 1; }
}
check engine_without_cudnn engine

memory() {
    SHIM_MEMORY=600000 expect 78 "GPU memory" dump "$work/other" --device cuda &&
        expect 78 "GPU memory" dump "$work/other" --device cuda --gpu-memory 600K &&
        dump "$work/small" --device cuda --gpu-memory 64M --batch 8 && diff -r "$work/cuda" "$work/small"
}
check says_what_memory_is_missing memory

no_gpu() {
    SHIM_DEVICES=0 expect 78 "device 'cuda' is not available" dump "$work/other" --device cuda &&
        SHIM_DEVICES=0 expect 78 'teacher.device is "cuda" there and "cpu" here' dump "$work/cuda" --device auto
}
check no_gpu_is_said no_gpu
