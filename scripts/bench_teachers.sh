#!/bin/bash
# Teachers on the CPU against bare loops of Python's onnxruntime, in turn (bench_teachers.py), on torchvision's networks with random
# weights: first in our own engine, where it knows them, then run by onnxruntime inside teacher_dump.
# Needs a python3 with torch, torchvision, onnx and onnxruntime (SOFTCACHE_PYTHON names another one); otherwise it says that it is skipped.
# usage: scripts/bench_teachers.sh [MODEL...]     torchvision's names (resnet18 mobilenet_v2 efficientnet_b0 squeezenet1_1)
set -u
cd "$(dirname "$0")/.." || exit 66
python=${SOFTCACHE_PYTHON:-python3}
if ! "$python" -c 'import torch, torchvision, onnx, onnxruntime' 2>/dev/null; then
    echo "comparison with onnxruntime skipped: $python has no torch, torchvision, onnx and onnxruntime (SOFTCACHE_PYTHON names another)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- resnet18 mobilenet_v2 efficientnet_b0 squeezenet1_1
"$python" scripts/bench/export_teachers.py "$work" "$@" || exit 70
for engine in auto onnxruntime; do
    "$python" scripts/bench_teachers.py --build "${BUILD:-build}" --engine "$engine" "$work"/*.onnx || exit
done
