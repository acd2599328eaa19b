#!/usr/bin/env python3
"""Exports a PyTorch module as a student that `student_train fit --student FILE.onnx` trains, and brings trained weights back.

    export_student.py --model my_student.py:make_student --size 64 --out student.onnx
    student_train fit --cache cache --student student.onnx --out runs/mine
    student_train export --run runs/mine --out exported
    export_student.py --model my_student.py:make_student --load exported/student.safetensors --save student.pt

Exporters simplify a network for inference: they fold batch norms into convolutions and rename weights. A student must be exported without
that. This script does so, and checks that the file has every parameter under the name that the module gives it. Written for PyTorch 2.0 and
newer.
"""
import argparse
import importlib.util
import inspect
import sys
import warnings


def fail(message):
    sys.exit(f"export_student: {message}")


try:
    import torch
except ImportError:
    fail("needs PyTorch: pip install torch onnx onnxscript")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, metavar="FILE.py:FUNCTION|torchvision:NAME|timm:NAME",
                        help="FUNCTION takes no arguments and returns the module")
    parser.add_argument("--classes", type=int, help="of torchvision's and timm's models; the default is the library's")
    parser.add_argument("--size", type=int, default=224, help="height and width of the student's images [224]")
    parser.add_argument("--channels", type=int, default=3, help="of the images [3]")
    parser.add_argument("--exporter", choices=["auto", "torchscript", "dynamo"], default="auto")
    parser.add_argument("--out", metavar="FILE.onnx", help="the file to write")
    parser.add_argument("--load", metavar="FILE.safetensors", help="trained weights, which must fit the module exactly")
    parser.add_argument("--save", metavar="FILE.pt", help="with --load: the module's state_dict, for torch.load")
    options = parser.parse_args()
    if bool(options.out) == bool(options.load):
        fail("give either --out FILE.onnx, to export, or --load FILE.safetensors, to bring weights back")
    return options


def make_model(options):
    kind, _, name = options.model.partition(":")
    if not name:
        fail(f"--model {options.model}: write FILE.py:FUNCTION, torchvision:NAME or timm:NAME")
    classes = {} if options.classes is None else {"num_classes": options.classes}
    if kind == "torchvision":
        import torchvision

        return torchvision.models.get_model(name, weights=None, **classes)
    if kind == "timm":
        import timm

        return timm.create_model(name, pretrained=False, in_chans=options.channels, **classes)
    spec = importlib.util.spec_from_file_location("student_module", kind)
    if spec is None:
        fail(f"--model {options.model}: {kind} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)()


def export_torchscript(model, example, path):
    keywords = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(model, (example,), path, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False, input_names=["input"],
                      output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}}, **keywords)


def export_dynamo(model, example, path):
    """In training mode, for dropout; its optimiser would fold the batch norms."""
    torch.onnx.export(model.train(), (example,), path, dynamo=True, optimize=False, verbose=False, input_names=["input"],
                      output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("batch")},))


def missing_names(model, path):
    import onnx

    names = {tensor.name for tensor in onnx.load(path, load_external_data=False).graph.initializer}
    return [name for name, _ in model.named_parameters() if name not in names]


def export(model, options):
    exporters = {"torchscript": export_torchscript, "dynamo": export_dynamo}
    names = list(exporters) if options.exporter == "auto" else [options.exporter]
    example = torch.randn(2, options.channels, options.size, options.size)
    reasons = []
    for name in names:
        try:
            exporters[name](model, example, options.out)
        except Exception as error:  # exporters raise what their passes raise
            reasons.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
            continue
        missing = missing_names(model, options.out)
        if not missing:
            return name
        reasons.append(f"{name}: the file does not have {', '.join(missing[:4])}{' ...' if missing[4:] else ''} by these names")
    fail("the export failed\n  " + "\n  ".join(reasons))


def load(model, options):
    from safetensors.torch import load_file

    try:
        model.load_state_dict(load_file(options.load), strict=True)
    except RuntimeError as error:
        fail(f"{options.load} does not fit the module: " + " ".join(line.strip() for line in str(error).splitlines()[1:4])[:400])


def main():
    options = arguments()
    warnings.filterwarnings("ignore")
    model = make_model(options)
    count = sum(p.numel() for p in model.parameters())
    if options.load:
        load(model, options)
        print(f"{options.load} fits the module: {count} parameters")
        if options.save:
            torch.save(model.state_dict(), options.save)
        return
    exporter = export(model, options)
    print(f"{options.out}: {count} parameters, exporter {exporter}, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
