#!/bin/bash
# Runs clang-tidy (.clang-tidy) on the C sources, from compile_commands.json, which `make tidy` writes first.
# usage: scripts/tidy.sh [FILE...]     without files: every C source outside tests/, which takes minutes
# Exit code: 0 nothing was found, 1 something was, 69 clang-tidy is not installed.
set -u
cd "$(dirname "$0")/.." || exit 66
command -v clang-tidy >/dev/null || { echo "tidy: needs clang-tidy (apt-get install clang-tidy)" >&2; exit 69; }
sources=("$@")
[ $# -gt 0 ] || mapfile -t sources < <(find shared formats teacher_dump student_train -name '*.c' | sort)
found=$(printf '%s\n' "${sources[@]}" | xargs -P "${JOBS:-$(nproc)}" -n 1 clang-tidy -p . --quiet 2>/dev/null)
[ -z "$found" ] || printf '%s\n' "$found"
count=$(grep -cE ': (warning|error): ' <<<"$found")
echo "tidy: ${#sources[@]} files, $count findings"
[ "$count" -eq 0 ]
