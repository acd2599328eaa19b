#!/bin/bash
# Every command of docs/tutorials is run, with small data (run_page.sh); and every message that docs/troubleshooting.md quotes is in the
# sources, word for word.
set -u
cd "$(dirname "$0")/.." || exit 1
for page in docs/tutorials/[a-z]*.md; do
    tests/run_page.sh "$page"
done

# String literals of the sources, with pieces that the compiler joins joined, and … in place of %d; file by file, so that a quote in a
# comment harms one file at most.
literals=$(find teacher_dump student_train shared formats -name '*.[ch]' | while read -r file; do
    tr '\n' ' ' <"$file" | sed -E "s/'\\\\?\"'//g; s/\"[[:space:]]*PRI([a-z])[0-9]+[[:space:]]*\"/\\1/g; s/\"[[:space:]]+\"//g" | grep -oE '"([^"\\]|\\.)*"'
done | sed -E 's/%%/\x01/g; s/%[-+ #0]*[0-9*]*(\.[0-9*]+)?(hh|h|ll|l|z|j|t)?[a-zA-Z]/…/g; s/\x01/%/g')
lost=0 quoted=0
while read -r message; do
    quoted=$((quoted + 1))
    # … is what the program fills in: the pieces around it stand in one literal, in this order
    pattern=$(sed -E 's/[][\\.*^$]/\\&/g; s/…/.*/g' <<<"$message")
    grep -q -- "$pattern" <<<"$literals" || { echo "not ok troubleshooting: no source says '$message'"; lost=$((lost + 1)); }
done < <(sed -nE 's/^> (.*)$/\1/p' docs/troubleshooting.md)
if [ "$quoted" -lt 10 ]; then echo "not ok troubleshooting: only $quoted messages were found in the page"; fi
if [ "$lost" -eq 0 ] && [ "$quoted" -ge 10 ]; then echo "ok troubleshooting_messages ($quoted)"; fi
