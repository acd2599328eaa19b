#!/bin/bash
# Small data for the pages of docs/tutorials: what their readers have.
# usage: tests/page_data.sh photos OUT CLASSES TRAIN VAL     train/CLASS/*, val/CLASS/* of 64x56 pixels (VAL 0: no val/)
#        tests/page_data.sh food11 OUT                       training/, validation/, evaluation/ with LABEL_INDEX.jpg, as Food-11 has them
#        tests/page_data.sh teacher DATA FILE.onnx           a teacher for it, without Python
#        tests/page_data.sh checkpoint DATA                  my_model.py and best.pt, as somebody trained them in PyTorch (needs torch)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$root/build}
case $1 in
photos)
    "$build/synthetic_images" --out "$2" --classes "$3" --train "$4" --val "$(($5 > 0 ? $5 : 1))" --width 64 --height 56 >/dev/null
    [ "$5" -gt 0 ] || rm -r "$2/val"
    ;;
food11)
    "$build/synthetic_images" --out "$2.tmp" --classes 11 --train 220 --val 77 --width 64 --height 56 >/dev/null
    mkdir -p "$2/training" "$2/validation" "$2/evaluation"
    for split in train val; do
        to=$2/training
        [ $split = train ] || to=$2/validation
        for photo in "$2.tmp/$split"/*/*.jpg; do
            class=$(basename "$(dirname "$photo")")
            mv "$photo" "$to/$((10#${class#class_}))_$((10#$(basename "$photo" .jpg))).jpg"
        done
    done
    n=0
    for photo in "$2"/validation/*_1*.jpg; do
        n=$((n + 1))
        cp "$photo" "$2/evaluation/$(printf %04d $n).jpg"
    done
    rm -r "$2.tmp"
    ;;
teacher)
    work=$(mktemp -d)
    printf 'conv a 16 3x3 /2 pad 1\nbn\nrelu\nconv b 32 3x3 /2 pad 1\nbn\nrelu\ngap\nfc fc classes\n' >"$work/net.net"
    held=()
    [ -d "$2/val" ] || [ -d "$2/validation" ] || held=(--val-from train:0.2)
    "$build/teacher_dump" run --data "$2" --teacher none --views 2 --augment light --size 48 "${held[@]}" --out "$work/cache" --quiet >/dev/null
    "$build/student_train" fit --cache "$work/cache" --student "$work/net.net" --loss ce --epochs 40 --batch 32 --lr 1e-2 --schedule cosine \
        --out "$work/run" --quiet >/dev/null
    "$build/student_train" export --run "$work/run" --out "$work/exported" --quiet >/dev/null
    cp "$work/exported/student.onnx" "$3"
    rm -r "$work"
    ;;
checkpoint) python3 "$root/tests/page_checkpoint.py" "$2" ;;
*) exit 64 ;;
esac
