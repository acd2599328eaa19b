#!/bin/bash
# The process that gives shards of old versions to libhdf5 (formats/cache/hdf5_child.h), taken over by somebody: a reader of the
# test's own stands in its place. It gets nothing of ours but the shard, cannot write to the terminal, and cannot go on for ever.
set -u
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check() { # NAME, then a command; its output explains a failure
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then echo "ok $name"; else echo "not ok $name: $output"; fi
}
cp "$build/teacher_dump" "$work/" # it looks for the reader in its own folder first
cache=tests/golden/caches/version_1
become() { # TEXT of a shell script
    printf '#!/bin/sh\n%s\n' "$1" >"$work/softcache_hdf5_reader"
    chmod +x "$work/softcache_hdf5_reader"
}
verify() { "$work/teacher_dump" verify "$cache" 3<"$cache/cache.json" >"$work/stdout" 2>"$work/stderr"; }

nothing_else_is_open() {
    become "for file in /proc/\$\$/fd/*; do echo \"\${file##*/} \$(readlink \$file)\"; done >'$work/open'; echo escaped >&2"
    ! verify || { echo "a cache without tables is accepted"; return 1; }
    grep -qx '2 /dev/null' "$work/open" && ! grep -q cache.json "$work/open" || { cat "$work/open"; return 1; }
    ! grep -q escaped "$work/stderr" || { cat "$work/stderr"; return 1; }
}
check nothing_else_is_open nothing_else_is_open

slow_answers_end() {
    local start=$SECONDS
    become 'while :; do printf o; sleep 1; done'
    timeout 400 "$work/teacher_dump" verify "$cache" --quiet >"$work/stdout" 2>"$work/stderr"
    [ $? = 65 ] || { echo "after $((SECONDS - start)) s: $(<"$work/stdout") $(<"$work/stderr")"; return 1; }
    grep -q 'did not come to an end' "$work/stdout" "$work/stderr" || { cat "$work/stdout" "$work/stderr"; return 1; }
}
check slow_answers_end slow_answers_end
