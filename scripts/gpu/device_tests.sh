# shellcheck shell=bash
# Lists the test programs that drive kernels on the device of SOFTCACHE_TEST_CUDA, the most telling first: where time runs out, the last
# ones are lost. It is sourced. A dist folder holds no other test programs; in a build folder they are those whose source includes the
# device helper.
device_tests() {
    all_device_tests | awk '
        { first = 3 }
        /test_training_parity$/ { first = 1 }
        /test_(kernels|loss_golden|cuda_render)$/ { first = 2 }
        /test_(cudnn_plans|teacher_runner|inference)$/ { first = 4 }
        { print first, $0 }' | sort -s -k 1,1n | cut -d " " -f 2-
}
all_device_tests() {
    local source
    if [ -d "$TESTS/../obj" ]; then
        for source in $(grep -l '"tests/helper_device.h"' "$SCRIPTS"/../tests/test_*.c 2>/dev/null); do
            source=${source##*/}
            [ ! -x "$TESTS/${source%.c}" ] || echo "$TESTS/${source%.c}"
        done
    else
        ls -d "$TESTS"/test_* 2>/dev/null
    fi
}
