#!/bin/bash
# docs/pytorch/walk.sh: from a timm model to a trained student back in PyTorch, with small data; and a few nets of scripts/zoo.
set -u
build=${BUILD:-build}
export BUILD=$PWD/$build SOFTCACHE_PYTHON=${SOFTCACHE_PYTHON:-python3}
case $build in /*) BUILD=$build ;; esac
if ! "$SOFTCACHE_PYTHON" -c 'import torch, timm, onnx, onnxruntime, safetensors' 2>/dev/null; then
    echo "ok pytorch_walk # SKIP no python3 with torch, timm, onnx, onnxruntime and safetensors (set SOFTCACHE_PYTHON)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$build/synthetic_images" --out "$work/photos" --train 22 --val 11 --classes 11 --width 48 --height 40 >/dev/null
if MODEL=resnet10t SIZE=32 VIEWS=1 EPOCHS=1 docs/pytorch/walk.sh "$work/photos" "$work/walk" >"$work/log" 2>&1 &&
    grep -q 'student.safetensors fits the module: 20173 parameters' "$work/log"; then
    echo "ok pytorch_walk"
else
    echo "not ok pytorch_walk: $(tail -3 "$work/log" | tr '\n' ' ')"
fi
# One net of each kind of step, by both exporters: weights as PyTorch trains them, home strictly.
nets=(batch_norm_relu silu gelu prelu_channels squeeze_excite group_norm)
torchscript=(shufflenet_v2 convnext)
come_home() { # EXPORTER NET...
    local exporter=$1
    shift
    "$SOFTCACHE_PYTHON" scripts/zoo/students.py --build "$build" "${@/#/--net=}" --exporter "$exporter" >>"$work/students" 2>&1 &&
        grep -q "^$# of $# exports" "$work/students"
}
if come_home "dynamo, not optimised" "${nets[@]}" && come_home "TorchScript, training" "${nets[@]}" "${torchscript[@]}"; then
    echo "ok students_come_home"
else
    echo "not ok students_come_home: $(grep -v '^\[' "$work/students" | tail -25 | tr '\n' ';')"
fi
