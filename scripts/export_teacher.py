#!/usr/bin/env python3
"""Exports a PyTorch classifier as the teacher that teacher_dump reads, and compares the file with the module.

    export_teacher.py --model torchvision:resnet18 --classes 11 --checkpoint best.pt --out teacher.onnx
    export_teacher.py --model timm:efficientnet_b0 --classes 11 --checkpoint best.pt --feature blocks.5 --out teacher.onnx
    export_teacher.py --model my_model.py:make_model --checkpoint best.pt --out teacher.onnx

--feature MODULE.PATH makes the output of that module a tensor of that name (module_3 where the path is 3), for
`teacher_dump run --feature`. Written for PyTorch 2.0 and newer, tested with 2.15; timm, torchvision and onnxruntime
are needed only where they are used.
"""
import argparse
import importlib.util
import inspect
import sys
import warnings


def fail(message):
    sys.exit(f"export_teacher: {message}")


try:
    import torch
except ImportError:
    fail("needs PyTorch: pip install torch onnx onnxscript")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, metavar="torchvision:NAME|timm:NAME|FILE.py:FUNCTION",
                        help="FUNCTION takes no arguments and returns the module")
    parser.add_argument("--checkpoint", metavar="FILE", help="its state_dict, or a dictionary that holds it")
    parser.add_argument("--classes", type=int, help="of the model's last layer; the default is the library's")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images [224]")
    parser.add_argument("--channels", type=int, default=3, help="of the images [3]")
    parser.add_argument("--feature", action="append", default=[], metavar="MODULE.PATH",
                        help="a module whose output becomes a named tensor; may be given several times")
    parser.add_argument("--exporter", choices=["auto", "dynamo", "torchscript"], default="auto",
                        help="auto: the default of the installed PyTorch, then the other one")
    parser.add_argument("--opset", type=int, default=None, help="operator set; the default is the exporter's")
    parser.add_argument("--out", required=True, metavar="FILE.onnx")
    return parser.parse_args()


def make_model(options):
    kind, _, name = options.model.partition(":")
    if not name:
        fail(f"--model {options.model}: write torchvision:NAME, timm:NAME or FILE.py:FUNCTION")
    classes = {} if options.classes is None else {"num_classes": options.classes}
    if kind == "torchvision":
        import torchvision

        return torchvision.models.get_model(name, weights=None, **classes)
    if kind == "timm":
        import timm

        return timm.create_model(name, pretrained=False, in_chans=options.channels, **classes)
    spec = importlib.util.spec_from_file_location("teacher_module", kind)
    if spec is None:
        fail(f"--model {options.model}: {kind} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)()


def find_state_dict(checkpoint):
    """The dictionary of tensors in what training scripts save."""
    if isinstance(checkpoint, torch.nn.Module):
        fail("the checkpoint is a whole module; save its state_dict: torch.save(model.state_dict(), FILE)")
    for key in ("state_dict", "model_state_dict", "model_state", "model", "net", "ema", "weights"):
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            return find_state_dict(checkpoint[key])
    if not isinstance(checkpoint, dict) or not any(isinstance(v, torch.Tensor) for v in checkpoint.values()):
        found = sorted(checkpoint)[:8] if isinstance(checkpoint, dict) else type(checkpoint).__name__
        fail(f"the checkpoint holds no state_dict; found {found}")
    return checkpoint


def load_checkpoint(model, path):
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle errors have many types
        fail(f"{path}: {str(error).splitlines()[0]} (only weights are loaded, never code: save the state_dict)")
    state = find_state_dict(checkpoint)
    wanted = set(model.state_dict())
    for prefix in ("", "module.", "_orig_mod.", "model.", "net.", "backbone."):
        stripped = {k[len(prefix):]: v for k, v in state.items() if k.startswith(prefix)}
        if wanted <= set(stripped):
            state = {k: v for k, v in stripped.items() if k in wanted}
            break
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = str(error).splitlines()
        fail(f"{path} does not fit the model: " + " ".join(line.strip() for line in lines[1:4])[:400])


class Teacher(torch.nn.Module):
    """The model's logits, then the outputs of the chosen modules."""

    def __init__(self, model, features):
        super().__init__()
        self.model = model
        self.features = features
        self.values = {}
        modules = dict(model.named_modules())
        for path in features:
            if path not in modules:
                near = [name for name in modules if name and path.split(".")[0] in name][:8]
                fail(f"--feature {path}: the model has no such module; did you mean one of {near or list(modules)[1:9]}?")
            modules[path].register_forward_hook(lambda module, inputs, output, path=path: self.keep(path, output))

    def keep(self, path, output):
        if not isinstance(output, torch.Tensor):
            fail(f"--feature {path}: its output is a {type(output).__name__}, not one tensor")
        self.values[path] = output

    def forward(self, x):
        logits = self.model(x)
        logits = getattr(logits, "logits", logits)  # GoogLeNet, Inception and transformers return a structure
        return (logits, *[self.values[path] for path in self.features])


def output_names(options):
    """A module of nn.Sequential may be called "3", which is not a name that every exporter takes."""
    return ["logits", *[f"module_{path}" if path.isdigit() else path for path in options.feature]]


def export(teacher, example, options, dynamo):
    names = output_names(options)
    keywords = {"input_names": ["input"], "output_names": names}
    if options.opset is not None:
        keywords["opset_version"] = options.opset
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        keywords["dynamo"] = dynamo
    elif dynamo:
        raise RuntimeError("this PyTorch has no exporter of that name in torch.onnx.export")
    if dynamo:
        keywords["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    else:
        keywords["dynamic_axes"] = {name: {0: "batch"} for name in ["input", *names]}
    torch.onnx.export(teacher, (example,), options.out, **keywords)


def export_by_any(teacher, example, options):
    parameters = inspect.signature(torch.onnx.export).parameters
    newest = "dynamo" in parameters and parameters["dynamo"].default is True
    order = {"dynamo": [True], "torchscript": [False], "auto": [newest, not newest]}[options.exporter]
    errors = []
    for dynamo in order:
        try:
            export(teacher, example, options, dynamo)
            return "dynamo" if dynamo else "torchscript"
        except Exception as error:  # exporters raise what their passes raise
            errors.append(f"{'dynamo' if dynamo else 'torchscript'}: {type(error).__name__}: {str(error)[:300]}")
    fail("the export failed\n  " + "\n  ".join(errors))


def compare(teacher, options):
    """Three samples, because the exporters saw two."""
    try:
        import onnxruntime
    except ImportError:
        return "not compared: onnxruntime is not installed"
    x = torch.randn(3, options.channels, options.size, options.size, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(options.out, providers=["CPUExecutionProvider"])
    found = session.run(output_names(options), {"input": x.numpy()})
    with torch.no_grad():
        expected = teacher(x)
    worst = 0.0
    for name, a, b in zip(output_names(options), found, expected):
        if tuple(a.shape) != tuple(b.shape):
            fail(f"{name} is {a.shape} in the file and {tuple(b.shape)} in the module")
        b = b.numpy()
        worst = max(worst, float(abs(a - b).max() / max(abs(b).max(), 1e-12)))
    if not worst < 1e-3:
        fail(f"the file and the module differ by {worst:.1e} of the largest value")
    return f"differs from the module by {worst:.1e} of the largest value"


def main():
    options = arguments()
    warnings.filterwarnings("ignore")
    model = make_model(options)
    if options.checkpoint:
        load_checkpoint(model, options.checkpoint)
    else:
        print("export_teacher: no --checkpoint: the weights are random", file=sys.stderr)
    teacher = Teacher(model, options.feature).eval()
    example = torch.zeros(2, options.channels, options.size, options.size)
    with torch.no_grad():
        logits = teacher(example)[0]
        if logits.ndim != 2:
            fail(f"the model's output is {tuple(logits.shape)}; a classifier gives [batch, classes]")
        exporter = export_by_any(teacher, example, options)
    print(f"{options.out}: {logits.shape[1]} classes, exporter {exporter}, PyTorch {torch.__version__}; {compare(teacher, options)}")
    config = getattr(model, "pretrained_cfg", None) or {}
    if config.get("mean"):
        numbers = {key: ",".join(f"{x:g}" for x in config[key]) for key in ("mean", "std")}
        print(f"timm trained it with --mean {numbers['mean']} --std {numbers['std']}")


if __name__ == "__main__":
    main()
