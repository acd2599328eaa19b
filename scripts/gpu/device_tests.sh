# shellcheck shell=bash
# Lists the test programs that drive kernels on the device of SOFTCACHE_TEST_CUDA. It is sourced. A dist folder holds no other test
# programs; in a build folder they are those whose source includes the device helper.
device_tests() {
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
