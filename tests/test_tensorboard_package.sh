#!/bin/bash
# TensorBoard itself reads the events of a sweep (check_tensorboard.py).
set -u
build=${BUILD:-build}
python=${SOFTCACHE_PYTHON:-python3}
if ! "$python" -c 'import tensorboard, PIL' 2>/dev/null; then
    echo "ok tensorboard_package # SKIP no python3 with tensorboard and Pillow (set SOFTCACHE_PYTHON)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'conv stem 8 3x3 /2 pad 1\nbn\nrelu\ngap\nfc fc classes\n' >"$work/tiny.net"
if "$build/synthetic_images" --out "$work/photos" --train 24 --val 12 --classes 3 --width 40 --height 36 >"$work/log" 2>&1 &&
    "$build/teacher_dump" run --data "$work/photos" --teacher none --views 1 --size 32 --out "$work/plain" --quiet >>"$work/log" 2>&1 &&
    "$build/student_train" fit --cache "$work/plain" --student "$work/tiny.net" --loss ce --epochs 1 --out "$work/teacher" --quiet >>"$work/log" 2>&1 &&
    "$build/student_train" export --run "$work/teacher" --out "$work/exported" --quiet >>"$work/log" 2>&1 &&
    "$build/teacher_dump" run --data "$work/photos" --teacher "$work/exported/student.onnx" --views 1 --size 32 --out "$work/cache" --teacher-check off \
        --quiet >>"$work/log" 2>&1 &&
    "$build/student_train" sweep --cache "$work/cache" --student "$work/tiny.net" --loss 'kd(T={T})' --grid T=1,4 --grid lr=1e-3,2e-3 --epochs 2 \
        --out "$work/sweep" --quiet >>"$work/log" 2>&1; then
    "$python" tests/check_tensorboard.py "$work/sweep" 2>"$work/errors" || echo "not ok tensorboard_package: $(tail -3 "$work/errors" | tr '\n' ' ')"
else
    echo "not ok tensorboard_package: $(tail -3 "$work/log" | tr '\n' ' ')"
fi
