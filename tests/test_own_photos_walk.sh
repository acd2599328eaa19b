#!/bin/bash
# docs/own-photos/walk.sh: from photos of a phone and a checkpoint to a submission, with small data; and whether the submission is right.
set -u
build=${BUILD:-build}
export BUILD=$build SOFTCACHE_PYTHON=${SOFTCACHE_PYTHON:-python3}
if ! "$SOFTCACHE_PYTHON" -c 'import torch, onnx, PIL, numpy' 2>/dev/null; then
    echo "ok own_photos_walk # SKIP no python3 with torch, onnx, Pillow and numpy (set SOFTCACHE_PYTHON)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$build/synthetic_images" --out "$work/synthetic" --train 300 --val 100 --classes 10 --width 88 --height 80 >/dev/null
"$SOFTCACHE_PYTHON" docs/own-photos/example.py "$work/synthetic" "$work" >"$work/example" 2>&1 || {
    echo "not ok own_photos_example: $(tail -1 "$work/example")"
    exit 1
}
if EPOCHS=30 docs/own-photos/walk.sh "$work" >"$work/log" 2>&1; then
    echo "ok own_photos_walk"
else
    echo "not ok own_photos_walk: $(tail -4 "$work/log" | tr '\n' ' ')"
    exit 1
fi
# Every Id once, and most classes right: of 10 classes, rows that are shifted would leave a tenth.
ids=$(diff <(cut -d, -f1 "$work/truth.csv" | sort) <(cut -d, -f1 "$work/submission.csv" | sort) && echo same)
right=$(join -t, <(sort "$work/truth.csv") <(sort "$work/submission.csv") | awk -F, '$2 == $3 && $1 != "Id"' | wc -l)
if [ "$ids" = same ] && [ "$right" -ge 40 ]; then
    echo "ok own_photos_submission"
else
    echo "not ok own_photos_submission: $right of 100 are right; $ids"
fi
