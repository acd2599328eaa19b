#!/bin/bash
# scripts/gpu_check.sh without a GPU: it says so; simulated, every section runs and the page is written; a failure is reported.
set -u
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check() { # NAME, then a command; its output explains a failure
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then echo "ok $name"; else echo "not ok $name: $output"; fi
}
if ldd "$build/student_train" | grep -qE 'lib[atu]b?san'; then
    echo "ok gpu_check # SKIP a sanitized build needs too long"
    exit 0
fi
export SOFTCACHE_PYTHON=/bin/false # PyTorch's side has no place in a quick test

refused() {
    local output code
    mkdir -p "$work/bin"
    printf '#!/bin/sh\nexit 9\n' >"$work/bin/nvidia-smi"
    chmod +x "$work/bin/nvidia-smi"
    output=$(PATH=$work/bin:$PATH scripts/gpu_check.sh --out "$work" 2>&1)
    code=$?
    [[ $code -eq 69 && $output == *"no NVIDIA GPU"* ]] || { echo "exit code $code: $output"; return 1; }
    scripts/gpu_check.sh --only kernel >/dev/null 2>&1
    [ $? -eq 64 ]
}
check without_a_gpu_it_says_so refused

sections_named() {
    local output
    output=$(scripts/gpu_check.sh --dry-run) && [ "$(wc -l <<<"$output")" -eq 6 ] || { echo "$output"; return 1; }
}
check dry_run_lists_the_sections sections_named

# simulated OPTION: leaves what it printed in work/log
simulated() {
    rm -rf "$work/work" "$work/page"
    BUILD=$build scripts/gpu_check.sh "$1" --out "$work/page" --work "$work/work" >"$work/log" 2>&1 &&
        grep -qE '^[1-9][0-9]* ok, 0 FAILED' "$work/log" && grep -q 'kill -9 and resume: student | same weights' "$work/page/simulated.md" &&
        grep -qE 'student C, bf16, batch [0-9]+ \| [1-9]' "$work/page/simulated.md" || { cat "$work/log" "$work/page/simulated.md"; return 1; }
}
check every_section_runs_on_the_cpu simulated --simulate-cpu
if [ -x "$build/shim/student_train" ]; then
    check every_section_runs_on_the_shim simulated --simulate
else
    echo "ok every_section_runs_on_the_shim # SKIP no execution shim was built"
fi

# Planted: a program whose training ends elsewhere after a resume.
reported() {
    mkdir -p "$work/broken/tests"
    ln -s "$PWD/$build"/{teacher_dump,synthetic_images,softcache_onednn.so,obj} "$work/broken"
    printf '#!/bin/bash\nfor word; do [ "$word" != --resume ] || set -- "$@" --lr 2e-3; done\nexec %q "$@"\n' "$PWD/$build/student_train" >"$work/broken/student_train"
    chmod +x "$work/broken/student_train"
    BUILD=$work/broken scripts/gpu_check.sh --simulate-cpu --only parity --out "$work/page" --work "$work/work2" >"$work/log" 2>&1
    [ $? -eq 1 ] && grep -q 'FAIL kill -9 and resume: student' "$work/log" && grep -q 'ok   fp32 loss curve' "$work/log" || { cat "$work/log"; return 1; }
}
check a_failure_is_reported_and_the_rest_goes_on reported
