#!/bin/bash
# scripts/gpu/count_sass.py on a canned listing: loops and ways are found, and --step multiplies them by what the shapes
# of a plan ask for. Needs no CUDA.
set -u
if ! command -v c++filt >/dev/null; then
    echo "ok count_sass # SKIP no c++filt"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check() { # NAME, what was printed, what a line of it must be
    if grep -qxF -- "$3" <<<"$2"; then echo "ok $1"; else printf 'not ok %s: no line "%s" in:\n%s\n' "$1" "$3" "$2"; fi
}

# A kernel that fills a tile and works on it. The loop over tiles: 9 instructions of thread 0, which stores where the
# next tile lies; 6 of the others. The loop that fills: 4 instructions, 16 bytes. The loop over jobs: 5, one
# of them on doubles.
listing() { # NAME
    printf 'Function : %s\n' "$1"
    local address=0 line
    while read -r line; do
        printf '        /*%04x*/                   %s ;\n' $address "$line"
        address=$((address + 16))
    done <<'CODE'
S2R R0, SR_TID.X
IMAD R1, R0, R0, R0
@P0 BRA 0x60
IADD3 R2, R2, R2, RZ
IADD3 R2, R2, R2, RZ
STS [R2], R2
BAR.SYNC.DEFER_BLOCKING 0x0
LDG.E.128 R4, [R2]
IADD3 R2, R2, R2, RZ
STS.128 [R3], R4
@P1 BRA 0x70
BAR.SYNC.DEFER_BLOCKING 0x0
LDS R4, [R3]
DFMA R4, R4, R4, R4
IADD3 R2, R2, R2, RZ
STG.E.64 [R2], R4
@P2 BRA 0xc0
IADD3 R1, R1, R1, RZ
BAR.SYNC.DEFER_BLOCKING 0x0
@P3 BRA 0x20
EXIT
CODE
}
{
    echo 'code for sm_90'
    listing _Z13forward_tilesI13__nv_bfloat16Li4ELi8ELi1EEv9depthwise6tiling
    listing _Z14backward_tilesI13__nv_bfloat16Li4ELi8ELi1ELi0EEv9depthwise6tiling
} >"$work/listing"
printf '#!/bin/sh\ncat "%s/listing"\n' "$work" >"$work/cuobjdump"
cat >"$work/student_train" <<'END'
#!/bin/sh
cat <<'PLAN'
net: input 8x4x4, 3 classes
80 parameters, 0.0 million multiply-accumulates per image, at most 1 bytes of activations at once

depthwise            one                         8x4x4 +batch_norm +relu  reads input  value at 0, gradient at 0
depthwise            two                         8x4x4 +batch_norm  reads one (not last)  value at 0, gradient at 0
batch 2800000: 0 bytes of activations, 0 of their gradients, 80 parameters, 0 running statistics, 0 constants

It makes 5 launches: 2 forward, 2 backward, about 1 for views.
PLAN
END
chmod +x "$work/cuobjdump" "$work/student_train"
count() {
    PYTHONDONTWRITEBYTECODE=1 python3 scripts/gpu/count_sass.py --cuobjdump "$work/cuobjdump" "$@" "$work/listing" 2>&1
}

said=$(count --loops --kernels forward)
check "the loop over tiles" "$said" '| forward_tiles<bfloat16, 4, 8, 1> | sm_90 | 20-130 | 9 | 0 | 0 | 1 | 0 | 0 |'
check "a loop in it" "$said" '| forward_tiles<bfloat16, 4, 8, 1> | sm_90 | > c0-100 | 5 | 0 | 8 | 1 | 0 | 1 |'

# 14 images a tile: 504 positions of one filling thread each, 6 fetched at a time (forward) or 2 (backward); 56 jobs of
# two threads, or 112. Thread instructions of a tile: 9 * 32 + 6 * 224 + 512 / 6 * 4 + 128 * 5 = 2,613 forward,
# 9 * 32 + 6 * 224 + 512 / 2 * 4 + 224 * 5 = 3,776 backward; 0.2 million are once a block's.
said=$(count --step net --size 4 --batch 2800000 --student-train "$work/student_train")
check "the work of a forward pass" "$said" \
    '| one | forward | forward_tiles<bfloat16, 4, 8, 1> | 200000 tiles of 504 positions, 56 jobs | 523 | 26 | 1433.6 | 427.9 | 428 |'
check "the first layer gives its input no gradient" "$said" \
    '| one | backward | backward_tiles<bfloat16, 4, 8, 1, 0> | 200000 tiles of 504 positions, 112 jobs | 755 | 38 | 2150.4 | 641.9 | 642 |'
check "the next one does" "$said" \
    '| two | backward | backward_tiles<bfloat16, 4, 8, 1, 0> | 200000 tiles of 504 positions, 112 jobs | 755 | 38 | 2867.2 | 855.9 | 856 |'
check "launches" "$said" '| 5 launches of 2 us |  | 10 |  |'
check "the sum" "$said" \
    'A step: 2.68 ms, 1042975223 images/s; by bytes alone 2.67 ms. The goal for dwpw at 224, batch 128, is 1.5 ms.'
said=$(count --step net --size 4 --batch 2800000 --student-train "$work/student_train" --issue 0.03)
check "a slower issue rate makes it longer than the bytes" "$said" \
    '| one | forward | forward_tiles<bfloat16, 4, 8, 1> | 200000 tiles of 504 positions, 56 jobs | 523 | 521 | 1433.6 | 427.9 | 521 |'
