#!/bin/bash
# onnxruntime gives quantised presets in QDQ form the logits of the integer reference, to two steps of quantisation.
# SOFTCACHE_PYTHON: a Python with numpy, onnx and onnxruntime (skipped where one is missing).
set -u
python=${SOFTCACHE_PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if ! "$python" -c 'import numpy, onnx, onnxruntime' 2>/dev/null; then
    echo "ok quantised students in onnxruntime # SKIP no $python with numpy, onnx and onnxruntime (set SOFTCACHE_PYTHON)"
    exit 0
fi
if ! "${BUILD:-build}/tests/test_quantise" --write "$folder"; then
    echo "not ok quantised students: cannot be written"
    exit 1
fi
"$python" "$(dirname "$0")/check_int8.py" "$folder" || echo "not ok quantised students in onnxruntime: the check itself failed"
