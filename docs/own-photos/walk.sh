#!/bin/bash
# A walk as a newcomer: photos from a phone and a checkpoint, from nothing to a submission.csv. README.md has every message on the way.
# usage: docs/own-photos/walk.sh WORK      WORK has photos/ and best.pt (example.py makes both)
# environment: BUILD (build), SOFTCACHE_PYTHON (python3, with torch, onnx and onnxscript), EPOCHS of the student (40)
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${BUILD:-build}" && pwd)
python=${SOFTCACHE_PYTHON:-python3}
cd "$1" || exit 1

step() { printf '\n$ %s\n' "$*"; }
# Runs a command that must be refused, and shows why.
refused() { # WORDS-OF-THE-MESSAGE COMMAND...
    local words=$1 said
    shift
    step "${*/#"$build/"/}"
    said=$("$@" --quiet 2>&1) && { echo "was not refused"; exit 1; }
    echo "$said"
    [[ $said == *"$words"* ]] || { echo "does not say: $words"; exit 1; }
}
works() { # COMMAND...
    step "${*/#"$build/"/}"
    "$@" || exit 1
}

works "$python" "$here/../../scripts/export_teacher.py" --model "$here/teacher.py:make_model" --checkpoint best.pt --size 64 --out teacher.onnx

run=("$build/teacher_dump" run --data photos --teacher teacher.onnx --out cache --views 4 --augment light --base 64)
refused "--val-from train:0.1" "${run[@]}"
run+=(--val-from train:0.2)
refused "--classes natural --mean 0,0,0 --std 0.00392157,0.00392157,0.00392157" "${run[@]}"
run+=(--classes natural --mean 0,0,0 --std 0.00392157,0.00392157,0.00392157)
refused "--on-bad-image skip or salvage" "${run[@]}"
run+=(--on-bad-image salvage)
works "${run[@]}"

works "$build/student_train" fit --cache cache --student dwpw-small --loss '0.1*ce + 0.9*kd(T=4)' --epochs "${EPOCHS:-40}" --lr 5e-3 --batch 32 \
    --schedule cosine --out student --quiet
works "$build/student_train" predict --run student --data photos/test --id number --out submission.csv --quiet
step head -3 submission.csv
head -3 submission.csv
