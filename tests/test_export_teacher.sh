#!/bin/bash
# scripts/export_teacher.py with the installed PyTorch: both exporters, a checkpoint as training scripts save it, named features;
# and teacher_dump takes what it writes.
set -u
build=${BUILD:-build}
python=${SOFTCACHE_PYTHON:-python3}
if ! "$python" -c 'import torch, onnx, onnxruntime' 2>/dev/null; then
    echo "ok teachers_from_pytorch # SKIP no python3 with torch, onnx and onnxruntime (set SOFTCACHE_PYTHON)"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/net.py" <<'END'
import torch
from torch import nn

def make_model():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU6(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 4))
END
"$python" - "$work" <<'END'
import sys, torch
sys.path.insert(0, sys.argv[1])
from net import make_model
model = make_model()
torch.manual_seed(9)
for parameter in model.parameters():
    torch.nn.init.normal_(parameter)
state = {"module." + name: value for name, value in model.state_dict().items()}
torch.save({"epoch": 3, "state_dict": state}, sys.argv[1] + "/best.pt")
torch.save({"epoch": 3, "state_dict": {k: v for k, v in state.items() if "8.weight" not in k}}, sys.argv[1] + "/cut.pt")
torch.save(model, sys.argv[1] + "/whole.pt")
END
"$build/synthetic_images" --out "$work/photos" --train 8 --val 8 --classes 4 --width 40 --height 40 >/dev/null

export_teacher() { # OPTION...
    "$python" scripts/export_teacher.py --model "$work/net.py:make_model" --size 32 --out "$work/teacher.onnx" "$@" 2>&1
}
for exporter in torchscript dynamo; do
    rm -rf "$work/cache" "$work"/teacher.onnx*
    if ! output=$(export_teacher --checkpoint "$work/best.pt" --exporter $exporter --feature 3 --feature 4); then
        if grep -q 'has no exporter of that name' <<<"$output"; then
            echo "ok teacher_by_$exporter # SKIP this PyTorch has no such exporter"
        else
            echo "not ok teacher_by_$exporter: $(tail -3 <<<"$output")"
        fi
    elif ! grep -q 'differs from the module by' <<<"$output"; then
        echo "not ok teacher_by_$exporter: was not compared: $output"
    elif ! output=$("$build/teacher_dump" run --data "$work/photos" --teacher "$work/teacher.onnx" --out "$work/cache" --size 32 --base 36 \
        --views 1 --augment none --feature module_4 --quiet --device cpu 2>&1); then
        echo "not ok teacher_by_$exporter: $output"
    else
        echo "ok teacher_by_$exporter"
    fi
done
if output=$(export_teacher --checkpoint "$work/cut.pt") || ! grep -q 'does not fit the model' <<<"$output"; then
    echo "not ok checkpoint_that_does_not_fit: $output"
else
    echo "ok checkpoint_that_does_not_fit"
fi
if output=$(export_teacher --checkpoint "$work/whole.pt") || ! grep -q 'state_dict' <<<"$output"; then
    echo "not ok checkpoint_with_code: $output"
else
    echo "ok checkpoint_with_code"
fi
if output=$(export_teacher --checkpoint "$work/best.pt" --feature nowhere) || ! grep -q "no such module" <<<"$output"; then
    echo "not ok feature_that_is_not_there: $output"
else
    echo "ok feature_that_is_not_there"
fi
