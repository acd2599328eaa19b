#!/bin/sh
# Turns the compiler calls that `make -n -B` prints into compile_commands.json: standard input to standard output.
# Each source is listed once, with the first call that compiles it. CUDA sources are listed as the tests' execution shim
# compiles them, because clangd does not know nvcc's options.
set -eu
cd "$(dirname "$0")/.."
awk -v folder="$PWD" '
    function text(value) { gsub(/["\\]/, "\\\\&", value); return "\"" value "\"" }
    match($0, / -c [^ ]+\.(c|cu|cpp) /) && !/^[^ ]*nvcc / {
        file = substr($0, RSTART + 4, RLENGTH - 5)
        if (file in listed) next
        listed[file] = 1
        sub(/^[ \t]+/, "")
        printf "%s\n  {\"directory\": %s, \"file\": %s,\n   \"command\": %s}", (count++ ? "," : "["), text(folder), text(file), text($0)
    }
    END { print count ? "\n]" : "[]" }'
