#!/bin/bash
# Folders as people have them, from photos to a student: formats by content, names that are not UTF-8, files that are cut, how
# photos are resized and turned.
set -u
export LC_ALL=C
build=$(realpath "${BUILD:-build}") golden=$PWD/tests/golden/image_files teacher=$PWD/tests/golden/teachers/tiny.onnx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
check() { # NAME, what went wrong (empty: nothing)
    if [ -z "$2" ]; then echo "ok $1"; else echo "not ok $1: $2"; fi
}
dump() { # OUT, more arguments: what was printed is in the file `text`
    local out=$1
    shift
    "$build/teacher_dump" run --data photos --out "$out" --views 2 --augment light "$@" >text 2>&1
}
grep_all() { # FILE, texts: the first that the file does not have
    local file=$1 text
    shift
    for text; do grep -qF -- "$text" "$file" || { echo "no '$text' in: $(tail -c 600 "$file")"; return; }; done
}

# Every format under a name that says nothing, among files that are none.
latin=$(printf 'caf\xe9')
mkdir -p photos/{train,val}/{a,"$latin"} photos/unlabeled
i=0
for file in "$golden"/png-type{0-16bit,2-8bit,3-4bit,6-8bit-interlaced}.png "$golden"/gif-{transparent,interlaced}.gif \
    "$golden"/bmp-{24bit,rle8}.bmp "$golden"/jpeg-exif{1,6}.jpg; do
    i=$((i + 1))
    cp "$file" photos/train/a/$i.jpg
    cp "$file" "photos/train/$latin/$latin.$i"
    cp "$file" photos/val/a/$i.jpg
    cp "$file" "photos/val/$latin/$i.img"
done
if [ -e "$build/softcache_webp.so" ]; then cp "$golden/webp-lossy.webp" photos/val/a/w.png; fi
if [ -e "$build/softcache_tiff.so" ]; then cp "$golden/tiff-tiles.tif" photos/val/a/t; fi
echo text >photos/train/a/notes.txt
echo text >photos/README
touch photos/train/a/.hidden
printf '\0\0\0\x18ftypheic\0\0\0\0mif1heic' >photos/train/a/phone.heic

dump none --teacher none --size 24 --base 28
check "a mixed folder is read" "$(grep_all text 'image files, 2 classes, train 20' 'complete' '8 images have transparency' \
    '4 images have 16 bits of gray' '4 images have an EXIF orientation, which is ignored')"
check "what is left out is named" "$(grep_all text '1 HEIC (not read: convert to JPEG or PNG)' '1 .txt' '1 hidden' '1 without ending' 'folder unlabeled/')"
"$build/teacher_dump" inspect none >text
check "inspect repeats it" "$(grep_all text 'image files' 'left out 1 HEIC' 'left out 1 .txt')"
grep -q '"format_version":	3,' none/cache.json && grep -qF 'caf\\xe9' none/cache.json
check "the manifest says version 2 and escapes names" "$([ $? -eq 0 ] || head -c 400 none/cache.json)"
dump dry --teacher none --size 24 --base 28 --dry-run
check "--dry-run names it, too" "$(grep_all text '1 HEIC' 'nothing was written')"

# A student of it: linked files are found under their own names, and give the same as embedded ones.
dump linked --teacher none --size 24 --base 28 --images link
cat >net.net <<'END'
conv stem 8 3x3 /2 pad 1
relu
gap
fc classifier classes
END
for cache in none linked; do
    "$build/student_train" fit --cache $cache --student net.net --loss ce --epochs 2 --batch 8 --max-params 0 --device cpu --quiet \
        --out run-$cache >text 2>&1 || break
done
check "students train from embedded and linked files alike" "$(cmp run-none/last.safetensors run-linked/last.safetensors 2>&1 || cat text)"
mv photos moved
"$build/student_train" fit --cache linked --student net.net --loss ce --epochs 1 --batch 8 --max-params 0 --device cpu --quiet --out gone >text 2>&1
check "moved photos are missed" "$(grep_all text "the cache refers to the photos that were in $PWD/photos" 'pass --data')"
why=
for command in "student_train fit --cache linked --student net.net --loss ce --epochs 2 --batch 8 --max-params 0 --device cpu --quiet --out run-moved" \
    "student_train eval --run run-linked --device cpu --quiet" "student_train predict --run run-linked --cache linked --split val --out m.csv --device cpu --quiet" \
    "teacher_dump verify linked" "teacher_dump inspect linked --views 1"; do
    # shellcheck disable=SC2086 # the command is words
    "$build"/$command --data moved >text 2>&1 || why+="$command: $(tail -1 text) "
done
check "--data finds them" "$why$(cmp run-moved/last.safetensors run-linked/last.safetensors 2>&1)"
"$build/teacher_dump" verify none --data moved >text 2>&1
check "embedded images need no --data" "$(grep_all text 'the images are in the cache')"
mv moved photos
"$build/student_train" predict --run run-none --data photos/val/a --out p.csv --device cpu --quiet >text 2>&1
check "predict reads them all" "$([ "$(wc -l <p.csv)" -eq $(($(ls photos/val/a | wc -l) + 1)) ] || cat text)"

# Three ways to the teacher's square, and turning.
rm -rf photos
classes=(a b c d e f g h i j)
for c in "${classes[@]}"; do
    mkdir -p photos/{train,val}/"$c"
    cp "$golden"/jpeg-exif{1,6}.jpg photos/train/$c
    cp "$golden"/jpeg-exif{1,6}.jpg photos/val/$c
done
for way in "shorter" "squash" "pad" "shorter --exif honour"; do
    name=way-${way// /}
    # shellcheck disable=SC2086
    dump "$name" --teacher "$teacher" --resize $way
    why=$(grep_all text complete)
    [ -n "$why" ] || why=$("$build/teacher_dump" recheck "$name" --teacher "$teacher" >text 2>&1 || cat text)
    [ -n "$why" ] || why=$(sha256sum "$name"/val-00000.h5 | cut -c1-64 | { read -r sum; grep -q "$sum" sums 2>/dev/null && echo "the same logits as another way"; echo "$sum" >>sums; })
    check "resize $way" "$why"
done
dump bad --teacher "$teacher" --resize squash --base 0
check "--base 0 does not squash" "$(grep_all text '--base 0 does not resize')"

# Cut files: refused, left out, or what can be decoded of them.
cp "$golden"/cut-jpeg0-80.jpg photos/train/a/cut.jpg
cp "$golden"/cut-png-90.png photos/val/b/cut.jpg
dump cut --teacher "$teacher"
check "cut files stop the run" "$(grep_all text '2 of its images are broken' 'truncated JPEG' '--on-bad-image skip or salvage')"
dump cut --teacher "$teacher" --on-bad-image skip
check "skip leaves them out" "$(grep_all text '2 broken images were left out')"
dump salvaged --teacher "$teacher" --on-bad-image salvage
check "salvage uses them" "$(grep_all text 'salvaged train/a/cut.jpg: truncated JPEG' 'of 2 broken images, what can be decoded was used')"
"$build/teacher_dump" recheck salvaged --teacher "$teacher" >text 2>&1 && "$build/teacher_dump" inspect salvaged >>text
check "salvaged views can be rechecked" "$([ $? -eq 0 ] && grep_all text 'salvaged val/b/cut.jpg' || cat text)"
