#!/bin/sh
# Trains the teacher of `make demo` with softcache itself and writes it to scripts/demo/fashion-mnist-teacher.onnx.
# Data: Fashion-MNIST's 60,000 training images, lightly augmented. Training: cross-entropy with label smoothing, one cosine.
# The same build on the same kind of processor gives the same bytes.
# usage: scripts/train_demo_teacher.sh [EPOCHS]
set -eu
cd "$(dirname "$0")/.."
epochs=${1:-16}
data=${DATA:-/usr/share/datasets/fashion-mnist}
work=${WORK:-build/demo-teacher}

make --no-print-directory all
build/teacher_dump run --data "$data" --teacher none --out "$work/cache" \
    --views 30 --augment 'random_crop(padding=2)+hflip(p=0.5)'
build/student_train fit --cache "$work/cache" --student scripts/demo/fashion-mnist-teacher.net --max-params 500000 \
    --loss 'ce(label_smoothing=0.05)' --epochs "$epochs" --batch 128 --optimizer adamw --lr 3e-3 --weight-decay 0.02 \
    --schedule cosine --warmup-epochs 1 --ema 0.998 --out "$work/run" --resume
build/student_train eval --run "$work/run" --cache "$work/cache"
build/student_train export --run "$work/run" --out "$work/export"
cp "$work/export/student.onnx" scripts/demo/fashion-mnist-teacher.onnx
ls -l scripts/demo/fashion-mnist-teacher.onnx
