#!/bin/bash
# From timm.create_model to a trained student back in PyTorch. README.md explains each step.
# usage: docs/pytorch/walk.sh PHOTOS OUT
#   PHOTOS   train/CLASS/*.jpg and val/CLASS/*.jpg, of 11 classes
#   OUT      a new folder for everything
# Variables: MODEL (timm's name), CHECKPOINT (its state_dict), CLASSES, SIZE, VIEWS, EPOCHS, SOFTCACHE_PYTHON
set -eu
photos=$1 out=$2
here=$(dirname "$0")
root=$here/../..
build=${BUILD:-$root/build}
python=${SOFTCACHE_PYTHON:-python3}
model=${MODEL:-resnet18} checkpoint=${CHECKPOINT:-} classes=${CLASSES:-11} size=${SIZE:-224} views=${VIEWS:-8} epochs=${EPOCHS:-100}
mkdir -p "$out"

echo "== 1. the teacher as ONNX"
"$python" "$root/scripts/export_teacher.py" --model "timm:$model" --classes "$classes" ${checkpoint:+--checkpoint "$checkpoint"} \
    --size "$size" --out "$out/teacher.onnx"

echo "== 2. the teacher's answers, once"
"$build/teacher_dump" run --data "$photos" --teacher "$out/teacher.onnx" --out "$out/cache" --size "$size" --views "$views" --augment light

echo "== 3. the student as ONNX"
"$python" "$root/scripts/export_student.py" --model "$here/my_student.py:make_student" --size "$size" --out "$out/student.onnx"

echo "== 4. training, as often as you like"
"$build/student_train" fit --cache "$out/cache" --student "$out/student.onnx" --loss '0.1*ce + 0.9*kd(T=4)' --epochs "$epochs" --out "$out/run"

echo "== 5. the student back in PyTorch"
"$build/student_train" export --run "$out/run" --out "$out/exported"
"$python" "$root/scripts/export_student.py" --model "$here/my_student.py:make_student" --load "$out/exported/student.safetensors" --save "$out/student.pt"
