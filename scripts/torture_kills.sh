#!/bin/bash
# Kills the commands at random moments, and sends them SIGINT and SIGTERM.
#   kills     `run`, three `run --part` at once, `import`, `fit`, `sweep`: killed (SIGKILL) again and again in one folder; a
#             cache.json that is there must be the right one; then the same command finishes with the bytes of an undisturbed one
#   signals   the commands, also with teachers that take seconds for a view: the longest time from the signal to the end is
#             printed, and more than --limit is a complaint
#   races     three writers of one cache while readers verify, inspect and train on it: a reader says that the cache is not
#             there, or gets the right one
# usage: scripts/torture_kills.sh [--rounds N] [--seed N] [--limit MS]
#   --rounds N   kills of each command (40); a fifth as many signals and races
#   --seed N     of the moments (default: the time)
#   --limit MS   that a signal may take (1000; a busy machine needs more)
# environment: BUILD (build)
# Prints one line per command in the form of tests/test_*.sh.
set -u
rounds=40 seed=$(date +%s) limit=1000
while [ $# -gt 1 ]; do
    case $1 in
        --rounds) rounds=$2 ;;
        --seed) seed=$2 ;;
        --limit) limit=$2 ;;
        *) break ;;
    esac
    shift 2
done
[ $# -eq 0 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
RANDOM=$((seed % 32768))

cd "$(dirname "$0")/.." || exit 70
root=$PWD
case ${BUILD:-build} in /*) build=$BUILD ;; *) build=$root/${BUILD:-build} ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 70
failures=0

"$build/synthetic_images" --out photos --train 40 --val 20 --classes 10 --width 24 --height 24 >/dev/null || exit 70
printf 'conv stem 8 3x3 /2 pad 1\nbn\nrelu\ngap\nfc fc classes\n' >tiny.net
printf 'conv a 8 3x3 pad 1\nrelu\nconv b 8 3x3 pad 1\ngap\nfc fc classes\n' >quick.net
printf 'conv a 64 1x1 pad 400\nconv b 64 9x9 pad 4\ngap\nfc fc classes\n' >slow.net # seconds a view
"$build/tests/net_teacher" quick.net quick.onnx 32 10 && "$build/tests/net_teacher" slow.net slow.onnx 32 10 || exit 70
common="--data photos --views 12 --base 32 --size 32 --device cpu --threads 2 --quiet"
dump="$build/teacher_dump run $common --teacher-check off --teacher quick.onnx"
train="--cache cache --student tiny.net --loss kd --device cpu --threads 2 --quiet --resume"
dwell="$build/teacher_dump run $common --teacher slow.onnx"
fit="$build/student_train fit $train"
sweep="$build/student_train sweep $train --grid lr=0.001,0.01"

do_run() { $dump --out "$1"; }
do_parts() {
    local part failed=0 children=()
    for part in 1 2 3; do
        exec_part "$1" $part &
        children+=($!)
    done
    trap 'kill -KILL "${children[@]}" 2>/dev/null; exit 137' TERM
    for part in "${children[@]}"; do wait "$part" || failed=1; done
    return $failed
}
exec_part() { exec $dump --out "$1" --part "$2/3"; }
do_import() { "$build/teacher_dump" import --cache cache --answers answers --out "$1" --threads 2 --quiet; }
do_fit() { $fit --epochs 30 --out "$1"; }
do_sweep() { $sweep --epochs 12 --out "$1"; }
now() { echo $((${EPOCHREALTIME/./} / 1000)); }

# What a command has left, compared with an undisturbed one.
compare() { # NAME
    case $1 in
        run | parts | import) diff -rq "wanted-$1" "out-$1" 2>&1 ;;
        *)
            (cd "wanted-$1" && find . -name '*.safetensors' -o -name '*.csv' -o -name student.net) | while read -r file; do
                cmp "wanted-$1/$file" "out-$1/$file" 2>&1
            done
            find "out-$1" -name '*.tmp'
            ;;
    esac
}

complain() { # NAME WHAT
    failures=$((failures + 1))
    bad=$((bad + 1))
    [ $bad -gt 5 ] || printf '# %s: %s: %s\n' "$1" "$2" "$(head -c 300 stderr | tr '\n' ' ')"
}

pause() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }

# Kills the command `rounds` times, three times in each folder; then it finishes.
kills() { # NAME
    local name=$1 bad=0 killed=0 ended=0 finished=0 begin length number child what
    begin=$(now)
    "do_$name" "wanted-$name" >stdout 2>stderr || { complain "$name" "does not run"; return; }
    length=$(($(now) - begin + 20))
    for ((number = 1; number <= rounds; number++)); do
        set -m # a group of its own, so that all of its processes are killed at once
        "do_$name" "out-$name" >stdout 2>stderr &
        child=$!
        set +m
        pause $((RANDOM % length))
        if kill -KILL -- "-$child" 2>/dev/null; then killed=$((killed + 1)); else ended=$((ended + 1)); fi
        wait $child 2>/dev/null
        # a killed process of the group may still be ending, and holds its locks until then
        while kill -0 -- "-$child" 2>/dev/null; do sleep 0.02; done
        if [ -e "out-$name/cache.json" ] && ! cmp -s "out-$name/cache.json" "wanted-$name/cache.json"; then
            complain "$name" "cache.json is torn"
        fi
        [ $((number % 3)) -eq 0 ] || [ $number -eq "$rounds" ] || continue
        "do_$name" "out-$name" >stdout 2>stderr || complain "$name" "does not finish after kills"
        what=$(compare "$name")
        [ -z "$what" ] || complain "$name" "differs after kills: $(head -3 <<<"$what" | tr '\n' ' ')"
        finished=$((finished + 1))
        rm -rf "out-$name"
    done
    [ $killed -gt 0 ] || [ $rounds -lt 20 ] || complain "$name" "has always ended before"
    [ $bad -eq 0 ] && echo -n "ok" || echo -n "not ok"
    echo " kills: $name: $killed killed, $ended had ended before, finished $finished times with the same bytes"
}

# Sends signals; AFTER: milliseconds within which they come.
signals() { # TITLE AFTER COMMAND...
    local title=$1 after=$2 bad=0 longest=0 sent=0 number child begin took code signal
    shift 2
    for ((number = 0; number < (rounds + 4) / 5; number++)); do
        rm -rf out-signal
        signal=$([ $((number % 2)) -eq 0 ] && echo TERM || echo INT)
        # a background process of a script ignores SIGINT otherwise
        set -m
        "$@" >stdout 2>stderr &
        child=$!
        set +m
        pause $((RANDOM % after + after / 10))
        begin=$(now)
        kill -$signal $child 2>/dev/null || { wait $child; continue; }
        wait $child 2>/dev/null
        code=$?
        took=$(($(now) - begin))
        sent=$((sent + 1))
        [ $took -le $longest ] || longest=$took
        [ $code -eq 130 ] || [ $code -eq 0 ] || [ $code -eq 143 ] || complain "$title" "ends with code $code"
        [ $took -le "$limit" ] || complain "$title" "took $took ms"
        [ ! -e out-signal/cache.json ] || "$build/teacher_dump" verify out-signal --quiet >/dev/null 2>stderr || complain "$title" "left a torn cache"
    done
    [ $sent -gt 0 ] || [ $rounds -lt 20 ] || complain "$title" "has always ended before"
    [ $bad -eq 0 ] && echo -n "ok" || echo -n "not ok"
    echo " signals: $title: $sent sent, at most $longest ms to the end"
}

# Readers while three writers fill the cache.
races() {
    local bad=0 number absent=0 right=0 writers writing
    for ((number = 0; number < (rounds + 4) / 5; number++)); do
        rm -rf out-race
        do_parts out-race >writers 2>&1 &
        writers=$!
        writing=yes
        while [ -n "$writing" ]; do # and once more when the writers have ended: the cache is there then
            kill -0 $writers 2>/dev/null || writing=
            case $((RANDOM % 3)) in
                0) "$build/teacher_dump" verify out-race --quiet >stdout 2>stderr ;;
                1) "$build/teacher_dump" inspect out-race --json >stdout 2>stderr ;;
                2) "$build/student_train" fit --cache out-race --student tiny.net --loss kd --epochs 1 --device cpu --threads 1 \
                    --quiet --out race-fit --overwrite >stdout 2>stderr ;;
            esac
            case $? in
                0) cmp -s out-race/cache.json wanted-run/cache.json && right=$((right + 1)) || complain races "a reader got something else" ;;
                65 | 66) [ -z "$writing" ] && complain races "the cache is not there" || absent=$((absent + 1)) ;;
                *) complain races "a reader fails" ;;
            esac
        done
        wait $writers || { cp writers stderr; complain races "a writer fails"; }
        diff -rq wanted-run out-race >stderr 2>&1 || complain races "the cache differs"
    done
    [ $bad -eq 0 ] && echo -n "ok" || echo -n "not ok"
    echo " races: $number caches by three writers each; readers found $absent times none, $right times the right one"
}

echo "# seed $seed"
do_run cache >stdout 2>stderr || { echo "not ok run: $(<stderr)"; exit 1; }
kills run
kills parts
mkdir answers && "$build/tests/answers_of" cache answers 2>stderr || exit 70
kills import
kills fit
kills sweep
races
signals "run" 300 $dump --out out-signal
signals "run, decoding" 60 $dump --out out-signal
signals "run, a slow teacher" 4000 $dwell --teacher-check off --out out-signal
signals "run --dry-run, a slow teacher" 4000 $dwell --teacher-check off --out out-signal --dry-run
signals "run, the teacher check" 3000 $dwell --out out-signal --teacher-check warn
if "$build/teacher_dump" inspect quick.onnx --teacher-engine onnxruntime >/dev/null 2>&1; then
    signals "run, a slow teacher in onnxruntime" 4000 $dwell --teacher-check off --out out-signal --teacher-engine onnxruntime
fi
signals "verify" 30 "$build/teacher_dump" verify cache
signals "recheck" 100 "$build/teacher_dump" recheck cache --teacher quick.onnx -n 500 --device cpu
signals "fit" 500 $fit --epochs 1000 --out out-signal
signals "sweep" 500 $sweep --epochs 500 --out out-signal
signals "search" 500 "$build/student_train" search --cache cache --loss kd --epochs 64 --candidates 8 --max-params 20000 --device cpu --quiet \
    --out out-signal
signals "predict" 200 "$build/student_train" predict --run wanted-fit --data photos --out out-signal.csv --device cpu
signals "import" 60 "$build/teacher_dump" import --cache cache --answers answers --out out-signal
echo "# $failures complaints, seed $seed"
[ $failures -eq 0 ]
