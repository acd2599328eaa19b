#!/bin/bash
# Writes docs/teachers.md and docs/students.md: which PyTorch models run as teachers, and which nets train as students and come home.
# usage: scripts/zoo.sh teachers|students [options of scripts/zoo/teachers.py or students.py]
# SOFTCACHE_PYTHON: a Python with torch, torchvision, timm, onnx, onnxscript, onnxruntime, safetensors and pillow. Hundreds of exports take an hour
# or more; a run that was stopped continues where it was, with build/zoo_teachers.jsonl or build/zoo_students.jsonl: remove it to start again.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
python=${SOFTCACHE_PYTHON:-python3}
what=${1:-}
shift || true
machine=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
case $what in
teachers)
    make -s programs "$build/tests/bench_teacher"
    "$python" scripts/zoo/teachers.py --build "$build" --results "$build/zoo_teachers.jsonl" --machine "$(nproc) processors of $machine" \
        --out docs/teachers.md "$@"
    ;;
students)
    make -s programs
    "$python" scripts/zoo/students.py --build "$build" --results "$build/zoo_students.jsonl" --out docs/students.md "$@"
    ;;
*)
    sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0"
    exit 64
    ;;
esac
