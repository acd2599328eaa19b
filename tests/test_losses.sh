#!/bin/bash
# student_train losses: lists every term of the table within 100 columns, with a meaning for every parameter.
set -u
program=${BUILD:-build}/student_train
check() { # NAME, what went wrong (empty: nothing)
    if [ -z "$2" ]; then echo "ok $1"; else echo "not ok $1: $2"; fi
}

terms=$("$program" losses --json | sed -nE 's/^\t+"term":\t"([a-z_]+)",$/\1/p')
table=$("$program" losses)
why=
for term in ce kd lskd logit_mse dkd dist nkd rld wttm abkd mlkd hint at cosine vid rkd_distance rkd_angle dm sp pkt cc crd; do
    grep -qx $term <<<"$terms" || why="no term $term"
done
for term in $terms; do
    grep -qE "^  $term  " <<<"$table" || why="the table does not list $term"
    one=$("$program" losses "$term") || why="losses $term fails"
    grep -qE '^  formula {6,}[^ ]' <<<"$one" || why="$term has no formula"
    grep -qE '^    warmup=0 ' <<<"$one" || why="$term does not list warmup"
    table+=$'\n'$one
done
check "every term is listed" "$why"
check "100 columns are enough" "$(awk 'length > 100' <<<"$table")"
check "every parameter has a meaning" "$("$program" losses --json | grep -B1 '"meaning":	""')"

why=
one=$("$program" losses nkd)
for text in 'T=1 (0.001..10000) ' 'gamma=1.5 (0..1000000) ' 'ce + nkd(T=1, gamma=1.5)' 'Yang et al. 2023'; do
    grep -qF "$text" <<<"$one" || why="losses nkd does not say '$text'"
done
grep -qF 'distance=mse|smooth_l1|relative ' <<<"$("$program" losses hint)" || why="hint's default distance does not come first"
grep -qF 'gated=label|ce' <<<"$("$program" losses kd)" || why="kd does not list its gate"
check "defaults, ranges and words" "$why"

message=$("$program" losses hnt 2>&1)
[ $? -eq 64 ] && [[ $message == *"did you mean 'hint'?"* ]]
check "an unknown term has a suggestion" "$([ $? -eq 0 ] || echo "$message")"
"$program" fit --help | tr -s ' \n' ' ' | grep -qF '`student_train losses` lists the terms'
check "fit --help names it" "$([ $? -eq 0 ] || echo "it does not")"
