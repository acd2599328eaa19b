#!/bin/bash
# Proves that two builds do the same: a small teacher is trained and exported, a cache with features and mixed views is made
# with it, students are trained from it, and every file that matters must be equal, byte for byte. For changes of structure.
# usage: scripts/compare_builds.sh OLD_BUILD NEW_BUILD     (folders as `make` and, for the kernels, `make tests` leave them)
set -eu
old=$(realpath "$1") new=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$old/synthetic_images" --out "$work/photos" --train 96 --val 32 --classes 4 --width 80 --height 64 >/dev/null

# In a folder of its own, so that both builds write the same relative paths.
run_all() { # FOLDER TEACHER_DUMP STUDENT_TRAIN DEVICE
    mkdir -p "$1"
    cd "$1"
    ln -sfn "$work/photos" photos
    local common=(--device "$4" --quiet --batch 16 --max-params 0)
    cat >net.net <<'END'
conv stem 16 3x3 /2 pad 1 nobias
bn
relu
dwpw block1 24 /2
conv block2 32 3x3 pad 1 nobias
bn
relu
dropout 0.1
gap
fc classifier classes
END
    "$2" run --data photos --teacher none --out plain --views 2 --size 32 --base 40 --augment light --device cpu --quiet >/dev/null
    "$3" fit --cache plain --student net.net --loss ce --epochs 2 --out teacher "${common[@]}" >/dev/null
    "$3" export --run teacher --out exported >/dev/null
    local check # of a teacher of two epochs; older builds have none
    check=$("$2" run --help | grep -q -- --teacher-check && echo "--teacher-check off")
    "$2" run --data photos --teacher exported/student.onnx $check --out cache --views 3 --size 32 --base 40 --device "$4" --quiet \
        --augment 'food11-strong+mixup(alpha=0.4)' --feature block2_gap --feature block2_relu:int8:views=2 >/dev/null
    local i=0 loss
    while read -r loss; do
        i=$((i + 1))
        "$3" fit --cache cache --student net.net --loss "$loss" --epochs 2 --out "run$i" --schedule cosine --ema 0.9 "${common[@]}" >/dev/null
        "$3" predict --run "run$i" --data photos/val/"$(ls photos/val | head -1)" --out "predictions$i.csv" --device "$4" --quiet >/dev/null
    done <<'END'
0.1*ce(label_smoothing=0.1) + 0.9*kd(T=4) + 0.1*logit_mse
ce + dkd(T=4, warmup=1) + 2*dist + nkd
ce + rld + wttm + abkd + 0.1*mlkd(gate=0.3) + kd(gate=0.3, gated=ce)
ce + hint(student=block1, teacher=block2_relu, regressor=conv1x1) + 10*at(student=block1, teacher=block2_relu) + cosine
ce + 25*rkd_distance + 50*rkd_angle + 10*sp + 100*pkt
ce + 0.1*vid + 0.02*cc + 0.1*crd(negatives=16)
END
}
# Everything but times, rates and what names the machine.
digests() { # FOLDER
    cd "$1"
    find . -type f \( -path './cache/*' -o -path './plain/*' -o -name '*.safetensors' -o -name '*.onnx' -o -name '*.csv' -o -name 'config.ini' \) |
        LC_ALL=C sort | while read -r file; do
        case $file in
        */summary.csv) printf '%s %s\n' "$(cut -d, -f"$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i !~ /seconds|per_second/) printf "%s%d", n++ ? "," : "", i }' "$file")" "$file" | sha256sum | cut -c1-64)" "$file" ;;
        *) printf '%s %s\n' "$(sha256sum <"$file" | cut -c1-64)" "$file" ;;
        esac
    done
}

failed=0
for device in cpu cuda; do
    suffix=
    if [ $device = cuda ]; then
        suffix=/shim
        [ -e "$old/shim/student_train" ] && [ -e "$new/shim/student_train" ] || { echo "cuda: SKIP (no build/shim in both)"; continue; }
    fi
    for side in old new; do
        build=${!side}
        run_all "$work/$device-$side" "$build$suffix/teacher_dump" "$build$suffix/student_train" $device
        digests "$work/$device-$side" >"$work/$device-$side.sums"
    done
    if diff "$work/$device-old.sums" "$work/$device-new.sums"; then
        echo "$device: $(wc -l <"$work/$device-old.sums") files equal"
    else
        failed=1
        echo "$device: files differ"
    fi
done
exit $failed
