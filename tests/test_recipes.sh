#!/bin/bash
# Every recipe of student_train/recipes runs for an epoch or three on a tiny data set with a tiny teacher, by its one command.
# Then what recipe.sh says where a tensor of the teacher is missing or unknown.
set -u
cd "$(dirname "$0")/.." || exit 66
build=$(realpath "${BUILD:-build}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
teacher=tests/golden/teachers/tiny.onnx
"$build"/synthetic_images --out "$folder/photos" --train 30 --val 10 --classes 10 --width 80 --height 72 >/dev/null ||
    { echo "not ok recipes: no synthetic photos"; exit 1; }

run() { # RECIPE, further words; what it says is in $said
    local name=$1
    shift
    said=$(BUILD=$build scripts/recipe.sh "$name" --data "$folder/photos" --teacher $teacher --out "$folder/$name" "$@" 2>&1)
}
check() { # NAME, what went wrong (empty: nothing)
    if [ -z "$2" ]; then echo "ok $1"; else echo "not ok $1: $2"; fi
}

for file in student_train/recipes/*.ini; do
    recipe=$(basename "$file" .ini)
    words=() more=(--epochs 1 --batch 16 --quiet)
    case $recipe in
    best) more=(--epochs 3 --batch 16 --quiet --warmup-epochs 0 --size 32:96) ;; # an epoch for each size
    best-hint) more+=(--warmup-epochs 0) ;;
    hw13-*) more+=(--size 96) ;; # five 3x3 convolutions without padding and four pools
    lab5-feature) words+=(--set map1=map0 --set map2=map0 --set map3=map1 --set map4=map1) ;;
    lab5-search) more+=(--student dwpw --grid 'T=2,4' --grid alpha=0.5) ;;
    esac
    run "$recipe" ${words[@]+"${words[@]}"} -- "${more[@]}"
    code=$? why=
    [ $code -eq 0 ] || why="exit code $code: $(tail -1 <<<"$said")"
    report=$(sed -n 's/^report: //p' <<<"$said")
    [ -n "$why" ] || [ -s "$report" ] || why="no report '$report'"
    check "$recipe" "$why"
done

run hw13-simple -- --size 96 --epochs 1 --batch 16 --quiet
check "a finished recipe is not run again" "$([[ $? -eq 0 && $said == *report:* ]] || tail -1 <<<"$said")"
run lab5-feature --check
check "a missing variable says how to list tensors" "$([[ $? -eq 64 && $said == *"--set map1=TENSOR: output of"*"teacher_dump inspect $teacher"* ]] || echo "$said")"
run hw13-boss --check
check "map and embedding are guessed by where they stand" "$([[ $said == *"map = map1 (guessed"*"embedding = embedding (guessed"* ]] || echo "$said")"
run hw13-boss --set map=nowhere --check
check "an unknown tensor is refused" "$([[ $? -ne 0 && $said == *nowhere* ]] || echo "$said")"
run hw13-simple --set map=map1 --check
check "a variable that the recipe does not have is refused" "$([[ $? -eq 64 && $said == *"no variable map"* ]] || echo "$said")"
run hw14
check "an unknown recipe lists the known ones" "$([[ $? -eq 66 && $said == *hw13-boss* ]] || echo "$said")"
