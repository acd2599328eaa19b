#!/bin/bash
# Exported ONNX, safetensors and student.py give onnxruntime and PyTorch the logits of the C reference to 1e-4.
# SOFTCACHE_PYTHON: a Python with numpy and torch, safetensors, onnx, onnxruntime (each is skipped where it is missing).
set -u
python=${SOFTCACHE_PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if ! "${BUILD:-build}/tests/test_export" "$folder"; then
    echo "not ok exports: cannot be written"
    exit 1
fi
if ! "$python" -c 'import numpy' 2>/dev/null; then
    echo "ok exports in Python # SKIP no $python with numpy (set SOFTCACHE_PYTHON)"
    exit 0
fi
"$python" "$(dirname "$0")/check_exports.py" "$folder" || echo "not ok exports in Python: the check itself failed"
