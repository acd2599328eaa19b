#!/bin/bash
# Teachers that our reader does not know, run by the installed onnxruntime, and averages of several teachers.
# SOFTCACHE_PYTHON names a Python with onnxruntime 1.19 or newer, onnx, h5py and hdf5plugin.
set -u
build=${BUILD:-build}
python=${SOFTCACHE_PYTHON:-python3}
if ! "$python" -c 'import onnx, onnxruntime, h5py, hdf5plugin' 2>/dev/null; then
    echo "ok onnxruntime # SKIP no $python with onnxruntime, onnx, h5py and hdf5plugin (set SOFTCACHE_PYTHON)"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" "$(dirname "$0")/check_onnxruntime.py" "$build" "$folder" || echo "not ok onnxruntime: the check itself failed"
