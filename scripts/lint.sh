#!/bin/bash
# Formatting (.clang-format) and static analysis (cppcheck). A tool that is not installed is skipped, with the reason.
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
if command -v cppcheck >/dev/null; then
    cppcheck --quiet --error-exitcode=1 --enable=warning,portability --std=c11 --inline-suppr -I . -j "$(nproc)" \
        --suppress=missingIncludeSystem --suppressions-list=scripts/cppcheck_suppressions.txt \
        shared formats teacher_dump student_train || failed=1
else
    echo "lint: SKIP static analysis: cppcheck is not installed"
fi
[ $failed -eq 0 ] && echo "lint: ${#sources[@]} files checked"
exit $failed
