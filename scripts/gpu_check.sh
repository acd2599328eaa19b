#!/bin/bash
# Checks and measures the GPU backend on a machine with an NVIDIA GPU: runs every kernel test on the GPU, compares whole programs
# on CPU and GPU, runs benchmarks beside PyTorch's, NVIDIA's sanitizers and the profiler. Continues after a failure, prints one
# table at the end and writes the page docs/benchmarks/GPU-NAME.md. Tools that are not installed (PyTorch, compute-sanitizer, ncu)
# are skipped, with the reason. Never changes a setting of the GPU.
# usage: scripts/gpu_check.sh [DIST_FOLDER] [--quick|--full] [--only SECTION,...] [--out FOLDER] [--work FOLDER] [--dry-run] [--simulate|--simulate-cpu]
#   DIST_FOLDER   a folder of `make dist`; the default is the dist folder that this script is in, or else the tree, which is built
#   --quick       at most 9 minutes (default); --full: 40 minutes, longer measurements, larger data
#   --out         folder for the page (default: docs/benchmarks of the tree or of the dist folder)
#   --simulate    needs no GPU: runs every section with small sizes, on the execution shim if it was built, otherwise on the CPU
#   --simulate-cpu  the same on the CPU: this tests the script, not the backend
# Exit code: 0 all passed, 1 something failed, 69 no GPU, 64 usage.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
sections="machine kernels parity benchmarks sanitizers profile"

usage() {
    sed -nE '/^# usage/,/^# Exit/s/^# ?//p' "$0" >&2
    exit 64
}

# Seconds that a section may take, quick and full.
limit_of() {
    local quick full
    case $1 in
    machine) quick=15 full=60 ;;
    kernels) quick=60 full=300 ;;
    parity) quick=120 full=400 ;;
    benchmarks) quick=235 full=900 ;;
    sanitizers) quick=80 full=600 ;;
    profile) quick=30 full=180 ;;
    esac
    if [ "$MODE" = full ]; then echo $full; else echo $quick; fi
}

export MODE=quick
only=$sections dist='' out='' work='' dry='' shim=shim
while [ $# -gt 0 ]; do
    case $1 in
    --quick | --full | --simulate) MODE=${1#--} ;;
    --simulate-cpu) MODE=simulate shim=cpu ;;
    --dry-run) dry=1 ;;
    --only | --out | --work)
        [ $# -gt 1 ] || usage
        printf -v "${1#--}" %s "${2//,/ }"
        shift
        ;;
    --* | "") usage ;;
    *) [ -z "$dist" ] && [ -x "$1/bin/student_train" ] || usage
        dist=$(cd "$1" && pwd) ;;
    esac
    shift
done
for section in $only; do
    [[ " $sections " == *" $section "* ]] || { echo "gpu_check: unknown section '$section' (known sections: $sections)" >&2; exit 64; }
done
if [ -n "$dry" ]; then
    for section in $only; do
        printf '%-11s at most %3d s: %s\n' "$section" "$(limit_of "$section")" "$(sed -n '2s/^# //p' "$root/scripts/gpu/$section.sh")"
    done
    exit 0
fi
if [ "$MODE" != simulate ] && ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo "gpu_check: no NVIDIA GPU with a working driver here (nvidia-smi -L finds none)" >&2
    exit 69
fi

# Where the programs are: a dist folder, or the tree's build/.
[ -n "$dist" ] || [ ! -x "$root/bin/student_train" ] || dist=$root
if [ -n "$dist" ]; then
    [ -d "$dist/tests" ] || tar -C "$dist" -xJf "$dist/tests.tar.xz" 2>/dev/null || "${SOFTCACHE_PYTHON:-python3}" -m tarfile -e "$dist/tests.tar.xz" "$dist" || exit 73
    export PROGRAMS=$dist/bin TESTS=$dist/tests TOOLS=$dist/bin PLUGINS=$dist/lib/softcache/plugins
    export SOFTCACHE_TEST_CUDA=$dist/lib/softcache/softcache_cuda.so SCRIPTS=$dist/scripts
    out=${out:-$dist/docs/benchmarks}
else
    build=${BUILD:-$root/build}
    if [ "$MODE" != simulate ]; then
        echo "building $root"
        make -C "$root" -j"$(nproc)" programs tests bench-programs >"$build-gpu_check.log" 2>&1 ||
            { tail -20 "$build-gpu_check.log" >&2; echo "gpu_check: the build failed; use a folder that \`make dist\` made on another machine" >&2; exit 70; }
    fi
    export PROGRAMS=$build TESTS=$build/tests TOOLS=$build PLUGINS=$build/plugins SCRIPTS=$root/scripts
    export SOFTCACHE_TEST_CUDA=$build/softcache_cuda.so
    out=${out:-$root/docs/benchmarks}
fi
export DEVICE=cuda PYTHON=${SOFTCACHE_PYTHON:-python3} WORK=${work:-$(mktemp -d)}
export CPU_PROGRAMS=$PROGRAMS ROWS=$WORK/rows.tsv
if [ "$MODE" = simulate ]; then
    if [ -x "$PROGRAMS/$shim/student_train" ]; then
        export SOFTCACHE_TEST_CUDA=$PROGRAMS/shim/softcache_cuda.so
        export PROGRAMS=$PROGRAMS/shim
    else
        export DEVICE=cpu
        unset SOFTCACHE_TEST_CUDA # the tests look for the shim themselves
    fi
fi
mkdir -p "$WORK" "$out" || exit 73
: >"$ROWS"
[ -n "$work" ] || trap 'rm -rf "$WORK"' EXIT
. "$SCRIPTS/gpu/common.sh"
find_nvidia_libraries

# An interruption still prints and writes what was measured until then.
child=''
finish() {
    trap - INT TERM
    [ -z "$child" ] || kill "$child" 2>/dev/null
    . "$SCRIPTS/gpu/page.sh"
    write_page "$out"
    print_summary
    ! grep -q $'\tFAIL\t' "$ROWS"
    exit
}
trap finish INT TERM

started=$SECONDS
for section in $only; do
    begun=$SECONDS
    SECTION=$section SECTION_LIMIT=$(limit_of "$section")
    export SECTION SECTION_LIMIT
    echo "== $section"
    timeout -k 5 "$SECTION_LIMIT" bash "$SCRIPTS/gpu/$section.sh" >"$WORK/$section.log" 2>&1 &
    child=$!
    wait $child
    code=$? child=''
    grep -aE '^(ok  |FAIL|skip|info) ' "$WORK/$section.log"
    if [ $code -eq 124 ] || [ $code -eq 137 ]; then
        fail "stopped" "after $SECTION_LIMIT s" "the section's time limit"
    elif [ $code -ne 0 ]; then
        fail "ended with exit code $code" "" "$(tail -n 1 "$WORK/$section.log" | cut -c 1-150)"
    fi
    echo "   $((SECONDS - begun)) s"
done
echo "$((SECONDS - started)) s in total"
finish
