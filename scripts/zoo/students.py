#!/usr/bin/env python3
"""Small PyTorch nets as students, and back: writes a table in Markdown (docs/students.md).

    students.py --build build [--net NAME ...] [--exporter NAME ...] [--out docs/students.md] [--results FILE.jsonl]

Every net of student_nets.py is exported by every exporter, trained by student_train for two steps of SGD on 16 synthetic photos, and
exported. Then the weights must load strictly into the module that was exported; they must be what two steps of PyTorch give, which tests
gradients; and the trained ONNX file in onnxruntime and student.py must give the logits of the module. Results are appended to --results, and exports that are
there already are not run again. Needs torch, onnx, onnxscript, onnxruntime, pillow and
safetensors.
"""
import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings

import numpy
import onnxruntime
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.fx.experimental.optimization import fuse

from student_nets import CLASSES, NETS

PHOTOS, STEPS, RATE = 16, 2, 0.05
MEAN, STD = 0.5, 0.25


def export_torchscript(net, path, training):
    mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.EVAL
    torch.onnx.export(net, (torch.randn(2, 3, 32, 32),), path, dynamo=False, training=mode, do_constant_folding=not training,
                      input_names=["input"], output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})


def export_dynamo(net, path, training, optimize=True):
    torch.onnx.export(net.train(training), (torch.randn(2, 3, 32, 32),), path, dynamo=True, optimize=optimize, verbose=False,
                      input_names=["input"], output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("batch")},))


EXPORTERS = {
    "TorchScript, training": lambda net, path: export_torchscript(net, path, True),
    "TorchScript, eval": lambda net, path: export_torchscript(net.eval(), path, False),
    "dynamo, training": lambda net, path: export_dynamo(net, path, True),
    "dynamo, eval": lambda net, path: export_dynamo(net, path, False),
    "dynamo, not optimised": lambda net, path: export_dynamo(net, path, False, optimize=False),
}


PAGE = """# Small PyTorch nets as students

Written by `scripts/zoo.sh students` with PyTorch {torch} and onnxruntime {onnxruntime}. Every net is exported by every exporter, trained on
the CPU for two steps of SGD on 16 photos, and exported again. A cell has two numbers. The first is the largest difference between a trained
weight and the one that PyTorch's two steps give, relative to that tensor's largest change: it tests gradients, and that the weights load
strictly into the module that was exported. The second is the largest relative difference between the logits of the trained ONNX file in
onnxruntime, or of student.py, and those of the module. "folded": the exporter had folded the batch norms into the convolutions, `fit` says so, and the student
comes home to the module without them. Otherwise the cell has the reason.

{summary}.

{head}
{rows}
"""


class Failure(Exception):
    pass


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise Failure(re.sub(r"^\w+: error: |/\S*/", "", lines[-1])[:160])
    return done.stdout + done.stderr


def load_photos(folder):
    """In the order of the cache: by class, then by name."""
    images, labels = [], []
    for label, name in enumerate(sorted(os.listdir(folder))):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            pixels = numpy.asarray(Image.open(os.path.join(folder, name, file)).convert("RGB"), numpy.float32)
            images.append((pixels / 255 - MEAN) / STD)
            labels.append(label)
    return torch.tensor(numpy.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def train_in_pytorch(net, images, labels):
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()


def largest_difference(found, expected, initial):
    """Of all weights, relative to the largest change of that tensor (or 1e-3)."""
    worst = 0.0
    for name, value in expected.items():
        if value.dtype.is_floating_point:
            change = max(float((value - initial[name]).abs().max()), 1e-3)
            worst = max(worst, float((found[name] - value).abs().max()) / change)
    return worst


def make_net(name, folded):
    torch.manual_seed(1)
    net = NETS[name]()
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):  # as if it had been trained
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.1)
    if folded:
        net = fuse(net.eval())
        for parameter in net.parameters():  # fuse() makes biases that are not trained
            parameter.requires_grad_(True)
    return net


def folds_batch_norms(name, exporter):
    """In evaluation mode the TorchScript exporter folds them and keeps no trace; the student is the net without them."""
    return exporter == "TorchScript, eval" and any(isinstance(m, nn.BatchNorm2d) for m in NETS[name]().modules())


def try_student(build, work, name, exporter, images, labels):
    """(weights, logits, folded): differences from PyTorch, and whether the exporter folded batch norms."""
    folded = folds_batch_norms(name, exporter)
    net = make_net(name, folded)
    initial = {k: v.clone() for k, v in net.state_dict().items()}
    model, out = os.path.join(work, "net.onnx"), os.path.join(work, "run")
    try:
        EXPORTERS[exporter](make_net(name, False), model)
    except Exception as error:
        raise Failure(f"PyTorch does not export it: {type(error).__name__}") from error
    safetensors.torch.save_file(initial, os.path.join(work, "initial.safetensors"))
    said = run(f"{build}/student_train", "fit", "--cache", f"{work}/cache", "--student", model, "--out", out, "--overwrite", "--epochs", str(STEPS),
        "--batch", str(PHOTOS), "--optimizer", "sgd", "--momentum", "0", "--weight-decay", "0", "--grad-clip", "0", "--lr", str(RATE), "--order",
        "sequential", "--loss", "ce", "--init", f"{work}/initial.safetensors", "--device", "cpu")
    if folded and "batch norm" not in said:
        raise Failure("its batch norms were folded, and nothing says so")
    run(f"{build}/student_train", "export", "--run", out, "--out", f"{work}/exported", "--weights", "last")
    files = os.listdir(f"{work}/exported")
    trained = safetensors.torch.load_file(f"{work}/exported/" + next(f for f in files if f.endswith(".safetensors")))
    home = make_net(name, folded)
    try:
        home.load_state_dict(trained, strict=True)
    except RuntimeError as error:
        raise Failure("not home: " + re.sub(r"\s+", " ", str(error).split(":", 1)[1])[:120]) from error
    reference = make_net(name, folded)
    reference.load_state_dict(initial)
    train_in_pytorch(reference, images, labels)
    weights = largest_difference(home.state_dict(), reference.state_dict(), initial)
    session = onnxruntime.InferenceSession(f"{work}/exported/" + next(f for f in files if f.endswith(".onnx")), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]
    with torch.no_grad():
        expected = home.eval()(images).numpy()
        script = import_student(f"{work}/exported/student.py")
        script.load_state_dict(trained, strict=True)
        by_script = script.eval()(images).numpy()
    difference = max(abs(found - expected).max(), abs(by_script - expected).max())
    return weights, float(difference / abs(expected).max()), folded


def import_student(path):
    spec = importlib.util.spec_from_file_location("student", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Student()


def prepare(build, work):
    run(f"{build}/synthetic_images", "--out", f"{work}/photos", "--train", str(PHOTOS), "--val", "8", "--classes", str(CLASSES), "--width", "32",
        "--height", "32")
    run(f"{build}/teacher_dump", "run", "--data", f"{work}/photos", "--teacher", "none", "--out", f"{work}/cache", "--size", "32", "--base", "32",
        "--views", "1", "--augment", "none", "--mean", ",".join([str(MEAN)] * 3), "--std", ",".join([str(STD)] * 3), "--quiet")
    return load_photos(f"{work}/photos/train")


def measure(options, work, name, exporter, images, labels):
    """(cell of the table, whether its numbers are right; None: there are none)"""
    try:
        weights, logits, folded = try_student(options.build, work, name, exporter, images, labels)
    except Failure as failure:
        return str(failure).replace("|", "/"), None
    right = weights < 2e-2 and logits < 1e-4
    return f"{weights:.0e}, {logits:.0e}" + (", folded" if folded else "") + ("" if right else " **wrong**"), right


def read_results(path):
    if not path or not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return {(row["net"], row["exporter"]): (row["cell"], row["right"]) for row in map(json.loads, file)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--net", action="append", choices=list(NETS))
    parser.add_argument("--exporter", action="append", choices=list(EXPORTERS))
    parser.add_argument("--results", help="a file of JSON lines that is continued")
    parser.add_argument("--out", help="a Markdown file; the default is the screen only")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(2)
    nets, exporters, results = options.net or list(NETS), options.exporter or list(EXPORTERS), read_results(options.results)
    with tempfile.TemporaryDirectory() as work:
        images, labels = prepare(options.build, work)
        for key in [(name, exporter) for name in nets for exporter in exporters]:
            if key in results:
                continue
            results[key] = measure(options, work, *key, images, labels)
            print(f"{key[0]:24} {key[1]:24} {results[key][0]}", flush=True)
            if options.results:
                with open(options.results, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"net": key[0], "exporter": key[1], "cell": results[key][0], "right": results[key][1]}) + "\n")
    shown = [results[name, exporter] for name in nets for exporter in exporters]
    good, wrong, refused = (sum(right is kind for _, right in shown) for kind in (True, False, None))
    summary = f"{good} of {len(shown)} exports train as PyTorch does and come home, {wrong} are wrong, {refused} are refused"
    print(summary)
    if options.out:
        rows = ["| " + " | ".join([f"`{name}`", *(results[name, exporter][0] for exporter in exporters)]) + " |" for name in nets]
        with open(options.out, "w", encoding="utf-8") as out:
            out.write(PAGE.format(summary=summary, torch=torch.__version__, onnxruntime=onnxruntime.__version__,
                                  head="| net | " + " | ".join(exporters) + " |\n|" + "---|" * (len(exporters) + 1), rows="\n".join(rows)))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
