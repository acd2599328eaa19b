#!/bin/bash
# the device's ceilings, stage one and students A and C against PyTorch in the same minutes, from synthetic photos
. "$SCRIPTS/gpu/common.sh"
side=$(sized 224 224 32)
network=$(student_name)
base=$((side * 8 / 7))
precise=${DEVICE#cpu}

ceilings() {
    [ -n "$torch" ] || return
    if ! "$PYTHON" "$SCRIPTS/gpu/bench_ceilings.py" --device "$(torch_device)" >"$WORK/ceilings.json" 2>"$WORK/ceilings.err"; then
        skip "ceilings" "$(reason "$WORK/ceilings.err")"
        return
    fi
    info "copy on the device" "$(rounded "$(number "$WORK/ceilings.json" copy_gigabytes_per_second)") GB/s" "bytes read and written"
    info "matrix product, fp16 and bf16" "$(rounded "$(number "$WORK/ceilings.json" fp16_teraflops)"), $(rounded "$(number "$WORK/ceilings.json" bf16_teraflops)") TFLOP/s" "8192 x 8192 x 8192"
}

# stage_one NAME PRECISION VIEWS: the whole run, from JPEG files to a published cache.
stage_one() {
    local name=$1 precision=$2 views=$3
    rm -rf "$WORK/stage.$name"
    if teacher_dump run --data "$WORK/photos" --teacher "$WORK/$name.onnx" --device "$DEVICE" ${precise:+--teacher-precision "$precision"} --batch "$(sized 256 256 8)" \
        --views "$views" --size "$side" --base "$base" --teacher-check off --out "$WORK/stage.$name" --json >"$WORK/stage.$name.json" 2>"$WORK/stage.$name.err"; then
        rate=$(number "$WORK/stage.$name.json" views_per_second)
        info "stage one, $name $precision, $(number "$WORK/stage.$name.json" views_computed) views" "$(rounded "$rate") views/s" \
            "$(rounded "$(number "$WORK/stage.$name.json" seconds)") s from JPEG files to the cache, $(rounded "$(number "$WORK/stage.$name.json" bytes_per_view)") bytes a view"
    else
        fail "stage one, $name" "failed" "$(reason "$WORK/stage.$name.err")"
        return 1
    fi
}

teachers() {
    local name ours theirs
    [ -n "$torch" ] || return
    [ "$MODE$DEVICE" != simulatecuda ] || { skip "ResNet-18 and MobileNetV2" "they take the shim minutes"; return; }
    export_teachers >"$WORK/export.log" 2>&1 || { fail "export of ResNet-18, MobileNetV2" "failed" "$(reason "$WORK/export.log")"; return; }
    for name in resnet18 mobilenet_v2; do
        stage_one "$name" fp16 "$(sized 16 64 2)" && ours=$rate || continue
        if "$PYTHON" "$SCRIPTS/gpu/bench_teacher.py" --network "$name" --size "$side" --seconds "$(sized 2 6 0.5)" --device "$(torch_device)" >"$WORK/torch.$name.json" 2>"$WORK/torch.err"; then
            theirs=$(number "$WORK/torch.$name.json" images_per_second)
            info "$name, PyTorch fp16 eager NHWC" "$(rounded "$theirs") images/s" "$(text "$WORK/torch.$name.json" how)"
            info "$name: stage one against PyTorch's forward pass alone" "$(ratio "$ours" "$theirs")"
        else
            skip "$name, PyTorch fp16 eager NHWC" "$(reason "$WORK/torch.err")"
        fi
    done
}

# student NAME CACHE PRECISION BATCH EPOCHS OPTIONS...: images/s of the last epoch of a whole `fit`.
student() {
    local name=$1 cache=$2 precision=$3 batch=$4 epochs=$5 run=$WORK/$1.$3.$4
    shift 5
    rate=
    if student_train fit --cache "$cache" --student "$network" --device "$DEVICE" ${precise:+--precision "$precision"} --batch "$batch" --epochs "$epochs" --eval-every 1000 \
        --lr 3e-3 --out "$run" --overwrite --json --quiet "$@" >"$run.json" 2>"$run.err"; then
        rate=$(number "$run/log.jsonl" images_per_second)
        info "student $name, $precision, batch $batch" "$(rounded "$rate") images/s" "epoch of $(rounded "$(number "$run/log.jsonl" seconds)") s, views rendered on the device"
    else
        fail "student $name, $precision, batch $batch" "failed" "$(reason "$run.err")"
        return 1
    fi
}

compare_student() { # NAME SIDE CACHE BATCH EPOCHS LOSS
    local name=$1 precision kind theirs log=$WORK/torch.$1
    local -A ours=()
    for precision in fp32 bf16; do
        student "$name" "$3" $precision "$4" "$5" --loss "$6" && ours[$precision]=$rate
    done
    [ -n "$torch" ] || return
    # shellcheck disable=SC2046 # two words or none
    "$PYTHON" "$SCRIPTS/gpu/bench_student.py" --student "$name" --size "$2" --batch "$4" --seconds "$(sized 2 6 0.5)" --device "$(torch_device)" \
        --compile bf16 $(sized "" "--compile fp32" "") >"$log.json" 2>"$log.err" || skip "student $name, all that PyTorch can" "$(reason "$log.err")"
    for precision in fp32 bf16; do
        for kind in eager compiled; do
            theirs=$(number "$log.json" "${kind}_$precision")
            [ -n "$theirs" ] || continue
            info "$name $precision, PyTorch $kind$([ $kind = eager ] || echo " + CUDA graph")" "$(rounded "$theirs") images/s" "NHWC, images ready on the device"
            info "student $name $precision against $kind" "$(ratio "${ours[$precision]:-}" "$theirs")"
        done
    done
}

little_memory() { # the data set in pinned memory, streamed
    local limit plain
    limit=$(sized 2G 2G 64M)
    [ "$DEVICE" != cpu ] || return
    student A "$cache" bf16 128 2 --loss "$loss" && plain=$rate &&
        student A_limited "$cache" bf16 128 2 --loss "$loss" --gpu-memory "$limit" || return
    if output=$(cmp "$WORK/A.bf16.128/last.safetensors" "$WORK/A_limited.bf16.128/last.safetensors" 2>&1); then
        ok "the same within --gpu-memory $limit" "same weights" "$(ratio "$rate" "$plain") the speed"
    else
        fail "the same within --gpu-memory $limit" "other weights" "$output"
    fi
}

torch=
if has_module torch && has_module torchvision; then torch=1; else skip "PyTorch's side, and ResNet-18 and MobileNetV2" "$PYTHON has no torch or no torchvision"; fi
ceilings
count=$(sized 10000 10000 16)
photos photos --train "$count" --val "$(sized 1000 1000 12)" --width "$(sized 512 512 96)" --height "$(sized 384 384 72)" >"$WORK/photos.log" 2>&1 || exit
info "photos" "$count + $(sized 1000 1000 12)" "synthetic JPEGs of $(sized 512 512 96)x$(sized 384 384 72), $(du -sm "$WORK/photos" | cut -f1) MB"
teachers
cache=$WORK/stage.resnet18 loss='0.1*ce + 0.9*kd(T=4)'
if [ ! -f "$cache/cache.json" ]; then
    cache=$WORK/stage.none loss=ce
    teacher_dump run --data "$WORK/photos" --teacher none --views 16 --size "$side" --base "$base" --out "$cache" --quiet >"$WORK/stage.none.log" 2>&1 || exit
fi
compare_student A "$side" "$cache" "$(sized 512 512 16)" "$(sized 4 12 1)" "$loss"
little_memory
photos small --train "$(sized 50000 50000 16)" --val "$(sized 1000 1000 10)" --classes 10 --width 32 --height 32 >"$WORK/small.log" 2>&1 &&
    teacher_dump run --data "$WORK/small" --teacher none --views 8 --augment cifar --size 32 --base 32 --out "$WORK/small.cache" --quiet >"$WORK/small.log" 2>&1 || exit
compare_student C 32 "$WORK/small.cache" "$(sized 512 512 32)" "$(sized 6 20 1)" ce
exit 0
