#!/bin/bash
# Whole runs with terms on features against PyTorch: student_train's losses and final weights over three epochs are those
# of a PyTorch loop with the papers' formulas over the same cache (read with h5py), from the same initial weights.
# SOFTCACHE_PYTHON names a Python with torch, h5py and numpy.
set -u
python=${SOFTCACHE_PYTHON:-python3}
build=${BUILD:-build}
if ! "$python" -c 'import torch, h5py, numpy' 2>/dev/null; then
    echo "ok methods_equal_pytorchs # SKIP no $python with torch and h5py (set SOFTCACHE_PYTHON)"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HDF5_PLUGIN_PATH=$build/plugins OMP_NUM_THREADS=1
"$python" "$(dirname "$0")/check_methods.py" "$build" "$folder" || echo "not ok methods_equal_pytorchs: the check itself failed"
