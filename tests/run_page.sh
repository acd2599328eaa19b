#!/bin/bash
# Runs the commands of a page of documentation, in order, in an empty folder: every block that begins with ```sh.
# usage: tests/run_page.sh PAGE      prints a line "ok NAME", "not ok NAME: why" or "ok NAME # SKIP why" for each block
#
# A page says in comments, each on a line of its own, what a reader need not see:
#   <!-- before: COMMAND -->         runs first: makes data, or what the reader is told to have
#   <!-- small: s/100/2/ -->         sed changes the commands that follow, so that they are quick; it must change one of them
#   <!-- needs: WORD... -->          of the next block: programs; `slurm` is a running one; `python` is a Python with torch and onnx ($SOFTCACHE_PYTHON, which
#                                    `python3` then is); a block that lacks one is skipped
#   <!-- without: COMMAND -->        of the next block: makes what later blocks need where it is skipped
#   <!-- expect: TEXT -->            of the block before: its output has this
#   <!-- programs: FOLDER -->        of the build that the commands run from: `shim` has a GPU backend without a GPU
# The programs are in $BUILD, the project's root is in $ROOT.
set -u
ROOT=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$(cd "${BUILD:-build}" && pwd)
export ROOT BUILD
page=$(realpath "$1")
name=$(basename "$page" .md)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/at" "$work/blocks"
cd "$work/at" || exit 1
ln -s "$ROOT/scripts" scripts
ln -s "$BUILD" build
export PATH=$work/bin:$BUILD:$PATH
python=${SOFTCACHE_PYTHON:-python3}
has_python=$("$python" -c 'import torch, onnx, PIL, numpy' 2>/dev/null && echo yes)
ln -s "$(command -v "$python" || echo /bin/false)" "$work/bin/python3.real"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$(command -v "$python")" >"$work/bin/python3"
chmod +x "$work/bin/python3"

# The page as lines KIND<tab>TEXT: comments of the kinds above, and for a block its number; its commands go to blocks/NUMBER.
awk -v folder="$work/blocks" '
    /^```sh$/ { inside = 1; n++; printf "" > (folder "/" n); print "block\t" n; next }
    /^```/ { inside = 0; next }
    inside { print > (folder "/" n); next }
    /^<!-- (before|small|needs|without|expect|programs): .* -->$/ {
        kind = $2; sub(/:$/, "", kind); text = $0; sub(/^<!-- [a-z]*: /, "", text); sub(/ -->$/, "", text)
        print kind "\t" text
    }' "$page" >"$work/steps"

missing() { # WORD... prints why the block cannot run; nothing if it can
    local word
    for word in "$@"; do
        if [ "$word" = python ]; then
            [ -n "$has_python" ] || echo "no python3 with torch, onnx, Pillow and numpy (set SOFTCACHE_PYTHON)"
        elif [ "$word" = slurm ]; then
            sinfo >/dev/null 2>&1 || echo "no Slurm that runs"
        elif ! command -v "$word" >/dev/null; then
            echo "no $word"
        fi
    done
}
run() { bash -e -o pipefail -c "$1" >"$work/output" 2>&1 </dev/null; }

edits=() unused=() needs='' without='' label='' failed='' skipped=''
while IFS=$'\t' read -r kind text; do
    [ -z "$failed" ] || break
    case $kind in
    before) run "$text" || { echo "not ok $name before '$text': $(tail -3 "$work/output" | tr '\n' ' ')"; failed=yes; } ;;
    small) edits+=(-e "$text") unused+=("$text") ;;
    needs) needs=$text ;;
    without) without=$text ;;
    programs)
        [ -f "$BUILD/$text/softcache_cuda.so" ] || { echo "ok $name # SKIP no GPU backend in $BUILD/$text"; exit 0; }
        PATH=$BUILD/$text:$PATH ;;
    expect)
        [ -n "$skipped" ] || grep -qF -- "$text" "$work/output" ||
            { echo "not ok $name $label: its output lacks '$text': $(tail -3 "$work/output" | tr '\n' ' ')"; failed=yes; } ;;
    block)
        commands=$(cat "$work/blocks/$text")
        label="block $text ($(head -1 "$work/blocks/$text" | cut -c1-60))"
        if [ ${#edits[@]} -gt 0 ]; then
            still=()
            for edit in ${unused[@]+"${unused[@]}"}; do
                [ "$(sed "$edit" <<<"$commands")" != "$commands" ] || still+=("$edit")
            done
            unused=(${still[@]+"${still[@]}"})
            commands=$(sed "${edits[@]}" <<<"$commands")
        fi
        # shellcheck disable=SC2086
        skipped=$(missing $needs)
        if [ -n "$skipped" ]; then
            echo "ok $name $label # SKIP $skipped"
            [ -z "$without" ] || run "$without" ||
                { echo "not ok $name without '$without': $(tail -3 "$work/output" | tr '\n' ' ')"; failed=yes; }
        elif run "$commands"; then
            echo "ok $name $label"
        else
            echo "not ok $name $label: $(tail -4 "$work/output" | tr '\n' ' ')"
            failed=yes
        fi
        needs='' without='' ;;
    esac
done <"$work/steps"
[ -z "$failed" ] || exit 1
[ ${#unused[@]} -eq 0 ] || { echo "not ok $name: these change no command: ${unused[*]}"; exit 1; }
