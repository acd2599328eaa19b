#!/bin/bash
# Runs every test program of a folder and every script tests/test_*.sh, and adds up their counts.
# A test program is a cmocka program: its output is read in TAP form. A script prints "ok NAME", "not ok NAME: why" or
# "ok NAME # SKIP why" per check. A program that crashes, hangs, or ends before its plan counts as one more failure.
# usage: scripts/run_tests.sh FOLDER [NAME...]     names: "cache" runs test_cache only
set -u
folder=$1
shift
limit=${TEST_TIMEOUT:-900}
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

tests=()
for test in "$folder"/test_* tests/test_*.sh; do
    name=${test##*/test_}
    case $test in *.d | *.o) continue ;; esac
    [ -f "$test" ] && [ -x "$test" ] || continue
    [ $# -eq 0 ] || [[ " $* " == *" ${name%.sh} "* ]] || continue
    tests+=("$test")
done

number=0
for test in "${tests[@]}"; do
    number=$((number + 1))
    [ ! -t 1 ] || printf '\r\033[K[%d/%d] %s ...' $number ${#tests[@]} "${test##*/}"
    start=${EPOCHREALTIME/[.,]/}
    BUILD=${folder%/tests} CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 "$limit" "$test" >"$log" 2>&1 </dev/null
    code=$?
    milliseconds=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
    s=$(grep -aciE '^(not )?ok .*# *skip' "$log") # cmocka writes "not ok 1 # SKIP name"
    p=$(grep -aiE '^ok ' "$log" | grep -civE '# *skip')
    f=$(grep -aiE '^not ok ' "$log" | grep -civE '# *skip')
    planned=$(sed -nE 's/^1\.\.([0-9]+).*/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
    why=
    if [ $code -eq 124 ]; then
        why="stopped after $limit s (TEST_TIMEOUT)"
    elif [ $code -gt 128 ]; then
        why="died of signal $(kill -l $((code - 128)))"
    elif [ $((p + s + f)) -lt "$planned" ]; then
        why="ended after $((p + s + f)) of $planned checks, exit code $code"
    elif [ $code -ne 0 ] && [ "$f" -eq 0 ]; then
        why="exit code $code without a failed check"
    elif [ $((p + s + f)) -eq 0 ]; then
        why="checked nothing"
    fi
    [ -z "$why" ] || f=$((f + 1))
    [ ! -t 1 ] || printf '\r\033[K'
    printf '%-34s %4d passed %3d failed %3d skipped %5d.%d s\n' "${test##*/}" $p $f "$s" \
        $((milliseconds / 1000)) $((milliseconds % 1000 / 100))
    [ "$f" -eq 0 ] || cat "$log"
    [ -z "$why" ] || echo "$test: $why"
    grep -aiE '# *skip' "$log"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
