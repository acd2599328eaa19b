#!/usr/bin/env python3
"""Writes FOLDER/NAME.onnx: torchvision's networks for 11 classes with random weights.

usage: export_teachers.py FOLDER [--size 224] NAME ...
"""
import argparse
import warnings

import torch
import torchvision

CLASSES = 11


def network(name):
    torch.manual_seed(0)
    return getattr(torchvision.models, name)(weights=None, num_classes=CLASSES).eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in options.names:
        torch.onnx.export(network(name), (torch.zeros(2, 3, options.size, options.size),), f"{options.folder}/{name}.onnx",
                          input_names=["input"], output_names=["logits"], opset_version=17, dynamo=False,
                          dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})


if __name__ == "__main__":
    main()
