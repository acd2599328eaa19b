#!/bin/bash
# Kernels of losses compute in pairs of floats or, where a GPU has the units for it, in double (shared/training/losses/float_pair.cuh). The
# tests of the losses run with the first form on the execution shim; here they run with the second.
set -u
build=$(realpath "${BUILD:-build}")
export SOFTCACHE_TEST_CUDA=$build/shim/double/softcache_cuda.so
unset TEST_CASE CMOCKA_MESSAGE_OUTPUT
if [ ! -e "$SOFTCACHE_TEST_CUDA" ]; then
    echo "ok losses_in_double # SKIP no execution shim was built"
    exit
fi
for of in contrast features golden learned logits relations; do
    said=$("$build/tests/test_loss_$of" 'on cuda' 2>&1)
    status=$?
    if [ $status = 0 ] && grep -q '^\[       OK \]' <<<"$said"; then
        echo "ok losses of test_loss_$of in double"
    else
        echo "not ok losses of test_loss_$of in double: exit code $status: $(grep -v '^\[' <<<"$said" | tail -4)"
    fi
done
