#!/bin/bash
# scripts/run_tests.sh on planted tests: every way to fail is counted, results are in order, chosen tests and cases are run.
set -u
runner=$PWD/scripts/run_tests.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 73
mkdir -p tests build/tests
check() { # NAME, what went wrong (empty: nothing)
    if [ -z "$2" ]; then echo "ok $1"; else echo "not ok $1: ${2//not ok/failed}"; fi
}
plant() { # NAME, COMMANDS
    printf '#!/bin/bash\n%s\n' "$2" >"build/tests/test_$1"
    chmod +x "build/tests/test_$1"
}
run() { # VARIABLE=VALUE... ARGUMENT...; leaves what it printed in $said and the exit code in $code
    local variables=()
    while [[ ${1-} == *=* ]]; do variables+=("$1") && shift; done
    said=$(env -u TEST_CASE -u TEST_TIMEOUT "${variables[@]}" bash "$runner" "$@" 2>&1)
    code=$?
}
expect() { # CODE, LAST LINE: prints what is wrong
    [[ $code -eq $1 && $(tail -1 <<<"$said") == "$2" ]] || echo "exit code $code, wanted $1 and '$2': $said"
}

printf 'later slow it is slow\nalone alone it wants everything\n' >tests/schedule.txt
plant first 'sleep 0.3; echo 1..2; echo "ok 1 - a"; echo "not ok 2 # SKIP b"'
plant later 'echo 1..1; echo "ok 1 - a"'
plant alone '[ "$(ls running 2>/dev/null)" = "" ] && echo "ok alone"'
plant busy 'mkdir -p running; touch running/busy; sleep 0.5; rm running/busy; echo "ok busy"'
run JOBS=3 build/tests
check "skips and passes are counted" "$(expect 0 "4 passed, 0 failed, 1 skipped")"
order=$(sed -nE 's/^test_([a-z]+) .*/\1/p' <<<"$said" | paste -sd' ')
check "results are in order, tests that run alone come last" "$([ "$order" = "busy first later alone" ] || echo "order: $order")"
run JOBS=1 build/tests first test_later
check "chosen tests" "$(expect 0 "2 passed, 0 failed, 1 skipped")"
run --fast build/tests
check "--fast leaves out what is slow" "$(expect 0 "3 passed, 0 failed, 1 skipped")"
run --fast build/tests later
check "--fast runs a slow test that is named" "$(expect 0 "1 passed, 0 failed, 0 skipped")"
run build/tests nothing
check "an unknown test is refused" "$(expect 64 "run_tests: there is no test 'nothing' in build/tests or tests/")"

printf '#!/bin/bash\necho "not ok script"; exit 1\n' >tests/test_first.sh
chmod +x tests/test_first.sh
run JOBS=2 build/tests first
check "a program and a script of the same name are both counted" "$(expect 1 "1 passed, 1 failed, 1 skipped")"
rm tests/test_first.sh

plant cases '[ "$TEST_CASE" != other ] || exit 0; echo "ok cases"'
run TEST_CASE=other build/tests cases later
check "a program without the chosen case is no failure" "$(expect 0 "1 passed, 0 failed, 0 skipped")"
rm build/tests/*

failing() { # NAME, COMMANDS, TEXT
    plant planted "$2"
    plant sound 'echo "ok sound"'
    run TEST_TIMEOUT=1 build/tests
    local why
    why=$(expect 1 "$4 passed, 1 failed, 0 skipped")
    [[ -n $why || $said == *"$3"* ]] || why="it does not say '$3': $said"
    check "$1" "$why"
}
failing "a crash" 'echo 1..2; echo "ok 1 - a"; kill -SEGV $$' "died of signal SEGV" 2
failing "a test that hangs" 'echo 1..1; sleep 30' "stopped after 1 s (TEST_TIMEOUT)" 1
failing "an end before the plan" 'echo 1..3; echo "ok 1 - a"; exit 0' "ended after 1 of 3 checks" 2
failing "a failed check" 'echo 1..1; echo "not ok 1 - a"; exit 1' "1 failed" 1
failing "an exit code without a failed check" 'echo "ok a"; exit 3' "exit code 3 without a failed check" 2
failing "a test that checks nothing" 'exit 0' "checked nothing" 1

plant hangs 'sleep 30 & echo $! >child; wait'
bash "$runner" build/tests >/dev/null 2>&1 &
stopped=$!
for _ in {1..100}; do [ -s child ] && break || sleep 0.05; done
kill -TERM $stopped
wait $stopped
code=$?
for _ in {1..100}; do kill -0 "$(<child)" 2>/dev/null && sleep 0.05 || break; done
check "a stopped run leaves no test behind" "$(if [ $code -ne 130 ] || kill -0 "$(<child)" 2>/dev/null; then echo "exit code $code, or the test still runs"; fi)"
