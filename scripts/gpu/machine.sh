#!/bin/bash
# GPU, driver, clocks and what is installed: CUDA, cuDNN, PyTorch, NVIDIA's tools
. "$SCRIPTS/gpu/common.sh"
query() { nvidia-smi --query-gpu="$1" --format=csv,noheader -i 0 2>/dev/null; }
version_of() { command -v "$1" >/dev/null && "$1" --version 2>/dev/null | grep -iE 'version|release' | tail -1; }

if [ "$MODE" = simulate ]; then
    info GPU "none" "simulated: no figure of this page is a measurement of a GPU"
else
    info GPU "$(query name)" "compute capability $(query compute_cap), $(query memory.total)"
    info driver "$(query driver_version)" "clocks at rest: SM $(query clocks.sm), memory $(query clocks.mem); at most $(query clocks.max.sm), $(query clocks.max.mem); power limit $(query power.limit)"
fi
info processor "$(grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //')" "$(nproc) processors, $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo)"
info softcache "$("$PROGRAMS/student_train" --version | sed 's/.* //')" "$(for object in "$PROGRAMS"/softcache_*.so "$PROGRAMS"/../lib/softcache/softcache_*.so; do [ ! -e "$object" ] || basename "$object"; done | paste -sd' ')"
info CUDA "$(version_of nvcc || echo "no nvcc")" "$(version_of compute-sanitizer || echo "no compute-sanitizer"); $(version_of ncu || echo "no ncu")"
if output=$("$PYTHON" "$SCRIPTS/gpu/versions.py" 2>/dev/null); then
    info PyTorch "$(text <(echo "$output") torch)" "CUDA $(text <(echo "$output") cuda), cuDNN $(text <(echo "$output") cudnn), torchvision $(text <(echo "$output") torchvision)"
else
    skip PyTorch "$PYTHON has no torch (SOFTCACHE_PYTHON names another): no comparisons"
fi
