#!/usr/bin/env python3
"""Compares the logits that a cache holds for its evaluation views with PyTorch's float32 on the CPU, from the photos themselves.

usage: compare_logits.py CACHE DATA resnet18|mobilenet_v2 WEIGHTS.pt --plugins FOLDER
Prints one JSON line: the largest difference relative to the largest magnitude of the same photo's logits.
"""
import argparse
import json

import h5py
import numpy
import torch
import torchvision
from PIL import Image


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache")
    parser.add_argument("data")
    parser.add_argument("network")
    parser.add_argument("weights")
    parser.add_argument("--plugins", required=True, help="folder of libh5zstd.so")
    options = parser.parse_args()
    h5py.h5pl.append(options.plugins.encode())
    manifest = json.load(open(options.cache + "/cache.json"))
    side, base = manifest["preprocessing"]["size"], manifest["preprocessing"]["base"]
    transform = torchvision.transforms.Compose([
        torchvision.transforms.Resize(base), torchvision.transforms.CenterCrop(side), torchvision.transforms.ToTensor(),
        torchvision.transforms.Normalize(manifest["preprocessing"]["mean"], manifest["preprocessing"]["std"])])
    model = getattr(torchvision.models, options.network)(num_classes=11).eval()
    model.load_state_dict(torch.load(options.weights))
    largest = count = 0
    for shard in next(s for s in manifest["splits"] if s["split"] == "val")["shards"]:
        with h5py.File(f"{options.cache}/{shard['file']}") as file:
            stored = file["logits"][:, 0].astype(numpy.float32)
            names = [name.decode() for name in file["names"][:]]
        images = torch.stack([transform(Image.open(f"{options.data}/{name}").convert("RGB")) for name in names])
        with torch.no_grad():
            expected = model(images).numpy()
        difference = numpy.abs(stored - expected).max(1) / numpy.abs(expected).max(1)
        if not numpy.isfinite(stored).all():
            raise SystemExit("the cache's logits are not finite")
        largest, count = max(largest, float(difference.max())), count + len(names)
    print(json.dumps({"photos": count, "largest_difference": largest}))


if __name__ == "__main__":
    main()
