#!/bin/bash
# Runs every test program of a folder and every script tests/test_*.sh, and adds up their counts.
# A test program is a cmocka program: its output is read in TAP form. A script prints "ok NAME", "not ok NAME: why" or
# "ok NAME # SKIP why" per check. A program that dies without finishing its plan counts as one more failure.
set -u
folder=$1
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for test in "$folder"/test_* tests/test_*.sh; do
    [ -x "$test" ] && [ ! -d "$test" ] || continue
    case $test in *.d|*.o) continue ;; esac
    start=$(date +%s.%N)
    BUILD=${folder%/tests} CMOCKA_MESSAGE_OUTPUT=TAP "$test" >"$log" 2>&1 </dev/null
    code=$?
    p=$(grep -cE '^ok ' "$log")
    s=$(grep -ciE '^ok .*# *skip' "$log")
    f=$(grep -cE '^not ok ' "$log")
    p=$((p - s))
    if { [ $code -ne 0 ] && [ $f -eq 0 ]; } || [ $((p + s + f)) -eq 0 ]; then
        f=$((f + 1))
        echo "$test: exit code $code without a failed check"
    fi
    printf '%-34s %4d passed %3d failed %3d skipped %7.1f s\n' "${test##*/}" $p $f $s "$(echo "$(date +%s.%N) - $start" | bc 2>/dev/null || echo 0)"
    [ $f -eq 0 ] || cat "$log"
    grep -iE '# *skip' "$log"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
