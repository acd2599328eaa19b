#!/bin/bash
# scripts/slurm/part.sbatch without Slurm: with the variables that a task has, parts fill one cache, and a task that is told that its
# time is up saves what it has and queues itself again.
set -u
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check() { # NAME, then a command; its output explains a failure
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then echo "ok $name"; else echo "not ok $name: $output"; fi
}
task() { # NUMBER COUNT ARGUMENT...: becomes the task, so call it in a subshell or in the background, where signals reach it
    local number=$1 count=$2
    shift 2
    exec env PATH="$work/bin:$PATH" SLURM_JOB_ID=77 SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID="$number" SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX="$count" SLURM_ARRAY_TASK_COUNT="$count" SLURM_CPUS_PER_TASK=1 \
        scripts/slurm/part.sbatch "$@"
}
mkdir "$work/bin"
printf '#!/bin/sh\necho "$@" >>"%s/scontrol"\n' "$work" >"$work/bin/scontrol"
chmod +x "$work/bin/scontrol"
"$build/synthetic_images" --out "$work/photos" --train 20 --val 20 --classes 10 --width 32 --height 32
dump=("$build/teacher_dump" run --data "$work/photos" --teacher tests/golden/teachers/tiny.onnx --views 2 --base 48 --teacher-check off)

parts() {
    "${dump[@]}" --quiet --out "$work/one" || return 1
    task 1 2 "${dump[@]}" --out "$work/cache" & local first=$!
    (task 2 2 "${dump[@]}" --out "$work/cache") || return 1
    wait "$first" || return 1
    cmp "$work/one/cache.json" "$work/cache/cache.json"
}
check parts_fill_one_cache parts

queued_again() {
    # shellcheck disable=SC2016 # it is the program that counts
    printf '#!/bin/sh\ntrap "echo saved; exit 130" TERM\ntouch "%s/begun"\nfor i in $(seq 400); do sleep 0.05; done\n' "$work" >"$work/program"
    chmod +x "$work/program"
    task 1 2 "$work/program" >"$work/output" & local pid=$!
    for _ in $(seq 200); do [ ! -e "$work/begun" ] || break; sleep 0.05; done
    kill -USR1 "$pid"
    wait "$pid" || { echo "it ended with $?"; return 1; }
    grep -q saved "$work/output" && grep -qx 'requeue 77_1' "$work/scontrol"
}
check a_task_out_of_time_is_queued_again queued_again

failures() {
    local status
    (task 1 1 "${dump[@]}" --teacher nowhere.onnx --out "$work/bad") 2>/dev/null
    status=$?
    [ "$status" = 66 ] || { echo "a failing program gives $status"; return 1; }
    [ "$(wc -l <"$work/scontrol")" = 1 ] || { echo "a failure is queued again"; return 1; }
    SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MAX=3 scripts/slurm/part.sbatch "${dump[@]}" 2>"$work/error"
    [ $? = 64 ] && grep -q PARTS=N "$work/error"
}
check failures_are_failures failures

# Parts that no task has, a program of the PATH, threads that the caller chose.
submissions() {
    local output
    printf '#!/bin/sh\necho "$@"\n' >"$work/bin/echo_arguments"
    chmod +x "$work/bin/echo_arguments"
    output=$(SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MAX=3 scripts/slurm/part.sbatch "${dump[@]}" 2>&1)
    [ $? = 64 ] && [[ $output == *PARTS=N* ]] || { echo "--array=1,3 is taken for all parts: $output"; return 1; }
    output=$(PARTS=3 scripts/slurm/part.sbatch "${dump[@]}" 2>&1)
    [ $? = 64 ] && [[ $output == *--array=1-N* ]] || { echo "without an array: $output"; return 1; }
    output=$(task 2 5 echo_arguments run)
    [ "$output" = "run --threads 1 --quiet --part 2/5" ] || { echo "a program of the PATH: $output"; return 1; }
    output=$(task 2 5 echo_arguments run --threads 7)
    [ "$output" = "run --threads 7 --quiet --part 2/5" ] || { echo "threads of the caller: $output"; return 1; }
}
check what_is_submitted_is_checked submissions

# A program that ends at the very moment of the signal: its status counts, not that of the wait.
at_once() {
    local round status
    # shellcheck disable=SC2016 # of the program
    printf '#!/bin/sh\ntrap "" TERM\nkill -USR1 "$TASK"\nexit 3\n' >"$work/program"
    for round in 1 2 3 4 5 6 7 8; do
        (export TASK=$BASHPID && task 1 2 "$work/program")
        status=$?
        [ "$status" = 3 ] || { echo "round $round: it ended with $status"; return 1; }
    done
}
check a_program_that_ends_with_the_signal at_once
