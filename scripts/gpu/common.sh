# shellcheck shell=bash
# What the sections of gpu_check.sh share. It is sourced. A section reports rows: STATUS, WHAT, VALUE, NOTE.

# row ok|FAIL|skip|info WHAT VALUE [NOTE]
row() {
    printf '%s\t%s\t%s\t%s\t%s\n' "$SECTION" "$1" "$2" "$3" "${4:-}" >>"$ROWS"
    printf '%-4s %s: %s%s\n' "$1" "$2" "$3" "${4:+ ($4)}"
}
ok() { row ok "$@"; }
fail() { row FAIL "$@"; }
skip() { row skip "$1" "-" "$2"; }
info() { row info "$@"; }

# sized QUICK FULL SIMULATED: the one that this run is for.
sized() {
    case $MODE in
    full) echo "$2" ;;
    simulate) echo "$3" ;;
    *) echo "$1" ;;
    esac
}

# The student of checks and benchmarks: dwpw, which is A of the page at 224x224 and C at 32x32; simulated, a few layers.
student_name() {
    [ "$MODE" = simulate ] || { echo dwpw; return; }
    printf '%s\n' 'conv stem 8 3x3 /2 pad 1 nobias' bn relu 'dwpw block1 16 /2' gap 'fc classifier classes' >"$WORK/tiny.net"
    echo "$WORK/tiny.net"
}

# number FILE KEY: the last number of that key in a JSON or JSON-lines file, nothing where there is none.
number() { grep -aoE "\"$2\":[[:space:]]*[-+0-9.eE]+" "$1" 2>/dev/null | tail -1 | sed 's/.*:[[:space:]]*//'; }
# text FILE KEY: the same for a string.
text() { grep -aoE "\"$2\":[[:space:]]*\"[^\"]*\"" "$1" 2>/dev/null | tail -1 | sed -E 's/^[^:]*:[[:space:]]*"(.*)"$/\1/'; }
rounded() { LC_ALL=C awk -v x="${1:-}" 'BEGIN { if (x == "") printf "-"; else if (x >= 100) printf "%.0f", x; else printf "%.3g", x }'; }
below() { LC_ALL=C awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a == a + 0 && a <= b) }'; }
ratio() { LC_ALL=C awk -v a="${1:-0}" -v b="${2:-0}" 'BEGIN { if (b > 0) printf "%.2f times", a / b; else printf "-" }'; }
reason() { grep -a . "$1" | tail -1 | cut -c 1-160; }

teacher_dump() { "$PROGRAMS/teacher_dump" "$@"; }
student_train() { "$PROGRAMS/student_train" "$@"; }
has_module() { "$PYTHON" -c "import $1" 2>/dev/null; }
torch_device() { if [ "$MODE" = simulate ]; then echo cpu; else echo cuda; fi; }

# cuDNN 9 and cuBLASLt 12 or 13, which softcache_cudnn.so opens: in the system's path, or in a pip or PyTorch installation (nvidia/*/lib).
find_nvidia_libraries() {
    if ! { ldconfig -p 2>/dev/null | grep -qF libcudnn.so.9 && ldconfig -p | grep -qE "libcublasLt\.so\.1[23]"; }; then
        local folders
        folders=$("$PYTHON" - 2>/dev/null <<'PYTHON'
import glob, nvidia
found = {f.rsplit("/", 1)[0] for p in nvidia.__path__ for n in ("libcudnn*.so*", "libcublas*.so*") for f in glob.glob(f"{p}/*/lib/{n}")}
print(":".join(sorted(found)))
PYTHON
        )
        [ -z "$folders" ] || export LD_LIBRARY_PATH=$folders${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    fi
}

# photos NAME OPTIONS...: a synthetic data set WORK/NAME, made once.
photos() {
    local name=$1
    shift
    [ -d "$WORK/$name" ] || { "$TOOLS/synthetic_images" --out "$WORK/$name.part" "$@" && mv "$WORK/$name.part" "$WORK/$name"; }
}

# Both networks with random weights and settled statistics as WORK/NAME.onnx; returns 1 without torchvision.
export_teachers() {
    [ -s "$WORK/resnet18.onnx" ] && [ -s "$WORK/mobilenet_v2.onnx" ] && return
    "$PYTHON" "$SCRIPTS/gpu/export_teachers.py" "$WORK" --size "$(sized 224 224 32)"
}
