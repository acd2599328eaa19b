#!/bin/bash
# Writes docs/accuracy.md and its pictures from the results of scripts/accuracy.sh. What has not been run is left out: a table
# or picture appears when its runs are there.
# usage: scripts/accuracy_page.sh [RESULTS [PAGE.md]]      RESULTS: --results of accuracy.sh (docs/accuracy/runs); pictures: PAGE/NAME.svg
#   RESULTS/about.txt, if you write one, says what the data and the machines were; RESULTS/best.md and search.md go below the recipe and the nets,
#   RESULTS/fashion.md, pictures.md, methods.md, hints.md, options.md, views.md, teacher.md and sizes.md below their tables, RESULTS/earlier.md to the end
set -eu
programs=${BUILD:-$(dirname "$0")/../build}
[ "${1-}" != --help ] || { sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0"; exit 0; }
docs=$(dirname "$0")/../docs
runs=${1:-$docs/accuracy/runs} page=${2:-$docs/accuracy.md}
about=$runs/about.txt
pictures=${page%.md}

finished() { # PATTERN...: the folders of finished runs of these experiments
    local pattern folder
    for pattern in "$@"; do
        for folder in "$runs"/$pattern/s*; do
            if [ -f "$folder/metrics.json" ]; then echo "$folder"; fi
        done
    done
}
setting() { sed -n "s/^$1 = //p" "$2/config.ini"; } # OPTION, FOLDER

places=() level=()
place() { # X, FOLDERS one a line: adds runs to $places
    local folder
    while read -r folder; do [ -z "$folder" ] || places+=(--run "$folder" --x "$1"); done <<<"$2"
}
level_line() { # FROM TO, FOLDERS one a line: adds runs to $level, which only the picture has
    local folder
    while read -r folder; do [ -z "$folder" ] || level+=(--run "$folder" --x "$1" --run "$folder" --x "$2"); done <<<"$3"
}
compare() { "$programs"/student_train compare "$@"; }
# Options of compare, with runs: a table with gains over cross entropy if the same student was trained with it.
table() { compare "$@" --markdown --baseline ce 2>/dev/null || compare "$@" --markdown --average; }
table_of() { # FOLDERS one a line
    local words=() folder
    while read -r folder; do [ -z "$folder" ] || words+=(--run "$folder"); done <<<"$1"
    table "${words[@]}"
}
best_first() { awk 'NR <= 2 { print; fflush(); next } { print | "sort -t \"|\" -k3,3nr" }'; }

picture() { # NAME, TITLE, WHAT x IS, options of compare: a picture of $places, if there are several, and its table
    local name=$1 title=$2 words=(--x-label "$3") several
    shift 3
    several=$(printf '%s\n' "${places[@]}" | awk 'before == "--x" && !seen[$0]++ { n++ } { before = $0 } END { print (n > 1 ? "yes" : "") }')
    if [ -n "$several" ]; then
        mkdir -p "$pictures"
        compare "${places[@]}" ${level[@]+"${level[@]}"} "${words[@]}" --chart "$pictures/$name.svg" --title "$title" "$@"
        printf '![%s](%s/%s.svg)\n\n' "$title" "$(basename "$pictures")" "$name"
    fi
    table "${places[@]}" "${words[@]}"
}

introduction() { # FOLDER of a run
    cat <<END
# Accuracy

    scripts/accuracy.sh --photos imagenette --teacher teacher.onnx      # the experiments, in the order of their value; resumes
    scripts/accuracy_page.sh build/accuracy/results page.md             # such a page, from the runs that are finished

Every accuracy is of the half of the validation split that chose nothing: the other half chose the epoch and the weights
(\`--select-on half\`). ± is the standard error of the mean over the seeds, whose number is in the last column; that of a gain, in points,
combines both sides. Neither covers the draw of the photos: with n of them in the half, an accuracy p has a standard error of
sqrt(p (1 - p) / n) for that. Where there is one run of each, differences of less than two points mean nothing.

Settings: batch $(setting batch "$1"), $(setting optimizer "$1"), learning rate $(setting lr "$1"), $(setting schedule "$1") schedule, $(setting warmup-epochs "$1") epochs of warm-up, weight decay
$(setting weight-decay "$1").
END
    [ ! -f "$about" ] || { echo && cat "$about"; }
}

nets() { # GROUP, TITLE
    local folders
    folders=$(finished "$1/*")
    [ -n "$folders" ] || return 0
    printf '\n## %s\n\nImages of %s pixels.\n\n%s\n' "$2" "$(setting size "$(head -1 <<<"$folders")")" "$(table_of "$folders")"
}

best() {
    local folders
    folders=$(finished 'best/*')
    [ -z "$folders" ] || printf '\n## The recipe best\n\nLarger images, more of them towards the end, and more epochs.\n\n%s\n' "$(table_of "$folders")"
}

small_pictures() { # GROUP, TITLE, TEXT
    local folders
    folders=$(finished "$1/*")
    [ -z "$folders" ] || printf '\n## %s\n\n%s\n\n%s\n' "$2" "$3" "$(table_of "$folders")"
}

methods() {
    local folders rows
    folders=$(finished 'methods/*')
    [ -n "$folders" ] || return 0
    rows=$(table_of "$folders"$'\n'"$(finished nets/res5-ce)" | best_first)
    printf '\n## Methods\n\nA sweep of fewer epochs found the weight of each method on the choosing half.'
    awk -F'|' 'NR == 1 { gains = $4 ~ /gain/ } NR > 2 && gains && split($4, gain, "±") == 2 { all++; n += gain[1] > 2 * gain[2] }
        END { if (all) printf "\n%d of %d methods with several seeds beat cross entropy by more than two standard errors.", n, all }' <<<"$rows"
    printf '\n\n%s\n' "$rows"
}

hints() {
    local folders
    folders=$(finished 'hints/*')
    [ -z "$folders" ] || printf '\n## Hints for other nets\n\n%s\n' "$(table_of "$folders"$'\n'"$(finished nets/ir5-* nets/res-se-*)")"
}

fit_options() {
    local folders
    folders=$(finished nets/res5-kd 'options/*')
    [ -z "$(finished 'options/*')" ] || printf '\n## Options of fit\n\nWhat follows the loss is the option; a row without one is the plain run.\n\n%s\n' "$(table_of "$folders" | best_first)"
}

temperature() {
    local T
    [ -n "$(finished 'temperature/*')" ] || return 0
    printf '\n## Temperature\n\n'
    places=()
    for T in 1 2 4 6 10 14 20; do place $T "$(finished "temperature/$T")"; done
    level_line 1 20 "$(finished nets/res5-ce)"
    picture temperature 'Accuracy against the temperature of kd' T
    level=()
}

views() {
    local count
    [ -n "$(finished 'views/*')" ] || return 0
    printf '\n## Views of each photo\n\n'
    places=()
    for count in 1 4; do place $count "$(finished "views/$count-*")"; done
    place 8 "$(finished nets/res5-ce nets/res5-kd)"
    for count in 16 64; do place $count "$(finished "views/$count-*")"; done
    picture views 'Accuracy against cached views of each photo' 'views of each photo' --log-x
}

teaching() {
    local folder share
    [ -n "$(finished 'teacher/*')" ] || return 0
    printf '\n## How good the teaching is\n\nRecipes of views: food11-strong, light, photos; 4 views of each photo.\n\n'
    places=()
    while read -r folder; do
        share=$(sed -nE '/"teacher_accuracy":\t*\{/,/\}/s/^\t*"train":\t*([0-9.e-]+),?$/\1/p' "$folder/metrics.json")
        [ -z "$share" ] || place "$(awk -v s="$share" 'BEGIN { printf "%.1f", 100 * s }')" "$folder"
    done <<<"$(finished 'teacher/*' 'views/4-*')"
    picture teacher "Accuracy against the teacher's on its views" "teacher's accuracy on the training views, %"
}

sizes() {
    local folders
    folders=$(finished 'sizes/*')
    [ -z "$folders" ] || printf '\n## Images that grow\n\n%s\n' "$(table_of "$folders"$'\n'"$(finished nets/res5-kd)")"
}

own_text() { [ ! -f "$runs/$1" ] || { echo && cat "$runs/$1"; }; }

any=$(finished '*/*' | head -1)
[ -n "$any" ] || { echo "accuracy_page.sh: no run in $runs is finished; scripts/accuracy.sh makes them" >&2; exit 66; }
own='The teachers are nets that were trained here from the labels, asked for each view and its mirror image.'
text=$(mktemp)
trap 'rm -f "$text"' EXIT
{
    introduction "$any"
    best
    own_text best.md
    nets gain 'Photos, trained for long'
    nets nets 'Nets'
    own_text search.md
    small_pictures fashion Fashion-MNIST "$own"
    own_text fashion.md
    small_pictures pictures 'Photos of 32 pixels' 'The student sees the photos at 32 pixels, the teacher at its own size.'
    own_text pictures.md
    methods
    own_text methods.md
    hints
    own_text hints.md
    fit_options
    own_text options.md
    temperature
    views
    own_text views.md
    teaching
    own_text teacher.md
    sizes
    own_text sizes.md
    own_text earlier.md
} >"$text"
mkdir -p "$(dirname "$page")"
cat "$text" >"$page"
echo "$page: written"
