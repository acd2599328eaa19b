#!/bin/bash
# every test that drives kernels, natively on the GPU
. "$SCRIPTS/gpu/common.sh"
. "$SCRIPTS/gpu/device_tests.sh"
cd "$SCRIPTS/.." || exit # where the tests find tests/golden

total_passed=0 total_skipped=0
for test in $(device_tests); do
    [ "$MODE" != simulate ] || [[ $test == *_optimizer ]] || continue # `make test` runs the others
    name=${test##*/}
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 2 60 "$test" >"$WORK/$name.tap" 2>&1 </dev/null
    code=$?
    skipped=$(grep -aciE '^(not )?ok .*# *skip' "$WORK/$name.tap")
    passed=$(grep -aE '^ok ' "$WORK/$name.tap" | grep -civE '# *skip')
    failed=$(grep -aE '^not ok ' "$WORK/$name.tap" | grep -civE '# *skip')
    total_passed=$((total_passed + passed)) total_skipped=$((total_skipped + skipped))
    if [ $code -eq 0 ] && [ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]; then
        if [ "$passed" -gt 0 ]; then ok "$name" "$passed passed, $skipped skipped"
        else skip "$name" "$skipped skipped: $(grep -aoE '# skip: .*' "$WORK/$name.tap" | head -1 | cut -c 9-120)"; fi
    else
        fail "$name" "$passed passed, $failed failed, exit code $code" "$(grep -aE '^not ok |^# ' "$WORK/$name.tap" | grep -v '1\.\.' | head -3 | paste -sd' ' | cut -c 1-200)"
        cat "$WORK/$name.tap"
    fi
done
[ -n "$(device_tests)" ] || skip "kernel tests" "none were built"
info "kernel tests in all" "$total_passed passed, $total_skipped skipped"
