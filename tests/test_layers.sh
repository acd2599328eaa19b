#!/bin/bash
# The layers hold, and scripts/layers.sh would notice if they did not: every kind of violation, planted in a copy.
set -u
export BUILD=$PWD/${BUILD:-build}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

if output=$(scripts/layers.sh . 2>&1); then
    echo "ok layers_hold"
else
    echo "not ok layers_hold: $output"
fi

cp -r shared formats teacher_dump student_train "$copy" 2>/dev/null
mkdir -p "$copy"/{teacher_dump,student_train,shared/{base,tensor,graph,augment,device/{cpu,cuda},training/cuda,inference,backend,new}}
touch "$copy/teacher_dump/a.h" "$copy/student_train/a.h" "$copy/shared/device/cpu/a.h" "$copy/shared/new/a.h"
plant() { # FILE INCLUDE
    echo "#include $2" >>"$copy/$1"
    planted+=("$1")
}
planted=()
plant shared/base/planted.c '"shared/tensor/image.h"'
plant shared/tensor/planted.c '"shared/graph/graph.h"'
plant shared/graph/planted.c '"shared/augment/view.h"'
plant shared/augment/planted.c '"shared/graph/graph.h"'
plant shared/device/planted.c '"formats/cache/cache.h"'
plant shared/device/cuda/planted.cu '"shared/device/cpu/a.h"'
plant shared/training/steps/planted.c '"shared/device/cuda/cuda_launch.cuh"'
plant shared/training/planted.c '"shared/inference/engine.h"'
plant shared/inference/planted.c '"shared/training/losses/losses.h"'
plant shared/new/planted.c '"shared/base/error.h"'
plant formats/planted.c '"teacher_dump/a.h"'
plant teacher_dump/planted.c '"student_train/a.h"'
plant student_train/planted.c '"teacher_dump/a.h"'
plant student_train/planted_hdf5.c '<hdf5.h>'
plant shared/base/planted_jpeg.c '<jpeglib.h>'
plant teacher_dump/planted_proto.c '<onnx/onnx.pb-c.h>'
plant formats/planted_dnnl.c '<dnnl.h>'
plant shared/training/steps/planted_cuda.c '<cuda_runtime.h>'
plant shared/graph/planted_place.c '"graph.h"'
echo "size_t needs_a_header(void);" >"$copy/shared/base/planted_alone.h"
planted+=(shared/base/planted_alone.h)
echo "static __device__ float needs_a_header(bf16 x);" >"$copy/shared/training/cuda/planted_alone.cuh"
planted+=(shared/training/cuda/planted_alone.cuh)

output=$(scripts/layers.sh "$copy" 2>&1)
code=$?
missed=
for file in "${planted[@]}"; do
    grep -q "^$file:" <<<"$output" || missed="$missed $file"
done
if [ $code -ne 1 ]; then
    echo "not ok layers_are_proved: exit code $code with planted violations"
elif [ -n "$missed" ]; then
    echo "not ok layers_are_proved: not reported:$missed"
elif ! grep -q " ${#planted[@]} violations$" <<<"$output"; then
    echo "not ok layers_are_proved: not exactly ${#planted[@]} violations: $output"
else
    echo "ok layers_are_proved"
fi
