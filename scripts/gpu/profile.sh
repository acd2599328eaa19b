#!/bin/bash
# ncu on the kernels of training steps: duration, bytes of device memory, share of its bandwidth
. "$SCRIPTS/gpu/common.sh"
command -v ncu >/dev/null || { skip "ncu" "not installed (it comes with CUDA's toolkit)"; exit 0; }
side=$(sized 224 224 64)
photos profile --train 512 --val 11 --width 256 --height 256 >"$WORK/profile.data" 2>&1 &&
    "$CPU_PROGRAMS/teacher_dump" run --data "$WORK/profile" --teacher none --views 2 --size "$side" --base $((side * 8 / 7)) --out "$WORK/profile.cache" --quiet >"$WORK/profile.data" 2>&1 || exit
metrics=gpu__time_duration.sum,dram__bytes.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed,sm__throughput.avg.pct_of_peak_sustained_elapsed
for precision in fp32 bf16; do
    if ncu --clock-control none --cache-control none --csv --print-units base --metrics $metrics --launch-skip 20 --launch-count "$(sized 250 600 50)" --kill yes \
        "$PROGRAMS/student_train" fit --cache "$WORK/profile.cache" --student dwpw --device "$DEVICE" --precision $precision --batch 256 --epochs 3 \
        --out "$WORK/profile.run" --overwrite --quiet >"$WORK/profile.$precision.csv" 2>"$WORK/profile.err" || [ -s "$WORK/profile.$precision.csv" ]; then
        "$PYTHON" "$SCRIPTS/gpu/kernel_table.py" "$WORK/profile.$precision.csv" --rows "$(sized 12 40 12)" >"$WORK/profile.$precision.txt" 2>"$WORK/profile.err" ||
            { skip "ncu, student A $precision" "$(reason "$WORK/profile.err")"; continue; }
        info "ncu, student A $precision" "$(head -1 "$WORK/profile.$precision.txt")" "the table is on the page"
    else
        skip "ncu, student A $precision" "$(reason "$WORK/profile.err")"
    fi
done
