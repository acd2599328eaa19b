#!/bin/bash
# Checks formatting (.clang-format), C sources (cppcheck), shell scripts (shellcheck) and the list of tests. A tool that is not
# installed is skipped, with the reason.
set -u
cd "$(dirname "$0")/.." || exit 66
failed=0
mapfile -t sources < <(find shared formats teacher_dump student_train tests -regex ".*\.\([ch]\|cu\|cuh\|cpp\)" \
    ! -path 'tests/golden/*' 2>/dev/null | sort)

version=$(clang-format --version 2>/dev/null | sed -E 's/.*version ([0-9]+).*/\1/')
if [ "$version" = 14 ]; then
    clang-format --dry-run -Werror "${sources[@]}" || { echo "lint: not formatted; run: make format"; failed=1; }
else
    echo "lint: SKIP formatting: needs clang-format 14 (others format differently), found ${version:-none}"
fi
# clang-format does not reflow comments: nobody else would notice a long line. Sections without clang-format may have them.
long=$(awk 'FNR == 1 { off = 0 } /clang-format off/ { off = 1 } /clang-format on/ { off = 0 } !off { print FILENAME ":" FNR ":" $0 }' \
    "${sources[@]}" | LC_ALL=C.UTF-8 grep -P '^[^:]*:[0-9]*:.{121}' | cut -d: -f1,2)
[ -z "$long" ] || { echo "lint: longer than 120 columns:" $long; failed=1; }
if command -v cppcheck >/dev/null; then
    cppcheck --quiet --error-exitcode=1 --enable=warning,portability --std=c11 --inline-suppr -I . -j "$(nproc)" \
        --suppress=missingIncludeSystem --suppressions-list=scripts/cppcheck_suppressions.txt \
        shared formats teacher_dump student_train || failed=1
else
    echo "lint: SKIP static analysis: cppcheck is not installed"
fi
mapfile -t scripts < <(ls scripts/*.sh scripts/gpu/*.sh tests/*.sh .ci/run)
if command -v shellcheck >/dev/null; then
    shellcheck -S warning "${scripts[@]}" || failed=1
else
    echo "lint: SKIP shell scripts: shellcheck is not installed"
fi
while read -r name kind why; do
    case $name in '' | '#'*) continue ;; esac
    compgen -G "tests/test_$name.[cs]*" >/dev/null || { echo "tests/schedule.txt: there is no test '$name'"; failed=1; }
    [[ $kind =~ ^(slow|alone)$ && -n $why ]] || { echo "tests/schedule.txt: $name: write slow or alone, and why"; failed=1; }
done <tests/schedule.txt
[ $failed -eq 0 ] && echo "lint: ${#sources[@]} sources and ${#scripts[@]} scripts checked"
exit $failed
