#!/bin/bash
# scripts/accuracy.sh and accuracy_page.sh on a tiny data set: what is finished is not repeated, a sweep chooses the weight, the page
# has the tables and pictures of what was run and no others. Then the arithmetic of `student_train compare`.
set -u
cd "$(dirname "$0")/.." || exit 66
build=$(realpath "${BUILD:-build}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$build"/synthetic_images --out "$folder/photos" --train 60 --val 30 --classes 10 --width 48 --height 40 >/dev/null ||
    { echo "not ok accuracy: no synthetic photos"; exit 1; }

fail() { # OUTPUT: what went wrong, even if nothing was said
    echo "${*:-no output}"
}
check() { # NAME, what went wrong (empty: nothing)
    if [ -z "$2" ]; then echo "ok $1"; else echo "not ok $1: $2"; fi
}
try() { # options of accuracy.sh; its output is in $said
    said=$(BUILD=$build scripts/accuracy.sh --photos "$folder/photos" --teacher tests/golden/teachers/tiny.onnx --dump teacher-check=off \
        --out "$folder/out" --threads 1 --compare-epochs 6 --compare-size 32 --sweep-epochs 1 --views 2 "$@" 2>&1)
}
compare() { "$build"/student_train compare "$@" 2>&1; }
wrong() { [[ $1 == *"$2"* ]] || echo "'$2' is not in: $1"; } # TEXT, WANTED

try --list
check "25 methods are listed" "$([ "$(grep -c '^methods/' <<<"$said")" = 25 ] || fail "$said")"
BUILD=$build scripts/accuracy_page.sh "$folder/out/results" "$folder/page.md" >"$folder/said" 2>&1
check "no page without a run" "$([[ $? -eq 66 && ! -e $folder/page.md ]] || fail "$(cat "$folder/said")")"

try --only 'nets/speed*' --seeds '0 1 2'
check "runs of three seeds" "$([ $? -eq 0 ] && ls "$folder"/out/runs/nets/speed-{ce,kd}/s{0,1,2}/metrics.json >/dev/null || fail "$(tail -2 <<<"$said")")"
before=$(stat -c '%Y %i' "$folder"/out/runs/nets/*/*/metrics.json)
try --only 'nets/speed*' --seeds '0 1 2'
check "a finished run is not repeated" "$([[ $said != *==* && $before == "$(stat -c '%Y %i' "$folder"/out/runs/nets/*/*/metrics.json)" ]] || fail "$said")"
rm "$folder"/out/{runs,results}/nets/speed-kd/s1/metrics.json # as if it had been stopped before its end
try --only 'nets/speed*' --list --seeds '0 1 2'
check "the list tells finished from begun" "$(wrong "$said" '2 of 3 runs finished, one begun')"
try --only 'nets/speed*' --seeds '0 1 2'
check "an unfinished run is resumed" "$([[ $said == *'== nets/speed-kd, seed 1'* && $said != *'seed 0'* && -f $folder/out/runs/nets/speed-kd/s1/metrics.json ]] || fail "$said")"

try --only 'methods/hint' --seeds 0
chosen=$(awk -F, 'NR > 1 && $(NF - 1) > most { most = $(NF - 1); best = $1 } END { print best }' "$folder/out/sweeps/methods/hint/sweep.csv")
loss=$(sed -n 's/^loss = //p' "$folder/out/runs/methods/hint/s0/config.ini")
check "a sweep chooses the weight" "$([ -n "$chosen" ] || fail "$(tail -2 <<<"$said")")$(wrong "$loss" "ce + $chosen*hint(student=block5, teacher=map0")"
try --only 'methods/kd' --seeds 0 --sweep-epochs 0
check "a sweep that fails is not done" "$([[ $? -ne 0 && ! -e $folder/out/sweeps/methods/kd.done && ! -e $folder/out/runs/methods/kd ]] || fail "$said")"
try --only 'methods/hint' --seeds 1 --out "$folder/elsewhere" --caches "$folder/out/caches" --results "$folder/out/results"
check "another computer takes a weight over from the results" "$([[ $? -eq 0 && ! -e $folder/elsewhere/sweeps ]] || fail "$(tail -2 <<<"$said")")$(wrong "$(cat "$folder/out/results/methods/hint/s1/config.ini")" "loss = $loss")"
check "results name no folder of the computer" "$(grep -rnF "$folder" "$folder/out/results")"
try --only 'views/[14]-kd' --seeds 0
check "caches of other numbers of views" "$([ $? -eq 0 ] || fail "$(tail -2 <<<"$said")")"
try --only 'fashion/*' --dry-run --seeds 0
check "a dry run shows teachers, export, cache and students" "$([ ! -e "$folder/out/caches/fashion-labels" ] || fail "it made a cache")$(wrong "$said" 'fashion-2-onnx/student.onnx --teacher-tta hflip')"

BUILD=$build scripts/accuracy_page.sh "$folder/out/results" "$folder/page.md" >"$folder/said" 2>&1
page=$(cat "$folder/page.md")
check "the page has what was run" "$(wrong "$page" '## Nets')$(wrong "$page" '| speed at 32 pixels, 0.1*ce + 0.9*kd(T=10) |')$(wrong "$page" ' ± ')$(wrong "$page" '(page/views.svg)')"
check "and nothing else" "$([ -n "$page" ] || fail)$(grep -E '## (Sizes|Fashion|Temperature)' <<<"$page")"
head -c 60 "$folder/page/views.svg" >"$folder/said"
check "pictures are files of their own" "$(wrong "$(cat "$folder/said")" '<svg xmlns="http://www.w3.org/2000/svg"')"

# ---- the arithmetic: means and standard errors over seeds, by awk from the single runs ----
words=() # two seeds each, not the same ones, so that the means differ
for run in ce/s0 ce/s1 kd/s1 kd/s2; do words+=(--run "$folder/out/runs/nets/speed-$run"); done
numbers() { sed -nE "s/^\t*\"($1)\":\t*([-0-9.e]+),?$/\2/p"; }
single=$(compare "${words[@]}" --json | numbers accuracy)
wanted=$(awk '{ x[NR] = $1 } END {
    for (g = 0; g < 2; g++) {
        for (i = 1; i <= 2; i++) mean[g] += x[2 * g + i] / 2
        for (i = 1; i <= 2; i++) error[g] += (x[2 * g + i] - mean[g]) ^ 2 / 2
        printf "%.6f %.6f ", mean[g], sqrt(error[g])
    }
    printf "%.6f %.6f\n", mean[1] - mean[0], sqrt(error[0] + error[1]) }' <<<"$single")
both=$(compare "${words[@]}" --baseline ce --json)
got=$(paste -d ' ' <(numbers accuracy <<<"$both") <(numbers accuracy_error <<<"$both") | xargs printf '%.6f %.6f '; printf '%.6f %.6f' "$(numbers gain <<<"$both")" "$(numbers gain_error <<<"$both")")
check "means, standard errors and the gain" "$([ "$got" = "$wanted" ] || echo "$got, not $wanted; runs: $single")"
said=$(compare "${words[@]}" --baseline kd)
check "a baseline that is not there" "$([ $? -eq 78 ] || fail "exit code")$(wrong "$said" "no student has both runs with this loss")"
said=$(compare "${words[@]}" --chart "$folder/c.svg" --x 1 --x 2)
check "as many places as runs" "$([ $? -eq 64 ] || fail "exit code")$(wrong "$said" "4 runs, but 2 places")"
said=$(compare "${words[@]:0:2}" --chart "$folder/c.svg" --x 0 --log-x)
check "a logarithm needs a place above 0" "$([ $? -eq 64 ] || fail "exit code")$(wrong "$said" "must be above 0")"
