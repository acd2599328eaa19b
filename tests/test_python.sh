#!/bin/bash
# The Python package: what it reads, the pixels of its views, its data set, its answers and their import; the examples of its
# README; and pip install of it. SOFTCACHE_PYTHON names a Python with numpy and onnx where python3 lacks them.
set -u
root=$PWD
build=${BUILD:-build}
python=${SOFTCACHE_PYTHON:-python3}
library=$build/libsoftcache_views.so
if ! "$python" -c 'import numpy, onnx' 2>/dev/null; then
    echo "ok python_package # SKIP no python3 with numpy and onnx (set SOFTCACHE_PYTHON)"
    exit 0
fi
if nm -D "$library" | grep -qE '__(asan|tsan|ubsan)'; then
    echo "ok python_package # SKIP a sanitized library cannot be loaded into Python"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
SOFTCACHE_LIBRARY=$(realpath "$library")
export SOFTCACHE_LIBRARY PYTHONDONTWRITEBYTECODE=1

PYTHONPATH=python "$python" tests/check_python.py "$build" "$work"

# ---- the examples of python/README.md, on a small set and an untrained teacher ----
examples=$work/examples
mkdir "$examples"
"$build/synthetic_images" --out "$examples/photos" --train 20 --val 10 --classes 5 --width 60 --height 50 >/dev/null
ln -s "$(realpath "$build")" "$examples/build"
# Prints the block that follows a heading.
block() { # LANGUAGE HEADING
    awk -v heading="$2" -v fence="\`\`\`$1" '$0 == heading { here = 1; next } /^#/ && !inside { here = 0 }
        { line = $0; sub(/^   /, "", line) } here && line == fence { inside = 1; indented = line != $0; next }
        inside { if (!indented) line = $0 } inside && line == "```" { exit } inside { print line }' python/README.md
}
run_example() { # NAME COMMAND...
    local name=$1 output
    shift
    if output=$(cd "$examples" && PYTHONPATH=$root/python "$@" 2>&1); then
        echo "ok $name"
    else
        echo "not ok $name: $(tail -3 <<<"$output" | tr '\n' ' ')"
        echo "$output"
    fi
}
if ! "$python" -c 'import torch, torchvision' 2>/dev/null; then
    echo "ok examples_of_the_readme # SKIP no torch and torchvision"
else
    "$python" - "$examples" <<'END'
import sys, torch, torchvision
for number in range(3):
    torch.manual_seed(number)
    torch.save(torchvision.models.resnet18(num_classes=5).state_dict(), f"{sys.argv[1]}/best{number or ''}.pt")
END
    block python '## A PyTorch teacher in three steps' >"$examples/teacher.py"
    block python '## An ensemble' >"$examples/ensemble.py"
    block python '## Reading a cache' >"$examples/read.py"
    block python '## Training in PyTorch' >"$examples/train.py"
    for file in teacher ensemble read train; do
        [ "$(wc -l <"$examples/$file.py")" -gt 3 ] || echo "not ok example_$file: python/README.md has none"
    done
    run_example example_photos "$build/teacher_dump" run --data photos --teacher none --out photos-cache --views 2 --augment light --quiet
    run_example example_teacher "$python" teacher.py
    run_example example_import "$build/teacher_dump" import --cache photos-cache --answers answers --out cache --quiet
    run_example example_ensemble "$python" ensemble.py
    run_example example_read "$python" read.py
    run_example example_train "$python" train.py
fi

# ---- pip install ./python, in a folder that looks like a clone after `make` ----
clone=$work/clone
mkdir "$clone"
cp -r python "$clone/python"
ln -s "$(realpath "$build")" "$clone/build"
if ! "$python" -c 'import setuptools, wheel, venv, pip' 2>/dev/null; then
    echo "ok pip_install # SKIP no python3 with setuptools, wheel, venv and pip"
    exit 0
fi
packages=$("$python" -c 'import site, numpy, os; print(os.path.dirname(os.path.dirname(numpy.__file__)))')
unset SOFTCACHE_LIBRARY
installed() { # CODE: runs it with the installed package
    (cd / && PYTHONPATH=$packages PATH=/usr/bin:/bin "$work/venv/bin/python" -c "$1" 2>&1)
}
"$python" -m venv "$work/venv" >"$work/log" 2>&1
if ! PYTHONPATH=$packages "$work/venv/bin/python" -m pip install --no-index --no-deps --no-build-isolation "$clone/python" >"$work/log" 2>&1; then
    echo "not ok pip_install: $(tail -3 "$work/log" | tr '\n' ' ')"
elif ! output=$(installed "import softcache; from softcache.library import library; print(library().path)"); then
    echo "not ok pip_install: $output"
elif [[ $output != "$work"/venv/*/softcache/libsoftcache_views.so ]]; then
    echo "not ok pip_install: the library is not the installed one: $output"
else
    echo "ok pip_install"
fi
