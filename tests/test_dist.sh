#!/bin/bash
# The folder of `make dist`, copied elsewhere and run with an empty environment: nothing beyond glibc comes from the system,
# and both stages work.
set -u
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work" "$build/dist/softcache-test" "$build/dist/softcache-test.tar.gz"' EXIT
checks="dist_is_made programs_start only_glibc_from_the_system photos_are_synthetic_and_repeatable both_stages_run missing_engine_is_named"

skip_all() {
    for check in $checks; do echo "ok $check # SKIP $1"; done
    exit 0
}
check() { # NAME, then a command; its output explains a failure
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then echo "ok $name"; else echo "not ok $name: $output"; fi
}
clean() { env -i "$@"; }

! ldd "$build/student_train" | grep -qE 'lib[atu]b?san' || skip_all "a sanitized build is not shipped"
command -v objdump >/dev/null && command -v dpkg >/dev/null || skip_all "no objdump or no dpkg"

made() {
    local size tests
    mapfile -t tests < <(grep -l helper_device.h tests/test_*.c | sed "s|^|$build/|; s|\\.c$||")
    scripts/make_dist.sh "$build" test "$build"/tests/test_random "${tests[@]}" || return 1
    size=$(du -sm "$build/dist/softcache-test" | cut -f1)
    [ "$size" -lt 60 ] || { echo "$size MB; it should stay below 60"; return 1; }
    tar -C "$work" -xzf "$build/dist/softcache-test.tar.gz" && mv "$work/softcache-test" "$work/elsewhere"
}
check dist_is_made made
dist=$work/elsewhere

started() {
    tar -C "$dist" -xJf "$dist/tests.tar.xz" && clean "$dist/bin/teacher_dump" --version && clean "$dist/bin/student_train" --version && clean "$dist/tests/test_random"
}
check programs_start started

own_libraries() {
    local strangers
    strangers=$(for file in "$dist"/bin/* "$dist"/tests/*; do clean /usr/bin/ldd "$file"; done | sed -nE 's/^\t([^ ]*) => ([^ ]*).*/\1 \2/p' |
        grep -vE '^(lib(c|m|dl|rt|pthread|resolv)|ld-linux[^ ]*)\.so' | grep -v " $dist/" | sort -u)
    [ -z "$strangers" ] || { echo "taken from elsewhere: $strangers"; return 1; }
    ls "$dist"/licenses/libhdf5* >/dev/null
}
check only_glibc_from_the_system own_libraries

photos="--train 60 --val 20 --classes 10 --width 96 --height 64"
repeatable() {
    clean "$dist/bin/synthetic_images" --out "$work/data" $photos --threads 2 &&
        clean "$dist/bin/synthetic_images" --out "$work/again" $photos --threads 1 && diff -r "$work/data" "$work/again" &&
        clean "$dist/bin/synthetic_images" --out "$work/other" $photos --seed 2 && ! diff -rq "$work/data" "$work/other" >/dev/null &&
        [ "$(find "$work/data" -name '*.jpg' | wc -l)" = 80 ]
}
check photos_are_synthetic_and_repeatable repeatable

stages() {
    clean "$dist/bin/teacher_dump" run --data "$work/data" --teacher none --out "$work/cache" --views 2 --size 32 --base 36 --quiet &&
        clean "$dist/bin/student_train" fit --cache "$work/cache" --student dwpw --epochs 1 --batch 16 --device cpu --out "$work/run" --quiet &&
        [ -s "$work/run/best.safetensors" ]
}
check both_stages_run stages

# The student just trained is the teacher.
missing_engine() {
    clean "$dist/bin/student_train" export --run "$work/run" --out "$work/exported" >/dev/null || return 1
    local output code
    output=$(clean "$dist/bin/teacher_dump" run --data "$work/data" --teacher "$work"/exported/*.onnx --size 32 --base 36 \
        --out "$work/none" --device cpu 2>&1)
    code=$?
    [[ $code -ne 0 && $output == *"make dist ONEDNN=1"* ]] || { echo "exit code $code, it said: $output"; return 1; }
}
check missing_engine_is_named missing_engine
