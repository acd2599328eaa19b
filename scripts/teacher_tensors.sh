# Guesses the names of a teacher's tensors; read by recipe.sh and accuracy.sh, which set $programs and $teacher.
# shellcheck shell=bash disable=SC2154

# Lines "TENSOR OPERATOR SHAPE".
tensors() { "$programs"/teacher_dump inspect "$teacher" | sed -nE 's/^  ([^ ]+) +([a-z_0-9]+) +([0-9x]+)( .*)?$/\1 \2 \3/p'; }

# A tensor for a variable: mapK by the names that torch.onnx and our export give to torchvision's ResNets, the others by their
# position: before the global pool (map), the last one of at least twice its side (early), before the last linear layer. A sum is
# taken before anything else: in networks with skips it is the narrow end of a block. Prints nothing if no tensor fits.
guess() {
    case $1 in
    map[1-4]) tensors | awk -v k="${1#map}" '
        $1 ~ "^/layer" k "/.*Relu(_[0-9]+)?_output_0$" || $1 ~ "^layer" k "\\.[0-9]+$" { found = $1 }
        END { print found }' ;;
    map) tensors | awk '$3 !~ /x1x1$/ && !pooled { last = $1 }
        $2 == "global_average_pool" || $2 == "flatten" { pooled = 1 }
        END { if (pooled) print last }' ;;
    early) tensors | awk '
        { n = split($3, side, "x"); if (n != 3 || pooled || $2 == "input") next }
        $2 == "global_average_pool" || $2 == "flatten" || side[2] == 1 { pooled = 1; next }
        { count++; name[count] = $1; sum[count] = $2 == "add"; width[count] = side[2]; smallest = side[2] }
        END {
            for (i = 1; i <= count; i++)
                if (width[i] >= 2 * smallest && (sum[i] || !any)) { found = name[i]; any = any || sum[i] }
            print found
        }' ;;
    embedding) tensors | awk '{ before = last; last = $1; shape = wide; wide = $3; operator = $2 }
        END { if (operator == "linear" && shape ~ /x1x1$/) print before }' ;;
    esac
}
