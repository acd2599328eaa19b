"""Compares onnxruntime on quantised students in QDQ form with the logits of the integer reference.

check_int8.py FOLDER, written by `test_quantise --write FOLDER`: NAME.onnx, NAME.inputs and NAME.logits (float32), NAME.scale
(the logits' step). Prints one line a check; part of tests/test_quantise.sh.
"""
import glob
import os
import sys

import numpy as np
import onnx
import onnxruntime

STEPS = 2  # quantisation steps of the logits: halves are rounded to even there, up here, and float sums round


def check(path):
    name = os.path.basename(path)[: -len(".onnx")]
    base = path[: -len(".onnx")]
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    # Without this, sums of two products saturate in 16 bits on x86 processors that have no VNNI: up to 72 steps on one with AVX2.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape[1:]
    inputs = np.fromfile(base + ".inputs", np.float32).reshape(-1, shape[1], shape[2], shape[0]).transpose(0, 3, 1, 2)
    expected = np.fromfile(base + ".logits", np.float32).reshape(len(inputs), -1)
    step = np.fromfile(base + ".scale", np.float32)[0]
    found = session.run(None, {"input": np.ascontiguousarray(inputs)})[0]
    distance = np.abs(found - expected).max() / step
    # where the best two are closer than what may differ, either may win
    order = np.sort(expected, axis=1)
    sure = order[:, -1] - order[:, -2] > 2 * STEPS * step
    same = (found.argmax(1) == expected.argmax(1))[sure].all()
    ok = distance <= STEPS + 0.01 and same
    print(f"{'ok' if ok else 'not ok'} onnxruntime int8 {name} ({distance:.2f} steps)")


paths = sorted(glob.glob(os.path.join(sys.argv[1], "*.onnx")))
if not paths:
    print("not ok onnxruntime int8: no models were written")
for path in paths:
    try:
        check(path)
    except Exception as error:  # a model that does not load is a failed check, not the end of all
        print(f"not ok onnxruntime int8 {os.path.basename(path)}: {error}")
