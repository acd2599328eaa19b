#!/bin/sh
# The demo: runs the teacher of this repository once over 4 augmented views of Fashion-MNIST's 60,000 images. Then trains two
# students of under 60,000 parameters, one from the labels alone and one from the cache, and prints a table.
# usage: scripts/demo.sh [FOLDER]      (the Makefile has built the programs)
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
out=${1:-$build/demo}
data=${DATA:-/usr/share/datasets/fashion-mnist}
teacher=scripts/demo/fashion-mnist-teacher.onnx
rm -rf "$out"
mkdir -p "$out"

say() { printf '\n== %s\n' "$*"; }

say "the teacher, once: $teacher over 4 views of every image"
"$build"/teacher_dump run --data "$data" --teacher "$teacher" --out "$out/cache" \
    --views 4 --augment 'random_crop(padding=2)+hflip(p=0.5)'

train() {
    say "student: --loss '$2'"
    "$build"/student_train fit --cache "$out/cache" --student dwpw --loss "$2" --epochs 5 \
        --lr 6e-3 --schedule cosine --warmup-epochs 1 --out "$out/$1"
}
train ce ce
train kd '0.1*ce + 0.9*kd(T=4)'

say 'side by side (Fashion-MNIST, 10,000 test images)'
"$build"/student_train compare --cache "$out/cache" --run "$out/ce" --run "$out/kd"
echo "reports: $out/ce/report.html $out/kd/report.html"
