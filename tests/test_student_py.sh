#!/bin/bash
# An exported student.py gives photos of many sizes and forms the pixels and the answers that `predict` gives them, alone
# and in torchvision's words; the ONNX file says the same about itself.
# SOFTCACHE_PYTHON: a Python with torch and Pillow (torchvision, onnxruntime and onnx are used where they are installed).
set -u
python=${SOFTCACHE_PYTHON:-python3}
build=$(cd "${BUILD:-build}" && pwd)
check=$(cd "$(dirname "$0")" && pwd)/check_student_py.py
if ! "$python" -c 'import torch, PIL' 2>/dev/null; then
    echo "ok student.py on photos # SKIP no $python with torch and Pillow (set SOFTCACHE_PYTHON)"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
"$python" "$check" make || exit 1
printf 'conv stem 8 3x3 /2 pad 1 nobias\nbn\nrelu\ndwpw block 12 /2\ngap\nfc fc classes\n' >tiny.net

# student NAME DATA SIZE OPTIONS...: a student of SIZE pixels from a cache that teacher_dump makes with OPTIONS
student() {
    name=$1 data=$2 size=$3
    shift 3
    { "$build/teacher_dump" run --data "$data" --teacher none --out "$name.cache" --views 1 --quiet "$@" &&
        "$build/student_train" fit --cache "$name.cache" --student tiny.net --loss ce --epochs 8 --lr 0.02 --batch 8 --size "$size" \
            --device cpu --quiet --out "$name.run" &&
        "$build/student_train" export --run "$name.run" --out "$name" &&
        "$build/student_train" predict --run "$name.run" --data forms --id name --probabilities --device cpu --quiet --out "$name.csv" \
            --on-bad-photo fail; } >log 2>&1 && "$python" "$check" check "$name" || { echo "not ok $name"; cat log; }
}
student same photos 48 --size 48 --base 56
student smaller photos 20 --size 48 --base 56
student larger photos 57 --size 48 --base 56
student unresized photos 32 --size 40 --base 0
student padded photos 24 --size 40 --resize pad --exif honour --mean 0.5,0.4,0.3 --std 0.2,0.3,0.4
student squashed photos 40 --size 40 --resize squash
student gray digits 12 --size 16
