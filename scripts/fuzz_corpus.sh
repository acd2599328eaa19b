#!/bin/bash
# Makes tests/corpus, which tests/test_corpus.c replays: of what `make fuzz` has kept in build-fuzz/corpus/NAME, and of the files
# that are there, the fewest that reach as much. Only inputs made by us or by the fuzzer may get in: start from an empty
# build-fuzz/corpus with FUZZ_OWN_SEEDS=1 make fuzz.
# usage: scripts/fuzz_corpus.sh [NAME...]     drivers (all)
# environment: MAX_LEN   bytes of the largest input (4096)
set -u
cd "$(dirname "$0")/.." || exit 70
names=("$@")
failed=0 small='' name=''
trap '[ -z "$small" ] || rm -rf "$small" "tests/corpus/$name.new"' EXIT
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(ls tests/fuzz_*.c | sed -E 's,.*fuzz_(.*)\.c,\1,')
for name in "${names[@]}"; do
    fuzzer=build-fuzz/tests/fuzz_$name
    [ -x "$fuzzer" ] || { echo "fuzz_corpus: no $fuzzer: run make fuzz FUZZ_ONLY=$name" >&2; exit 66; }
    mkdir -p "tests/corpus/$name" "build-fuzz/corpus/$name"
    small=$(mktemp -d)
    # libFuzzer cuts inputs that are longer, so those are left out
    find "tests/corpus/$name" "build-fuzz/corpus/$name" -type f -size "-$((${MAX_LEN:-4096} + 1))c" -exec cp -n -t "$small" {} +
    rm -rf "tests/corpus/$name.new" && mkdir "tests/corpus/$name.new"
    if "$fuzzer" -merge=1 -use_counters=0 "tests/corpus/$name.new" "$small" >"build-fuzz/corpus/$name.merge" 2>&1; then
        rm -rf "tests/corpus/$name" && mv "tests/corpus/$name.new" "tests/corpus/$name"
        echo "$name: $(ls "$small" | wc -l) inputs, $(ls "tests/corpus/$name" | wc -l) kept, $(du -bs "tests/corpus/$name" | cut -f1) bytes"
    else
        tail -5 "build-fuzz/corpus/$name.merge"
        echo "fuzz_corpus: $name was not merged: see build-fuzz/corpus/$name.merge" >&2
        failed=1
    fi
    rm -rf "$small" "tests/corpus/$name.new"
done
exit $failed
