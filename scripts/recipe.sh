#!/bin/bash
# Runs a recipe of student_train/recipes on any data and teacher: the teacher once, then the student (or the sweep). Prints the
# result and the path of the report. Start an interrupted recipe again with the same options, and it resumes.
# usage: scripts/recipe.sh NAME|FILE.ini --data DIR --teacher FILE.onnx --out DIR
#            [--set VARIABLE=TENSOR]... [--dump OPTION=VALUE]... [--check] [-- more options of fit or sweep]
#   --set     names the teacher's tensor for a variable of the recipe such as {map1}; the default is a guess from the names
#   --dump    passes an option to teacher_dump run, such as views=2 or mean=0.5,0.5,0.5; it overrides the recipe's
#   --check   runs nothing: writes OUT/recipe.ini with its variables replaced, and shows how large the cache would be
set -eu
programs=${BUILD:-$(dirname "$0")/../build}
recipes=$(dirname "$0")/../student_train/recipes
. "$(dirname "$0")"/teacher_tensors.sh
stop() { # EXIT CODE, MESSAGE
    echo "recipe.sh: $2" >&2
    exit "$1"
}
list_recipes() { ls "$recipes" | sed -n 's/\.ini$//p' | tr '\n' ' '; }

data='' teacher='' out='' check='' dump=()
declare -A values
[ $# -gt 0 ] || { sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0"; echo "recipes: $(list_recipes)"; exit 64; }
name=$1
shift
while [ $# -gt 0 ]; do
    case $1 in
    --data | --teacher | --out | --set | --dump) [ $# -ge 2 ] || stop 64 "$1 needs a value" ;;
    esac
    case $1 in
    --data) data=$2 && shift ;;
    --teacher) teacher=$2 && shift ;;
    --out) out=$2 && shift ;;
    --dump) dump+=("--$2") && shift ;;
    --set)
        [[ $2 == ?*=?* ]] || stop 64 "--set $2: write VARIABLE=TENSOR"
        values[${2%%=*}]=${2#*=} && shift
        ;;
    --check) check=yes ;;
    --) shift && break ;;
    *) stop 64 "unknown option $1; write options of fit after --" ;;
    esac
    shift
done
[ -n "$data" ] && [ -n "$teacher" ] && [ -n "$out" ] || stop 64 "--data, --teacher and --out are needed"
recipe=$recipes/$name.ini
[ ! -f "$name" ] || recipe=$name
[ -f "$recipe" ] || stop 66 "no recipe $name; known recipes: $(list_recipes)"

text=$(<"$recipe")
while read -r variable meaning; do
    if [ -z "${values[$variable]-}" ]; then
        values[$variable]=$(guess "$variable")
        [ -n "${values[$variable]}" ] || stop 64 "recipe $name needs --set $variable=TENSOR: $meaning; \
'$programs/teacher_dump inspect $teacher' lists the teacher's tensors"
        echo "$variable = ${values[$variable]} (guessed; --set $variable=TENSOR chooses another)"
    fi
done < <(sed -nE 's/^# variable ([a-z0-9_]+): (.*)$/\1 \2/p' "$recipe")
for variable in "${!values[@]}"; do
    [[ $text == *"{$variable}"* ]] || stop 64 "recipe $name has no variable $variable"
    text=${text//"{$variable}"/"${values[$variable]}"}
done
mkdir -p "$out"
printf '%s\n' "$text" >"$out/recipe.ini"

run=("$programs/teacher_dump" run --config "$out/recipe.ini" --data "$data" --teacher "$teacher" --out "$out/cache" ${dump[@]+"${dump[@]}"})
if [ -n "$check" ]; then
    exec "${run[@]}" --dry-run
fi
printf '\n== the teacher, once\n'
"${run[@]}"
command=fit
! grep -q '^\[student_train sweep\]' "$out/recipe.ini" || command=sweep
printf '\n== %s: %s\n' "$command" "$(sed -nE '/^\[student_train/,$s/^loss = //p' "$out/recipe.ini")"
"$programs/student_train" $command --config "$out/recipe.ini" --cache "$out/cache" --out "$out/$command" --resume "$@"
report=$out/$command/report.html
[ $command = fit ] || report=$out/sweep/sweep.html
printf '\nreport: %s\n' "$report"
