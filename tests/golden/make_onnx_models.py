"""Golden ONNX models: torchvision networks with random weights and running statistics, exported by PyTorch, with the
values that PyTorch computes from them.

    make_onnx_models.py                 narrow ones, into tests/golden/onnx_models (committed)
    make_onnx_models.py --full FOLDER   the full sizes, for SOFTCACHE_FULL_MODELS=FOLDER (`make test-parity`)

Beside MODEL.onnx, MODEL.safetensors holds "logits" and one inner map, under the name of the ONNX tensor.
The input is a formula (export_fill in tests/helper_exports.c). Needs torch, torchvision, onnx, safetensors, numpy."""
import argparse
import os
import warnings

import numpy
import onnx
import torch
import torchvision
from safetensors.numpy import save_file
from torch import nn

warnings.filterwarnings("ignore")


def golden_input(n, size):
    """Noise and bands: pure noise looks the same everywhere, and deep layers would see nothing but rounding errors."""
    i = numpy.arange(n * 3 * size * size, dtype=numpy.uint64)
    noise, bands = (((k * 2654435761 + 12345) & 0xFFFFFFFF) / 2.0**31 - 1 for k in (i, i // 777))
    return torch.from_numpy((noise + bands).astype(numpy.float32).reshape(n, 3, size, size))


def randomise(model, images):
    """Random weights; running statistics near the true ones, so that activations keep a sane magnitude."""
    torch.manual_seed(1)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.uniform_(module.bias, -0.5, 0.5)
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
        for norm in norms:
            norm.momentum = 0.1
            norm.running_mean += torch.empty_like(norm.running_mean).uniform_(-0.5, 0.5) * norm.running_var.sqrt()
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.5, 1.5)


def narrow(model, factor):
    """Every layer with its channels divided by factor (at least 2), but for the image's and the classes'."""

    def less(channels):
        if channels >= 4096:  # VGG's classifier would be most of the file
            return 16
        return channels if channels in (3, 11) else max(2, channels // factor)

    for module in model.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                groups = less(child.groups) if child.groups > 1 else 1
                child = nn.Conv2d(less(child.in_channels), less(child.out_channels), child.kernel_size, child.stride,
                                  child.padding, child.dilation, groups, child.bias is not None)
            elif isinstance(child, nn.BatchNorm2d):
                child = nn.BatchNorm2d(less(child.num_features))
            elif isinstance(child, nn.Linear):
                features = child.in_features
                features = less(512) * 49 if features == 512 * 49 else less(features)
                child = nn.Linear(features, less(child.out_features))
            setattr(module, name, child)
    return model


def export(model, name, inner, folder, n, opset, training):
    """inner: the module that gives the last map before the features are flattened."""
    images = golden_input(n, 224)
    randomise(model, images)
    path = os.path.join(folder, name + ".onnx")
    mode = torch.onnx.TrainingMode.TRAINING if training else torch.onnx.TrainingMode.EVAL
    torch.onnx.export(model, images[:1], path, input_names=["input"], output_names=["logits"], opset_version=opset,
                      training=mode, do_constant_folding=not training,
                      dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})
    model.eval()  # after the export: tracing in training form moved the running statistics
    kept = {}
    hook = model.get_submodule(inner).register_forward_hook(lambda m, i, o: kept.update(map=o.detach().clone()))
    with torch.no_grad():
        logits = model.double()(images.double()).float()  # PyTorch's own rounding is no part of the truth
    hook.remove()
    graph = onnx.load(path).graph
    # The last map: what the pooling or flattening that ends the features reads.
    ends = [node for node in graph.node if node.op_type in ("GlobalAveragePool", "AveragePool", "Flatten", "Reshape")]
    values = {"logits": logits.numpy(), ends[0].input[0]: kept["map"].float().numpy()}
    save_file(values, os.path.join(folder, name + ".safetensors"))
    print(f"{path}: {os.path.getsize(path)} bytes, logits {logits.abs().max():.3g}, map {ends[0].input[0]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full")
    full = parser.parse_args().full
    folder = full or os.path.join(os.path.dirname(os.path.abspath(__file__)), "onnx_models")
    os.makedirs(folder, exist_ok=True)
    models = torchvision.models
    n = 1 if full else 2

    def build(make, factor, **options):
        model = make(weights=None, num_classes=11, **options)
        return model if full else narrow(model, factor)

    export(build(models.resnet18, 32), "resnet18", "layer4", folder, n, opset=13, training=False)
    export(build(models.vgg11_bn, 32, dropout=0.5), "vgg11_bn", "avgpool", folder, n, opset=14, training=True)
    export(build(models.mobilenet_v2, 16), "mobilenet_v2", "features", folder, n, opset=17, training=False)


main()
