"""Compares the exports that `test_export FOLDER` writes with the values of the C reference beside them: the ONNX file in
onnxruntime, student.py with its safetensors (loaded strictly) in PyTorch. Prints one line a check; part of
tests/test_export.sh."""
import glob
import importlib.util
import os
import sys

import numpy

TOLERANCE = 1e-4


def golden_input(shape):
    i = numpy.arange(numpy.prod(shape), dtype=numpy.uint64)
    noise, bands = (((k * 2654435761 + 12345) & 0xFFFFFFFF) / 2.0**31 - 1 for k in (i, i // 777))
    return (noise + bands).astype(numpy.float32).reshape(shape)


def report(name, found, expected):
    error = numpy.abs(found.ravel() - expected).max() / numpy.abs(expected).max()
    if found.size == expected.size and error <= TOLERANCE:
        print(f"ok {name} (relative error {error:.1e})")
    else:
        print(f"not ok {name}: relative error {error:.1e}, at most {TOLERANCE}")


def check_onnxruntime(path, name, expected):
    try:
        import onnxruntime
    except ImportError:
        print(f"ok onnxruntime {name} # SKIP no onnxruntime in this Python")
        return
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path + ".onnx", options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    assert shape[0] == "batch" and session.get_inputs()[0].name == "input"
    found = session.run(["logits"], {"input": golden_input([2] + shape[1:])})[0]
    report(f"onnxruntime {name}", found, expected)


def check_onnx(path, name):
    try:
        import onnx
    except ImportError:
        print(f"ok onnx.checker {name} # SKIP no onnx in this Python")
        return
    onnx.checker.check_model(onnx.load(path + ".onnx"), full_check=True)
    print(f"ok onnx.checker {name}")


def check_torch(path, name, expected, shape):
    try:
        import torch
        from safetensors.torch import load_file
    except ImportError:
        print(f"ok torch {name} # SKIP no torch or safetensors in this Python")
        return
    spec = importlib.util.spec_from_file_location(name, path + ".py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Student()
    model.load_state_dict(load_file(path + ".safetensors"), strict=True)
    model.eval()
    with torch.no_grad():
        found = model(torch.from_numpy(golden_input(shape))).numpy()
    report(f"torch {name}", found, expected)
    model.train()
    model(torch.from_numpy(golden_input(shape))).sum().backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    print(f"not ok gradients {name}: none for {missing}" if missing else f"ok gradients {name}")


def input_shape(path):
    """From the last line of student.py, so that no other package is needed."""
    text = open(path + ".py").read().rsplit("torch.zeros(1, ", 1)[1]
    return [2] + [int(size) for size in text.split(")")[0].split(",")]


for file in sorted(glob.glob(os.path.join(sys.argv[1], "*.f32"))):
    path = file[: -len(".f32")]
    name = os.path.basename(path)
    expected = numpy.fromfile(file, numpy.float32)
    check_onnx(path, name)
    check_onnxruntime(path, name, expected)
    check_torch(path, name, expected, input_shape(path))
