#!/bin/bash
# compute-sanitizer's memcheck, racecheck and initcheck on the kernel tests
. "$SCRIPTS/gpu/common.sh"
. "$SCRIPTS/gpu/device_tests.sh"
command -v compute-sanitizer >/dev/null || { skip compute-sanitizer "not installed (it comes with CUDA's toolkit)"; exit 0; }
cd "$SCRIPTS/.." || exit # where the tests find tests/golden

one() { # TOOL TEST: leaves its output and its exit code
    local log=$WORK/$1-${2##*/}.log
    timeout -k 2 "$(sized 60 300 60)" compute-sanitizer --tool "$1" --error-exitcode 86 "$2" >"$log" 2>&1 </dev/null
    echo $? >"$log.code"
}
export -f one sized

# The memory accesses of cuDNN and cuBLASLt are theirs, and racecheck is by far the slowest on them.
uses_nvidia_libraries() { [[ $1 == *cudnn* || $1 == *teacher* || $1 == *inference* ]]; }
jobs() {
    local tool test
    for tool in memcheck racecheck initcheck; do
        for test in $(device_tests); do
            [ $tool != memcheck ] && uses_nvidia_libraries "$test" || echo "$tool $test"
        done
    done
}

# The queue ends before the section's time limit strikes, so that what was found by then is reported.
jobs | timeout -k 5 $((SECTION_LIMIT - 10)) xargs -P 6 -L 1 bash -c 'one $0 $1'

for tool in memcheck racecheck initcheck; do
    clean=0 bad='' late=''
    for test in $(jobs | sed -n "s/^$tool //p"); do
        name=${test##*/} code=$(cat "$WORK/$tool-${test##*/}.log.code" 2>/dev/null)
        case $code in
        0) clean=$((clean + 1)) ;;
        124 | 137 | '') late+=" $name" ;;
        *) bad+=" $name"
            tail -40 "$WORK/$tool-$name.log" ;;
        esac
    done
    if [ -n "$bad" ]; then
        fail "$tool" "$clean programs clean, not:$bad" "$(grep -ahE '========= [A-Z(]' "$WORK/$tool-${bad##* }.log" | sed -n 2p | cut -c 1-150)"
    else
        ok "$tool" "$clean programs clean" "${late:+not finished in time:$late}"
    fi
done
