#!/bin/bash
# The experiments behind docs/accuracy.md, the most valuable ones first. Started again with the same options it goes on where it was
# stopped: a finished run is not repeated, an unfinished one is resumed. scripts/accuracy_page.sh writes the page of what is finished.
# usage: scripts/accuracy.sh --photos DIR --teacher FILE.onnx [options]
#   --photos DIR        photos with classes, such as Imagenette; --teacher FILE.onnx: a teacher for them
#   --dump OPTION=VALUE passes an option to teacher_dump run, such as mean=0.5,0.5,0.5; for every cache with that teacher
#   --fashion DIR       Fashion-MNIST (/usr/share/datasets/fashion-mnist)
#   --out DIR           where everything goes: caches/, teachers/, sweeps/, runs/, results/ (build/accuracy)
#   --results DIR       where finished runs leave metrics.json and their options (OUT/results); what is there is not run again.
#                       docs/accuracy/runs, which is part of the repository, has those behind docs/accuracy.md: a computer that goes on
#                       with them adds to what others have measured
#   --caches DIR        where the caches are or go (OUT/caches); the one with maps takes some 2 GB for 10,000 photos, the others the photos'
#   --only PATTERN      only experiments with such names: 'gain/*', 'methods/dist'
#   --list              prints the experiments with their states and does nothing
#   --dry-run           prints the commands that are left and does nothing
#   --seeds "0 1 2", --threads N, --device D
#   --epochs N (60), --size N (112): of the runs that shall be good
#   --compare-epochs N (30), --compare-size N (72), --sweep-epochs N (8): of the others, which compare nets, methods, options: minutes each
#   --teacher-epochs N (30), --views N (8), --teachers N (3)
#   --map NAME, --early-map NAME, --embedding NAME      the teacher's tensors for methods on features (guessed from its list)
# Fashion-MNIST has teachers of its own: an ensemble of nets of 0.2 M parameters, trained here from the labels.
set -eu
shopt -s inherit_errexit # a sweep that fails within $(...) is not done
cd "$(dirname "$0")/.."
programs=${BUILD:-build}
. scripts/teacher_tensors.sh
stop() { # EXIT CODE, MESSAGE
    echo "accuracy.sh: $2" >&2
    exit "$1"
}

photos='' teacher='' dump=() fashion=/usr/share/datasets/fashion-mnist out=build/accuracy results='' caches='' only='*' mode=run
seeds='0 1 2' threads=0 device=auto epochs=60 size=112 compare_epochs=30 compare_size=72 sweep_epochs=8 teacher_epochs=30 views=8 teachers=3
declare -A tensor=([map]='' [early-map]='' [embedding]='')
while [ $# -gt 0 ]; do
    case $1 in
    --list | --dry-run) mode=${1#--} && shift && continue ;;
    --help) sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" && exit 0 ;;
    esac
    [ $# -ge 2 ] || stop 64 "$1 needs a value"
    case $1 in
    --photos | --teacher | --fashion | --out | --results | --caches | --only | --seeds | --threads | --device | --epochs | --views | --size | --teachers)
        printf -v "${1#--}" %s "$2"
        ;;
    --compare-epochs) compare_epochs=$2 ;;
    --compare-size) compare_size=$2 ;;
    --sweep-epochs) sweep_epochs=$2 ;;
    --teacher-epochs) teacher_epochs=$2 ;;
    --dump) dump+=("--$2") ;;
    --map | --early-map | --embedding) tensor[${1#--}]=$2 ;;
    *) stop 64 "unknown option $1; see --help" ;;
    esac
    shift 2
done
caches=${caches:-$out/caches} results=${results:-$out/results}
kd='0.1*ce + 0.9*kd(T=10)'
kd_hint() { # THE STUDENT'S BLOCK
    echo "$kd + 1*hint(student=$1, teacher={early-map}, regressor=conv1x1)"
}

# ---- what is tried: lines NAME|CACHE|STUDENT|SIZE|EPOCHS|LOSS|VALUES OF w|TITLE|MORE OPTIONS OF FIT. With values, a short sweep chooses w
# on the choosing half. Without a title, the run is called "STUDENT at SIZE pixels, LOSS". ----

both_losses() { # NAME, CACHE, STUDENT, SIZE, EPOCHS [, LOSS]: distillation and cross entropy
    echo "$1-kd|$2|$3|$4|$5|${6:-$kd}"
    echo "$1-ce|$2|$3|$4|$5|ce"
}

gain() { # the best presets, trained for long
    for net in res-se res5 ir5; do both_losses "gain/$net" light $net "$size" "$epochs"; done
    echo "gain/res-se-kd-hint|features|res-se|$size|$epochs|$(kd_hint stage2.4)"
}

nets() {
    for net in res-se res5 ir5 mcunet shuffle dwpw speed mobile-se convnext-tiny; do both_losses "nets/$net" light $net "$compare_size" "$compare_epochs"; done
}

best() { # the recipe of that name
    for net in res-se ir5; do echo "best/$net-kd|light|$net|128:224|90|$kd||$net at 128 to 224 pixels, $kd"; done
    echo "best/ir5-long|views-16|ir5|128:224|130|$kd||ir5 at 128 to 224 pixels, $kd, 16 views, --ema 0.999|--ema 0.999"
}

small_pictures() { # GROUP, CACHE, SIZE (0: the data set's), LOSS
    for net in res-se-32 res5-32 dwpw-small branches-32; do both_losses "$1/$net" "$2" $net "$3" "$compare_epochs" "$4"; done
}

fashion_long() { # without a teacher
    local loss='ce(label_smoothing=0.05)'
    echo "fashion/res-se-32-long|fashion-labels|res-se-32|0|50|$loss||res-se-32, $loss, --ema 0.999|--ema 0.999"
}

# Every term of `student_train losses` against nets/res5-ce, and what people combine of them. Weights around those of the papers.
methods() {
    local map="student=block8, teacher={map}" early="student=block5, teacher={early-map}"
    local both="student=[block5, block8], teacher=[{early-map}, {map}]"
    while IFS='|' read -r name loss values; do
        echo "methods/$name|features|res5|$compare_size|$compare_epochs|$loss|$values"
    done <<END
label-smoothing|ce(label_smoothing={w})|0.05,0.1,0.2
kd|{1-w}*ce + {w}*kd(T=10)|0.5,0.9,1
kd-gate|0.1*ce + 0.9*kd(T=10, gate={w})|0.001,0.1
lskd|0.1*ce + {w}*lskd(T=2)|1,3,9
logit-mse|ce + {w}*logit_mse|0.01,0.1,1
dkd|ce + {w}*dkd(T=4, alpha=1, beta=8, warmup=5)|0.1,0.3,1
dist|ce + {w}*dist(T=4)|1,2,4
nkd|ce + {w}*nkd(T=1, gamma=1.5)|0.3,1,3
rld|ce + {w}*rld(T=4, alpha=1, beta=8, warmup=5)|0.1,0.3,1
wttm|ce + {w}*wttm(gamma=0.2)|1,4,16
abkd|ce + {w}*abkd(T=4, alpha=0.8, beta=0.3)|2,8,32
mlkd|{1-w}*ce + {w}*mlkd(T=4)|0.5,0.9
hint|ce + {w}*hint($early, regressor=conv1x1)|0.01,0.1,1
kd-hint|0.1*ce + 0.9*kd(T=10) + {w}*hint($early, regressor=conv1x1)|1,4
hint-fading|0.1*ce + 0.9*kd(T=10) + {w}*hint($both, regressor=conv1x1, ramp=0, ramp_epochs=$((compare_epochs / 2)))|0.01,0.1
at|ce + {w}*at($both)|1,30,1000
cosine|{1-w}*ce + {w}*cosine(regressor=linear)|0.1,0.25,0.5
vid|ce + {w}*vid($early)|0.03,0.3,1
rkd|ce + {w}*rkd_distance + {w}*rkd_angle|0.3,3,30
dm|ce + {w}*dm|0.001,0.01
sp|ce + {w}*sp|30,300,3000
pkt|ce + {w}*pkt|300,3000,30000
cc|ce + {w}*cc|0.002,0.02,0.2
crd|ce + {w}*crd(negatives=4096)|0.1,0.8
kd-crd|0.1*ce + 0.9*kd(T=10) + {w}*crd(negatives=4096)|0.1,0.8
END
}

hints() { # what leads among the methods, for other nets
    local net block
    while read -r net block; do
        echo "hints/$net-$block|features|$net|$compare_size|$compare_epochs|$(kd_hint "$block")"
    done <<END
ir5 block7
res-se stage2.4
ir5 block4
END
}

temperature() { # a line of its own on the picture, so T=10 is run again
    for T in 4 20 1 2 6 14 10; do
        echo "temperature/$T|light|res5|$compare_size|$compare_epochs|0.1*ce + 0.9*kd(T=$T)||res5 at $compare_size pixels, 0.1*ce + 0.9*kd(T)"
    done
}

views_of_a_photo() {
    for count in 1 4 16 64; do both_losses "views/$count" "views-$count" res5 "$compare_size" "$compare_epochs"; done
}

recipes() { # against light: views/4-*
    local recipe
    for recipe in food11-strong photos; do both_losses "teacher/$recipe" "$recipe-4" res5 "$compare_size" "$compare_epochs"; done
}

sizes() { # do images that grow over the epochs cost accuracy?
    local pixels
    for pixels in 96 64:96; do echo "sizes/${pixels/:/-}|light|res5|$pixels|$compare_epochs|$kd"; done
}

# Options of fit against nets/res5-kd: which of them should be defaults, and which should go?
options() {
    local name words title="res5 at $compare_size pixels, $kd"
    while IFS='|' read -r name words; do
        echo "options/$name|light|res5|$compare_size|$compare_epochs|$kd||$title, $words|$words"
    done <<END
ema-999|--ema 0.999
step|--schedule-by step
decay-all|--optimizer adamw --weight-decay 0.01
decay-weights|--optimizer adamw --weight-decay 0.01 --decay weights
ema-99|--ema 0.99
bf16|--precision bf16
END
}

experiments() {
    best
    nets
    gain
    methods
    hints
    temperature
    options
    recipes
    views_of_a_photo
    small_pictures pictures light 32 "$kd"
    small_pictures fashion fashion 0 '0.1*ce + 0.9*kd(T=4)'
    fashion_long
    sizes
}

# ---- how it is run ----

execute() {
    if [ $mode = dry-run ]; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

dump_cache() { # NAME, then options of teacher_dump run
    local name=$1
    shift
    [ -f "$caches/$name/cache.json" ] || execute "$programs"/teacher_dump run --out "$caches/$name" --threads "$threads" --device "$device" --quiet "$@"
}

photo_cache() { # NAME, RECIPE, VIEWS, more options
    local name=$1 recipe=$2 count=$3
    shift 3
    [ -n "$photos" ] && [ -n "$teacher" ] || stop 64 "--photos and --teacher are needed for the cache $name"
    dump_cache "$name" --data "$photos" --teacher "$teacher" --augment "$recipe" --views "$count" "$@" ${dump[@]+"${dump[@]}"}
}

guess_tensor() { # map|early-map|embedding: the teacher's tensor, in the cache and in losses
    [ -n "${tensor[$1]}" ] || tensor[$1]=$(guess "${1/early-map/early}")
    [ -n "${tensor[$1]}" ] || stop 64 "no tensor of the teacher looks like its $1; give it with --$1 NAME: '$programs/teacher_dump inspect $teacher' lists them"
}

fashion_data=(--data "$fashion" --augment 'random_crop(padding=2)+hflip(p=0.5)')
fashion_labels() { dump_cache fashion-labels --teacher none --views 30 "${fashion_data[@]}"; }

fashion_cache() { # an ensemble of teachers trained on the labels, then the cache with their answers
    local words=() k folder
    [ ! -f "$caches/fashion/cache.json" ] || return 0
    fashion_labels
    for ((k = 0; k < teachers; k++)); do
        folder=$out/teachers/fashion-$k
        [ -f "$folder/metrics.json" ] || execute "$programs"/student_train fit --cache "$caches/fashion-labels" --student scripts/demo/fashion-mnist-teacher.net \
            --max-params 0 --loss 'ce(label_smoothing=0.05)' --epochs "$teacher_epochs" --optimizer adamw --lr 3e-3 --weight-decay 0.02 \
            --schedule cosine --ema 0.998 --select-on half --seed "$k" --threads "$threads" --device "$device" --quiet --out "$folder" --resume
        [ -f "$folder-onnx/student.onnx" ] || execute "$programs"/student_train export --run "$folder" --out "$folder-onnx"
        words+=(--teacher "$folder-onnx/student.onnx")
    done
    dump_cache fashion "${words[@]}" --teacher-tta hflip --teacher-check warn --views "$views" "${fashion_data[@]}"
}

make_cache() { # NAME
    case $1 in
    light) photo_cache light light "$views" ;;
    food11-strong-4 | photos-4) photo_cache "$1" "${1%-4}" 4 ;;
    views-*) photo_cache "$1" light "${1#views-}" ;;
    features)
        photo_cache features light "$views" --feature "${tensor[early-map]}:int8:views=2" --feature "${tensor[map]}:int8:views=2" \
            --feature "${tensor[embedding]}"
        ;;
    fashion-labels) fashion_labels ;;
    fashion) fashion_cache ;;
    esac
}

fit_words=(--lr 3e-3 --schedule cosine --select-on half --threads "$threads" --device "$device" --quiet --resume)

sweep() { # NAME, CACHE, STUDENT, SIZE, LOSS, VALUES: the loss with the value that is best on the choosing half
    local folder=$out/sweeps/$1 best earlier
    earlier=$(find "$results/$1" -name config.ini 2>/dev/null | sort | head -1) # of another seed
    if [ -n "$earlier" ]; then
        sed -n 's/^loss = //p' "$earlier"
        return
    fi
    [ -f "$folder.done" ] || { # sweep.csv is there before the last run
        execute "$programs"/student_train sweep --cache "$caches/$2" --student "$3" --size "$4" --loss "$5" --grid "w=$6" --epochs "$sweep_epochs" \
            --warmup-epochs $((sweep_epochs > 4 ? 1 : 0)) "${fit_words[@]}" --out "$folder" >&2
        [ $mode = dry-run ] || date >"$folder.done"
    }
    if [ $mode = dry-run ] && [ ! -f "$folder/sweep.csv" ]; then
        echo "$5"
        return
    fi
    # columns: w, expression, ..., selection, folder
    best=$(awk -F, 'NR > 1 && $(NF - 1) > most { most = $(NF - 1); cell = $NF } END { print cell }' "$folder/sweep.csv")
    sed -n 's/^loss = //p' "$folder/$best/config.ini"
}

run_experiment() { # a line of experiments, SEED
    local name cache student pixels epochs loss values title more folder words=()
    IFS='|' read -r name cache student pixels epochs loss values title more <<<"$1"
    read -ra words <<<"$more"
    folder=$out/runs/$name/s$2
    [ ! -f "$results/$name/s$2/metrics.json" ] || return 0
    if [ "$cache" = features ]; then
        for part in map early-map embedding; do
            guess_tensor $part
            loss=${loss//"{$part}"/${tensor[$part]}}
        done
    fi
    make_cache "$cache"
    [ -z "$values" ] || loss=$(sweep "$name" "$cache" "$student" "$pixels" "$loss" "$values")
    [ -n "$title" ] || title="$student$([ "$pixels" = 0 ] || echo " at ${pixels/:/ to } pixels"), $loss"
    [ $mode = dry-run ] || printf '== %s, seed %s: %s\n' "$name" "$2" "$loss"
    execute "$programs"/student_train fit --cache "$caches/$cache" --student "$student" --size "$pixels" --epochs "$epochs" --loss "$loss" \
        --warmup-epochs $((epochs > 4 ? 2 : 0)) "${fit_words[@]}" --name "$title" --seed "$2" --out "$folder" ${words[@]+"${words[@]}"}
    [ $mode = dry-run ] || keep_result "$folder" "$results/$name/s$2"
}

keep_result() { # RUN, FOLDER: without the paths of this computer
    mkdir -p "$2"
    sed -E '/^out = /d; s,^(cache|student) = .*/,\1 = ,' "$1/config.ini" >"$2/config.ini"
    cp "$1/metrics.json" "$2/.metrics.json"
    mv "$2/.metrics.json" "$2/metrics.json" # whole, or not there
}

list() { # a line of experiments
    local name=${1%%|*} done=0 begun=0 seed
    for seed in $seeds; do
        if [ -f "$results/$name/s$seed/metrics.json" ]; then
            done=$((done + 1))
        elif [ -f "$out/runs/$name/s$seed/checkpoint" ]; then
            begun=$((begun + 1))
        fi
    done
    printf '%-28s %d of %d runs finished%s\n' "$name" $done "$(wc -w <<<"$seeds")" "$([ $begun = 0 ] || echo ', one begun')"
}

mapfile -t lines < <(experiments | while IFS= read -r line; do
    # shellcheck disable=SC2053 # a pattern
    if [[ ${line%%|*} == $only ]]; then echo "$line"; fi
done)
[ ${#lines[@]} -gt 0 ] || stop 64 "no experiment is called '$only'; --list shows all"
if [ $mode = list ]; then
    for line in "${lines[@]}"; do list "$line"; done
    exit 0
fi
[ $mode = dry-run ] || mkdir -p "$out/runs" "$out/teachers" "$caches"
for group in $(printf '%s\n' "${lines[@]%%/*}" | uniq); do # one seed of everything in the group, then the next one
    for seed in $seeds; do
        for line in "${lines[@]}"; do
            case $line in
            "$group"/*) run_experiment "$line" "$seed" ;;
            esac
        done
    done
done
[ $mode = dry-run ] || echo "finished; scripts/accuracy_page.sh $results writes docs/accuracy.md"
