#!/bin/bash
# whole programs, CPU against CUDA: loss curves, accuracy, logits, kill and resume, little GPU memory
. "$SCRIPTS/gpu/common.sh"
size=$(sized 96 96 16)
precise=${DEVICE#cpu} precise=${precise:+--precision fp32}

# fit DEVICE RUN OPTIONS...: of the student $student
student=$(student_name)
fit() {
    local device=$1 run=$WORK/$2 programs=$PROGRAMS
    shift 2
    [ "$device" != cpu ] || programs=$CPU_PROGRAMS
    "$programs/student_train" fit --student "$student" --device "$device" --out "$run" --overwrite --quiet --json "$@" >"$run.json" 2>"$run.err"
}

# The largest relative difference of the column train_loss of two runs' summary.csv, and the number of rows compared.
loss_difference() {
    paste -d, <(cut -d, -f1,2 "$1/summary.csv") <(cut -d, -f1,2 "$2/summary.csv") | LC_ALL=C awk -F, '
        NR > 1 && $1 == $3 { d = ($2 - $4) / $2; if (d < 0) d = -d; if (!(d <= m)) m = d; n++ }
        END { print m + 0, n + 0 }'
}

# Training amplifies rounding: at Adam's usual rate the CPU's curve leaves its own by 1e-2 when the rate changes by 2e-7. So
# the rate is low here, a step has many photos, and the note tells what that change of the rate does to the CPU's curve.
loss_curve() { # one step an epoch
    local steps photos difference n own
    steps=$(sized 50 50 5) photos=$(sized 256 256 16)
    photos curve --train "$photos" --val 11 --width 192 --height 144 &&
        "$CPU_PROGRAMS/teacher_dump" run --data "$WORK/curve" --teacher none --views 4 --size "$size" --base $((size + 16)) --out "$WORK/curve.cache" --quiet || return
    set -- --cache "$WORK/curve.cache" --epochs "$steps" --batch "$photos"
    if fit cpu curve.cpu "$@" --lr 1e-4 && fit cpu curve.own "$@" --lr 1.0000002e-4 && fit "$DEVICE" curve.device "$@" --lr 1e-4 $precise; then
        read -r difference n < <(loss_difference "$WORK/curve.cpu" "$WORK/curve.device")
        read -r own n < <(loss_difference "$WORK/curve.cpu" "$WORK/curve.own")
        if [ "$n" -eq "$steps" ] && below "$difference" 1e-3; then
            ok "fp32 loss curve, CPU against CUDA" "$(rounded "$difference") over $n steps" "largest relative difference; promised 1e-3; CPU against CPU at a rate 2e-7 higher: $(rounded "$own")"
        else
            fail "fp32 loss curve, CPU against CUDA" "$difference over $n of $steps steps" "promised 1e-3; CPU against CPU at a rate 2e-7 higher: $(rounded "$own")"
        fi
    else
        fail "fp32 loss curve, CPU against CUDA" "a run failed" "$(cat "$WORK"/curve.{cpu,own,device}.err | tail -1)"
    fi
}

accuracy_of() { number "$WORK/$1/log.jsonl" val_accuracy; }
accuracies() {
    local epochs a b c
    epochs=$(sized 12 30 2)
    fit cpu accuracy.cpu --cache "$WORK/parity.cache" --epochs "$epochs" --batch 64 --lr 4e-3 --schedule cosine
    fit "$DEVICE" accuracy.fp32 --cache "$WORK/parity.cache" --epochs "$epochs" --batch 64 --lr 4e-3 --schedule cosine $precise
    fit "$DEVICE" accuracy.bf16 --cache "$WORK/parity.cache" --epochs "$epochs" --batch 64 --lr 4e-3 --schedule cosine ${precise:+--precision bf16}
    a=$(accuracy_of accuracy.cpu) b=$(accuracy_of accuracy.fp32) c=$(accuracy_of accuracy.bf16)
    if LC_ALL=C awk -v a="$a" -v b="$b" -v c="$c" -v most="$(sized 0.06 0.06 0.3)" 'BEGIN { exit !(a != "" && b != "" && c != "" && (a-b)^2 <= most^2 && (a-c)^2 <= most^2) }'; then
        ok "accuracy after $epochs epochs: CPU, CUDA fp32, bf16" "$(rounded "$a"), $(rounded "$b"), $(rounded "$c")" "within 0.06 of each other"
    else
        fail "accuracy after $epochs epochs: CPU, CUDA fp32, bf16" "${a:-none}, ${b:-none}, ${c:-none}" "$(cat "$WORK"/accuracy.*.err | tail -1)"
    fi
}

same_files() { # RUN RUN
    local file
    for file in best.safetensors last.safetensors summary.csv; do cmp "$WORK/$1/$file" "$WORK/$2/$file" || return; done
}

resumed="--batch 64 --eval-every 20 --epochs $(sized 400 1000 60)"
# Killed after half of its epochs. Whoever looks may be late, on a busy machine or behind a fast GPU: then it is tried with twice the epochs.
student_resume() {
    local pid epochs most at code
    epochs=${resumed##* }
    for ((most = 16 * epochs; epochs <= most; epochs *= 2)); do
        resumed="--batch 64 --eval-every 20 --epochs $epochs"
        set -- --cache "$WORK/parity.cache" $resumed
        rm -rf "$WORK/whole" "$WORK/killed"
        fit "$DEVICE" whole "$@" || { fail "kill -9 and resume: student" "a run failed" "$(reason "$WORK/whole.err")"; return; }
        "$PROGRAMS/student_train" fit --student "$student" --device "$DEVICE" --out "$WORK/killed" --quiet "$@" >/dev/null 2>"$WORK/killed.err" &
        pid=$!
        until grep -q "\"epoch\":$((epochs / 2))," "$WORK/killed/log.jsonl" 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        code=$?
        [ $code -ne 137 ] || break
        [ $code -eq 0 ] || { fail "kill -9 and resume: student" "the run to be killed failed" "$(reason "$WORK/killed.err")"; return; }
    done
    if [ $epochs -gt $most ]; then
        fail "kill -9 and resume: student" "it ended before it was killed" "$((epochs / 2)) epochs"
        return
    fi
    at=$(number "$WORK/killed/log.jsonl" epoch)
    if student_train fit --student "$student" --device "$DEVICE" --out "$WORK/killed" --quiet --resume "$@" >/dev/null 2>"$WORK/killed.err" && output=$(same_files whole killed 2>&1); then
        ok "kill -9 and resume: student" "same weights and summary" "killed after epoch $at of $epochs"
    else
        fail "kill -9 and resume: student" "other results" "${output:-$(reason "$WORK/killed.err")}"
    fi
}

little_memory() {
    local limit
    limit=$(sized 2G 2G 256M)
    if [ "$DEVICE" = cpu ]; then skip "--gpu-memory" "no device"; return; fi
    if fit "$DEVICE" limited --cache "$WORK/parity.cache" $resumed --gpu-memory "$limit" && output=$(same_files whole limited 2>&1); then
        ok "--gpu-memory $limit" "same weights as without"
    else
        fail "--gpu-memory $limit" "other results" "${output:-$(reason "$WORK/limited.err")}"
    fi
    # more than any GPU has: 1024 images of 1024x1024 through a ResNet-18
    [ "$MODE" != simulate ] || export SHIM_MEMORY=2000000
    student=resnet18 fit "$DEVICE" huge --cache "$WORK/parity.cache" --epochs 1 --max-params 0 --batch 1024 --size "$(sized 1024 1024 64)"
    local code=$?
    unset SHIM_MEMORY
    if [ $code -ge 64 ] && [ $code -le 78 ] && grep -qi 'memory' "$WORK/huge.err"; then ok "out of GPU memory" "exit code $code" "$(reason "$WORK/huge.err")"
    else fail "out of GPU memory" "exit code $code" "$(reason "$WORK/huge.err")"; fi
}

# The trained student, exported, is a teacher that is right about something.
teacher_logits() {
    local teacher=$WORK/exported.onnx options="--views 4 --size $size --base $((size + 16)) --teacher-check off --quiet"
    student_train export --run "$WORK/accuracy.fp32" --out "$WORK/exported" >/dev/null && cp "$WORK"/exported/*.onnx "$teacher" || return 1
    if ! teacher_dump run --data "$WORK/parity" --teacher "$teacher" --device "$DEVICE" --out "$WORK/logits" $options >"$WORK/logits.log" 2>&1; then
        fail "teacher on CUDA" "failed" "$(reason "$WORK/logits.log")"
        return 1
    fi
    "$CPU_PROGRAMS/teacher_dump" recheck "$WORK/logits" --teacher "$teacher" --device cpu -n 200 --tolerance 0.01 --json >"$WORK/recheck.json" 2>"$WORK/recheck.err"
    local code=$?
    if grep -q 'ONEDNN=1' "$WORK/recheck.err"; then skip "teacher's logits fp16, CPU against CUDA" "no oneDNN here (make dist ONEDNN=1)"
    elif [ $code -eq 0 ]; then ok "teacher's logits fp16, CPU against CUDA" "$(rounded "$(number "$WORK/recheck.json" largest_difference)")" "largest of 200 views, relative; promised 0.01"
    else fail "teacher's logits fp16, CPU against CUDA" "$(number "$WORK/recheck.json" largest_difference)" "$(reason "$WORK/recheck.err")"; fi
}

# Every family of loss terms, from a cache with features: the first steps.
methods_curve() {
    local difference n steps losses loss worst=0 count=0 vector
    steps=$(sized 10 20 2) vector=$(sized block8_gap block8_gap stem_gap)
    "$CPU_PROGRAMS/teacher_dump" inspect "$WORK/exported.onnx" | grep -q "  $vector " || vector=$("$CPU_PROGRAMS/teacher_dump" inspect "$WORK/exported.onnx" | awk '/global_average_pool/ { print $1; exit }')
    teacher_dump run --data "$WORK/curve" --teacher "$WORK/exported.onnx" --device "$DEVICE" --views 2 --size "$size" --base $((size + 16)) --feature "$vector" --out "$WORK/methods.cache" --teacher-check off --quiet >"$WORK/methods.log" 2>&1 ||
        { fail "loss curves of all methods" "no cache" "$(reason "$WORK/methods.log")"; return; }
    losses=("kd(T=2, standardise=yes) + 0.1*logit_mse + dkd + dist + nkd" "ce + rld + wttm + abkd + 0.1*mlkd + kd(gate=0.3) + dist(gate=0.3, gated=ce)" "ce + rkd_distance + rkd_angle + 0.01*dm + 10*sp + 100*pkt + cosine"
        "ce + hint(regressor=linear) + 0.1*vid + 0.02*cc + 0.1*crd(negatives=256)")
    for loss in "${losses[@]}"; do
        set -- --cache "$WORK/methods.cache" --loss "$loss" --epochs "$steps" --batch 64 --lr 1e-4
        if ! fit cpu methods.cpu "$@" || ! fit "$DEVICE" methods.device "$@" $precise; then
            fail "loss curves of all methods" "a run failed" "$(cat "$WORK"/methods.{cpu,device}.err | tail -1)"
            return
        fi
        read -r difference n < <(loss_difference "$WORK/methods.cpu" "$WORK/methods.device")
        [ "$n" -eq "$steps" ] && below "$difference" 1e-3 || { fail "loss curves of all methods" "$difference over $n of $steps epochs" "$loss"; return; }
        worst=$(LC_ALL=C awk -v a="$worst" -v b="$difference" 'BEGIN { print (a > b ? a : b) }') count=$((count + 1))
    done
    ok "loss curves of all methods, CPU against CUDA" "$(rounded "$worst") over $steps epochs" "largest relative difference in $count runs with 15 terms; promised 1e-3"
}

# Killed when the first shard is there.
teacher_resume() {
    local pid options="--data $WORK/parity --teacher $WORK/exported.onnx --device $DEVICE --views 4 --size $size --base $((size + 16)) --teacher-check off --quiet"
    "$PROGRAMS/teacher_dump" run $options --out "$WORK/logits.killed" >/dev/null 2>"$WORK/logits.err" &
    pid=$!
    until [ -e "$WORK/logits.killed/train-00000.h5" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.005; done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    local killed="killed after the first shard"
    [ ! -e "$WORK/logits.killed/cache.json" ] || killed="it had ended before it was killed"
    if teacher_dump run $options --out "$WORK/logits.killed" >"$WORK/logits.log" 2>&1 && output=$(diff -rq "$WORK/logits" "$WORK/logits.killed" 2>&1); then
        ok "kill -9 and resume: teacher" "same cache" "$killed"
    else
        fail "kill -9 and resume: teacher" "other bytes" "${output:-$(reason "$WORK/logits.log")}"
    fi
}

# ResNet-18 and MobileNetV2 against PyTorch's float32 on the evaluation views, whose pixels are torchvision's.
logits_against_pytorch() {
    if [ "$MODE$DEVICE" = simulatecuda ]; then skip "teacher's logits fp16 against PyTorch fp32" "these teachers take the shim minutes"; return; fi
    if ! has_module torchvision || ! has_module h5py; then skip "teacher's logits fp16 against PyTorch fp32" "$PYTHON has no torchvision or no h5py"; return; fi
    export_teachers >"$WORK/export.log" 2>&1 || { fail "export of ResNet-18, MobileNetV2" "failed" "$(reason "$WORK/export.log")"; return; }
    local name side difference
    side=$(sized 224 224 32)
    for name in resnet18 mobilenet_v2; do
        if teacher_dump run --data "$WORK/curve" --teacher "$WORK/$name.onnx" --device "$DEVICE" --views 1 --size "$side" --base $((side * 8 / 7)) --out "$WORK/$name.parity" --teacher-check off --quiet >"$WORK/$name.log" 2>&1 &&
            difference=$("$PYTHON" "$SCRIPTS/gpu/compare_logits.py" "$WORK/$name.parity" "$WORK/curve" "$name" "$WORK/$name.pt" --plugins "$PLUGINS" 2>"$WORK/$name.err"); then
            difference=$(number <(echo "$difference") largest_difference)
            if below "$difference" 0.01; then ok "$name logits fp16 against PyTorch fp32" "$(rounded "$difference")" "largest, relative; promised 0.01"
            else fail "$name logits fp16 against PyTorch fp32" "$difference" "promised 0.01"; fi
        else
            fail "$name logits fp16 against PyTorch fp32" "failed" "$(cat "$WORK/$name.log" "$WORK/$name.err" 2>/dev/null | tail -1)"
        fi
    done
}

loss_curve
photos parity --train "$(sized 1100 2200 22)" --val "$(sized 440 880 11)" --width 192 --height 144 &&
    "$CPU_PROGRAMS/teacher_dump" run --data "$WORK/parity" --teacher none --views 4 --size "$size" --base $((size + 16)) --out "$WORK/parity.cache" --quiet || exit
accuracies
student_resume
little_memory
teacher_logits && teacher_resume && methods_curve
logits_against_pytorch
exit 0
