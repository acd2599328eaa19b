#!/usr/bin/env python3
"""Writes FOLDER/resnet18.onnx and FOLDER/mobilenet_v2.onnx: torchvision's networks for 11 classes with random weights, and FOLDER/NAME.pt
with their weights. Their batch norms have seen some noise first, so that activations have the magnitudes of a trained network.

usage: export_teachers.py FOLDER [--size 224]
"""
import argparse
import inspect

import torch
import torchvision


def network(name):
    torch.manual_seed(1)
    model = getattr(torchvision.models, name)(num_classes=11)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over what it sees
    return model


def export(model, size, path):
    # The exporter of TorchScript: it is there in every version, in new ones by request.
    options = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    torch.onnx.export(model, torch.zeros(1, 3, size, size), path, input_names=["input"], output_names=["logits"],
                      dynamic_axes={"input": {0: "batch"}}, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    for name in ("resnet18", "mobilenet_v2"):
        model = network(name).train()
        with torch.no_grad():
            for _ in range(2):
                model(torch.randn(16, 3, options.size, options.size))
        model.eval()
        torch.save(model.state_dict(), f"{options.folder}/{name}.pt")
        export(model, options.size, f"{options.folder}/{name}.onnx")


if __name__ == "__main__":
    main()
