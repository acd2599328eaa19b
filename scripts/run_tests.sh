#!/bin/bash
# Runs every test program of a folder and every script tests/test_*.sh, several at once, and adds up their counts.
# A test program is a cmocka program: its output is read in TAP form. A script prints "ok NAME", "not ok NAME: why" or
# "ok NAME # SKIP why" per check. A program that crashes, hangs, or ends before its plan counts as one more failure.
# usage: scripts/run_tests.sh [--fast] FOLDER [NAME...]     names: "cache" runs test_cache only
#   --fast   leaves out the tests that tests/schedule.txt calls slow, unless they are named
# environment:
#   JOBS           tests that run at the same time (default: the number of processors)
#   TEST_CASE      a pattern with * and ?: runs only the cases whose names contain it, of test programs
#   TEST_TIMEOUT   seconds that one test may take (900)
# Results are printed in the order of names, each as soon as those before it are there; tests that run alone come last.
set -u
fast=
if [ "${1-}" = --fast ]; then
    fast=yes
    shift
fi
folder=$1
shift
limit=${TEST_TIMEOUT:-900}
jobs=${JOBS:-$(nproc)}
long=30 # seconds: make check names a test that takes longer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# tests/schedule.txt has lines "NAME slow|alone why".
scheduled() { sed -nE "s/^([a-z0-9_]+) +$1 .*/\1/p" tests/schedule.txt; }
mapfile -t slow < <(scheduled slow)
mapfile -t alone < <(scheduled alone)
is_in() { # WORD, LIST...
    local word=$1
    shift
    [[ " $* " == *" $word "* ]]
}
name_of() { # PATH; a program and a script may have the same
    local name=${1##*/test_}
    printf %s "${name%.sh}"
}

names=("${@#test_}")
together=() apart=() known=()
for test in "$folder"/test_* tests/test_*.sh; do
    case $test in *.d | *.o) continue ;; esac
    if [ ! -f "$test" ] || [ ! -x "$test" ]; then continue; fi
    name=$(name_of "$test")
    known+=("$name")
    if [ ${#names[@]} -gt 0 ]; then
        is_in "$name" "${names[@]}" || continue
    elif [ -n "$fast" ] && is_in "$name" "${slow[@]}"; then
        continue
    fi
    [ -z "${TEST_CASE-}" ] || [[ $test != *.sh ]] || continue # scripts have no cases
    if is_in "$name" "${alone[@]}"; then apart+=("$test"); else together+=("$test"); fi
done
for name in "${names[@]}"; do
    is_in "$name" "${known[@]}" || { echo "run_tests: there is no test '$name' in $folder or tests/" >&2; exit 64; }
done
tests=("${together[@]}" "${apart[@]}")

# Runs a test, leaves its output in $work/FILE.log and "EXIT_CODE MILLISECONDS" in $work/FILE.done.
run_test() { # PATH
    local file=${1##*/} child code start=${EPOCHREALTIME/[.,]/}
    # A shell lets its background jobs ignore interrupts; tests send themselves some.
    BUILD=${folder%/tests} CMOCKA_MESSAGE_OUTPUT=TAP \
        env --default-signal=INT,QUIT timeout -k 10 "$limit" "$1" >"$work/$file.log" 2>&1 </dev/null &
    child=$!
    trap 'kill $child 2>/dev/null; wait $child' TERM
    { wait $child; } 2>/dev/null # a shell would report a crash once more
    code=$?
    echo "$code $(((${EPOCHREALTIME/[.,]/} - start) / 1000))" >"$work/$file.part"
    mv "$work/$file.part" "$work/$file.done"
}

passed=0 failed=0 skipped=0
report() { # PATH
    local log=$work/${1##*/}.log code milliseconds p f s planned why=
    read -r code milliseconds <"$work/${1##*/}.done"
    s=$(grep -aciE '^(not )?ok .*# *skip' "$log") # cmocka writes "not ok 1 # SKIP name"
    p=$(grep -aiE '^ok ' "$log" | grep -civE '# *skip')
    f=$(grep -aiE '^not ok ' "$log" | grep -civE '# *skip')
    planned=$(sed -nE 's/^1\.\.([0-9]+).*/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
    if [ "$code" -eq 124 ]; then
        why="stopped after $limit s (TEST_TIMEOUT)"
    elif [ "$code" -gt 128 ]; then
        why="died of signal $(kill -l $((code - 128)))"
    elif [ $((p + s + f)) -lt "$planned" ]; then
        why="ended after $((p + s + f)) of $planned checks, exit code $code"
    elif [ "$code" -ne 0 ] && [ "$f" -eq 0 ]; then
        why="exit code $code without a failed check"
    elif [ $((p + s + f)) -eq 0 ]; then
        [ -z "${TEST_CASE-}" ] || return # no case of this program was chosen
        why="checked nothing"
    fi
    [ -z "$why" ] || f=$((f + 1))
    [ ! -t 1 ] || printf '\r\033[K'
    printf '%-34s %4d passed %3d failed %3d skipped %5d.%d s\n' "${1##*/}" "$p" "$f" "$s" \
        $((milliseconds / 1000)) $((milliseconds % 1000 / 100))
    [ "$f" -eq 0 ] || cat "$log"
    [ -z "$why" ] || echo "$1: $why"
    grep -aiE '# *skip' "$log"
    if [ -n "$fast" ] && [ ${#names[@]} -eq 0 ] && [ $((milliseconds / 1000)) -ge $long ]; then
        echo "${1##*/} takes more than $long s: a line in tests/schedule.txt takes it out of this run"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# Reports what is finished and next in order; waits for no test.
reported=0
report_finished() {
    while [ $reported -lt ${#tests[@]} ] && [ -e "$work/${tests[reported]##*/}.done" ]; do
        report "${tests[reported]}"
        reported=$((reported + 1))
    done
    [ ! -t 1 ] || [ $reported -eq ${#tests[@]} ] ||
        printf '\r\033[K[%d/%d] %s ...' $((reported + 1)) ${#tests[@]} "${tests[reported]##*/}"
}

stop() {
    trap '' INT TERM
    mapfile -t children < <(jobs -p)
    [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null
    wait
    exit 130
}
trap stop INT TERM

# Slow tests start first, in the order of their list, so that no long one is left at the end.
order=()
for name in "${slow[@]}"; do
    for test in "${together[@]}"; do
        [ "$(name_of "$test")" != "$name" ] || order+=("$test")
    done
done
for test in "${together[@]}"; do
    is_in "$(name_of "$test")" "${slow[@]}" || order+=("$test")
done

running=0
for test in "${order[@]}"; do
    if [ $running -ge "$jobs" ]; then
        wait -n
        running=$((running - 1))
        report_finished
    fi
    run_test "$test" &
    running=$((running + 1))
done
while wait -n; [ $? -ne 127 ]; do # 127: no job is left
    report_finished
done
for test in "${apart[@]}"; do
    run_test "$test" &
    wait
    report_finished
done
while [ $reported -lt ${#tests[@]} ]; do # a process of the runner itself was killed
    echo "${tests[reported]}: ended without a result"
    failed=$((failed + 1)) reported=$((reported + 1))
    report_finished
done

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
