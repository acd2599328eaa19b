#!/bin/bash
# Lets every allocation and every call on a file fail, once and for good, and kills the programs at every call, in small
# runs of `teacher_dump run` and `student_train fit`. After each failure
#   - the program has ended by itself, in time, with one of its exit codes; code 0 only with the right result (libhdf5 and
#     oneDNN may crash when one of their own allocations fails: that is counted);
#   - what is published is whole: a cache.json that is there is the right one, byte for byte;
#   - the same command finishes, and its files have the bytes of an undisturbed run.
# Interrupted calls (EINTR) and short reads and writes must not be noticed at all. Out of memory must be called so. A disk
# that writes a wrong byte must not be trusted with a cache.
# usage: scripts/torture.sh [--points N] [--seed N] [--only PATTERN]
#   --points N   so many points of each kind, drawn at random (default: 0, all)
#   --seed N     of the drawing (default: the time)
#   --only PATTERN   of kinds, such as 'fit *', 'run alloc+', 'run file:EIO', 'run file+:SHORT', 'fit power' (default: '*')
# The programs run on the CPU: NVIDIA's runtime is part of the CUDA backend, and its allocations are not ours.
# environment: BUILD (build)
# Then the power fails: tests/file_recorder.c records an undisturbed run, and tests/power_loss.c makes the folders that a disk
# may hold after every event, with names and bytes lost that were not synced. A cache.json that is there must be the right one
# with shards that `verify` accepts, and the same command finishes with the same bytes.
# Prints one line per kind in the form of tests/test_*.sh; tests/fault_injection.c makes the failures.
set -u
points=0 seed=$(date +%s) only="*"
while [ $# -gt 1 ]; do
    case $1 in
        --points) points=$2 ;;
        --seed) seed=$2 ;;
        --only) only=$2 ;;
        *) break ;;
    esac
    shift 2
done
[ $# -eq 0 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }

cd "$(dirname "$0")/.." || exit 70
root=$PWD
case ${BUILD:-build} in /*) build=$BUILD ;; *) build=$root/${BUILD:-build} ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 70
fault=$build/tests/fault_injection.so

if nm -D "$build/teacher_dump" 2>/dev/null | grep -qE '__(asan|tsan|ubsan)_'; then
    echo "ok faults # SKIP a sanitizer has its own allocator"
    exit 0
fi
"$build/synthetic_images" --out photos --train 10 --val 10 --classes 10 --width 24 --height 24 >/dev/null || exit 70
cp "$root/tests/golden/teachers/tiny.onnx" teacher.onnx
printf 'conv stem 4 3x3 /2 pad 1\nbn\nrelu\ngap\nfc fc classes\n' >tiny.net
run() { # OUT
    "$build/teacher_dump" run --data photos --teacher teacher.onnx --out "$1" --views 2 --base 32 --size 32 --device cpu --threads 1 --quiet
}
fit() { # OUT
    "$build/student_train" fit --cache cache --student tiny.net --loss kd --epochs 2 --images disk --device cpu --threads 1 --quiet --resume --out "$1"
}
run cache >/dev/null && fit wanted >/dev/null && cp -r cache kept || exit 70

# What a command has left, compared with an undisturbed one; prints what differs.
compare_run() { diff -rq cache out 2>&1; }
compare_fit() {
    local file
    for file in best.safetensors last.safetensors summary.csv student.net; do
        cmp "wanted/$file" "out/$file" 2>&1
    done
    [ -e out/metrics.json ] || echo "no metrics.json"
    ls out/*.tmp 2>/dev/null
}
torn_run() { [ ! -e out/cache.json ] || cmp cache/cache.json out/cache.json 2>&1; }
torn_fit() { return 0; }

with_fault() { # COMMAND SPEC; sets code
    rm -rf out log
    local -a call
    if [ "$1" = run ]; then
        call=("$build/teacher_dump" run --data photos --teacher teacher.onnx --views 2 --base 32 --size 32)
    else
        call=("$build/student_train" fit --cache cache --student tiny.net --loss kd --epochs 2 --images disk --resume)
    fi
    # env: timeout itself must not fail. The shell would report every killed process on its own stderr.
    { (ulimit -c 0 && exec timeout 120 env FAULT="$2" FAULT_LOG="$work/log" LD_PRELOAD="$fault" "${call[@]}" \
        --device cpu --threads 1 --quiet --out out) >stdout 2>stderr; } 2>/dev/null
    code=$?
}

failures=0
complain() { # COMMAND SPEC WHAT
    failures=$((failures + 1))
    bad=$((bad + 1))
    [ $bad -gt 5 ] || printf '# FAULT=%s %s: %s (exit code %s: %s; %s)\n' "$2" "$1" "$3" "$code" \
        "$(head -c 300 stderr | tr '\n' ' ')" "$(grep fails log 2>/dev/null | tail -1)"
}

# One point: everything that must hold.
try() { # COMMAND SPEC
    local command=$1 spec=$2 what
    with_fault "$command" "$spec"
    tried=$((tried + 1))
    # An allocation of a library failed, and it crashed: libhdf5 1.10 and oneDNN 2.6 do that here and there. Nothing may be
    # torn by it.
    if [ "$code" -ge 128 ] && grep -Eq 'fails: .*(libhdf5|libdnnl|libstdc)' log 2>/dev/null; then
        theirs=$((theirs + 1))
        spec=$spec:theirs
    fi
    case $spec in
        *:theirs) ;;
        *KILL | *KILLED)
            [ "$code" -eq 137 ] || [ "$code" -eq 0 ] || complain "$command" "$spec" "was not killed"
            ;;
        *)
            if [ "$code" -eq 124 ]; then
                complain "$command" "$spec" "hangs"
            elif [ "$code" -ge 128 ]; then
                complain "$command" "$spec" "crashes"
            elif [ "$code" -ne 0 ] && { [ "$code" -lt 64 ] || [ "$code" -gt 78 ] || ! grep -q 'error: .' stderr; }; then
                complain "$command" "$spec" "ends with another code or without a message"
            fi
            ;;
    esac
    if [ "$code" -eq 0 ]; then
        finished=$((finished + 1))
        what=$(compare_"$command")
        [ -z "$what" ] || complain "$command" "$spec" "says it is done, but: $(head -3 <<<"$what" | tr '\n' ' ')"
    fi
    case $spec in
        *:theirs) ;;
        *:EINTR | *:SHORT) [ "$code" -eq 0 ] || complain "$command" "$spec" "is not borne" ;;
        alloc*) [ "$code" -eq 0 ] || grep -qi memory stderr || complain "$command" "$spec" "is not called a lack of memory" ;;
    esac
    case $spec in *WRONG) [ "$code" -eq 74 ] || [ "$code" -eq 0 ] || complain "$command" "$spec" "is not called a fault of the disk" ;; esac
    what=$(torn_"$command")
    [ -z "$what" ] || complain "$command" "$spec" "cache.json is torn: $what"
    "$command" out >stdout 2>stderr
    code=$?
    [ "$code" -eq 0 ] || { complain "$command" "$spec" "the same command does not finish then"; return; }
    what=$(compare_"$command")
    [ -z "$what" ] || complain "$command" "$spec" "repeated: $(head -3 <<<"$what" | tr '\n' ' ')"
}

# Numbers of points: all from 1 to COUNT, or some of them.
draw() { # COUNT
    awk -v count="$1" -v points="$points" -v seed="$seed" 'BEGIN {
        srand(seed)
        if (points == 0 || points >= count) for (i = 1; i <= count; i++) print i
        else for (i = 0; i < points; i++) print int((i + rand()) * count / points) + 1 }'
}

sweep_kind() { # COMMAND WORD SUFFIX COUNT TITLE
    local number tried=0 finished=0 bad=0 theirs=0 crashes=
    # shellcheck disable=SC2053 # a pattern
    [[ "$1 $2$3" == $only ]] || return 0
    for number in $(draw "$4"); do
        try "$1" "$2:$number$3"
    done
    [ $theirs -eq 0 ] || crashes=", $theirs crashed in libhdf5 or oneDNN"
    if [ $bad -eq 0 ]; then
        echo "ok $1: $5: $tried of $4 points, $finished ended well all the same$crashes"
    else
        echo "not ok $1: $5: $bad complaints at $tried of $4 points"
    fi
}

# A file that cannot be reached: the error names it and the cause, and is not taken for a file that is missing.
cause() { # TITLE PATH ERROR CODE TEXT COMMAND...
    local title=$1 path=$2 error=$3 wanted=$4 text=$5
    shift 5
    FAULT=path:$path:$error LD_PRELOAD=$fault "$@" >stdout 2>stderr
    code=$?
    if [ $code -eq "$wanted" ] && grep -q "$path: .*$text" stderr; then
        echo "ok cause: $title"
    else
        failures=$((failures + 1))
        echo "not ok cause: $title: exit code $code, $(tr '\n' ' ' <stderr)"
    fi
}
causes() {
    local dump=("$build/teacher_dump" run --data photos --teacher teacher.onnx --views 2 --base 32 --size 32 --device cpu --threads 1 --quiet --out)
    local broken='Input/output error'
    cause "a record that cannot be read does not mean that shards of other parts are missing" train-00000.json EIO 74 "$broken" \
        "${dump[@]}" new
    cause "a cache.json that cannot be looked at is not a missing one, for run" cache.json EIO 74 "$broken" "${dump[@]}" cache
    cause "the same, for fit" cache/cache.json EIO 74 "$broken" "$build/student_train" fit --cache cache --student tiny.net --device cpu --out new-run --quiet
    cause "the same, for inspect" cache/cache.json EACCES 66 'Permission denied' "$build/teacher_dump" inspect cache
    cause "a shard that cannot be read is not broken: it is kept" train-00000.h5 EIO 74 "$broken" "${dump[@]}" cache
    cause "a run.json that cannot be looked at is not a missing one" run.json EIO 74 "$broken" "$build/student_train" eval --run wanted --quiet
    FAULT=space:1000 LD_PRELOAD=$fault "$build/student_train" fit --cache cache --student tiny.net --loss kd --epochs 1 --device cpu --threads 1 \
        --max-memory 100k --out full >stdout 2>stderr
    if grep -q 'images: in memory, though .* full has 0.0 MB free' stderr && [ -e full/metrics.json ]; then
        echo "ok cause: images that the disk has no room for stay in memory"
    else
        failures=$((failures + 1))
        echo "not ok cause: images that the disk has no room for: $(tr '\n' ' ' <stderr)"
    fi
    if diff -rq cache kept >/dev/null; then
        echo "ok cause: the cache is as it was"
    else
        failures=$((failures + 1))
        echo "not ok cause: the cache was changed"
    fi
}

# Power fails after events of the command.
power_fails() { # COMMAND
    local command=$1 number bad=0 tried=0 states what spec
    # shellcheck disable=SC2053 # a pattern
    [[ "$command power" == $only ]] || return 0
    rm -rf rec record && mkdir rec
    (export RECORD=$work/record RECORD_FOLDER=$work/rec LD_PRELOAD=$build/tests/file_recorder.so && "$command" rec/out) >stdout 2>stderr &&
        states=$("$build/tests/power_loss" record) && [ "$states" -gt 0 ] || { failures=$((failures + 1)); echo "not ok $command: the power fails: no record: $(<stderr)"; return; }
    : >log
    for number in $(draw "$states"); do
        rm -rf out state
        spec=power:$number code=0
        "$build/tests/power_loss" record $((number - 1)) state >log
        [ ! -e state/out ] || mv state/out out
        tried=$((tried + 1))
        if [ "$command" = run ] && [ -e out/cache.json ]; then
            what=$(torn_run)$("$build/teacher_dump" verify out --quiet 2>&1 >/dev/null)
            [ -z "$what" ] || complain "$command" "$spec" "$(<log): what is published is torn: $what"
        fi
        "$command" out >stdout 2>stderr
        code=$?
        [ "$code" -eq 0 ] || { complain "$command" "$spec" "$(<log): the command does not finish then"; continue; }
        what=$(compare_"$command")
        [ -z "$what" ] || complain "$command" "$spec" "$(<log): $(head -3 <<<"$what" | tr '\n' ' ')"
    done
    if [ $bad -eq 0 ]; then
        echo "ok $command: the power fails: $tried of $states states of the disk"
    else
        echo "not ok $command: the power fails: $bad complaints at $tried of $states states of the disk"
    fi
}

echo "# seed $seed"
[ "$only" != "*" ] || causes
for command in run fit; do
    code=0 tried=0 finished=0 bad=0
    with_fault $command none
    read -r _ allocations _ files < <(grep '^allocations' log | tail -1)
    [ "$code" -eq 0 ] && [ "${allocations:-0}" -gt 0 ] || { echo "not ok $command runs: $(<stderr)"; exit 1; }
    sweep_kind $command alloc "" "$allocations" "an allocation fails"
    sweep_kind $command alloc + "$allocations" "allocations fail from one on"
    for error in EIO ENOSPC; do
        sweep_kind $command file ":$error" "$files" "a call on a file fails with $error"
        sweep_kind $command file "+:$error" "$files" "calls on files fail with $error from one on"
    done
    [ $command = fit ] || sweep_kind $command file +:WRONG "$files" "writes change a byte from one on" # logs are not read back
    sweep_kind $command file :EINTR "$files" "a call is interrupted"
    sweep_kind $command file :SHORT "$files" "a read or write is short"
    sweep_kind $command file +:SHORT "$files" "reads and writes are short from one on"
    sweep_kind $command file :KILL "$files" "killed before a call"
    sweep_kind $command file :KILLED "$files" "killed after a call"
    power_fails $command
done
echo "# $failures complaints, seed $seed"
[ $failures -eq 0 ]
