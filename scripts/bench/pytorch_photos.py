#!/usr/bin/env python3
"""Decoding and rendering as people do it with torchvision, for scripts/bench/files.py.

    pytorch_photos.py --cache CACHE --photos PHOTOS [--threads N] [--seconds 1]

For each line "decode|render PIL|tensors" of the standard input it prints one of JSON: images a second and a processor second. With more than
one thread, a DataLoader has as many workers, whose processor seconds do not count: with --threads 1 there are none.
decode: a JPEG file to an image of the cache's base size. render: an image in memory to a normalised view of the recipe food11-strong.
PIL: transforms on PIL's images. tensors: torchvision's decoder, and its v2 transforms on uint8 tensors.
"""
import argparse
import glob
import json
import sys
import time

import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def food11_strong(size, form):
    """The recipe's transforms, of images of either form."""
    last = [v2.ToImage()] if form == "PIL" else []
    return v2.Compose([v2.RandomResizedCrop(size, scale=(0.7, 1), antialias=True), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(),
                       v2.RandomRotation(180), v2.RandomAffine(30), *last, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def decode(path, base, form):
    """The smaller side becomes `base`; 0: as it is."""
    if form == "PIL":
        image = Image.open(path).convert("RGB")
    else:
        image = torchvision.io.decode_image(torchvision.io.read_file(path), mode=torchvision.io.ImageReadMode.RGB)
    return v2.functional.resize(image, base, antialias=True) if base else image


class Work(torch.utils.data.Dataset):
    """Item i is what `function` makes of items[i]; a DataLoader wants the same shape of all, so of a base image it gets the size."""

    def __init__(self, items, function):
        self.items, self.function = items, function

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        made = self.function(self.items[i])
        return made if isinstance(made, torch.Tensor) and made.dtype == torch.float32 else torch.zeros(1)


def measure(work, options):
    workers = {"num_workers": options.threads, "persistent_workers": True} if options.threads > 1 else {}
    loader = torch.utils.data.DataLoader(work, batch_size=32, **workers)
    for _ in loader:  # starts the workers
        break
    images, start, processor = 0, time.perf_counter(), time.process_time()
    while images == 0 or time.perf_counter() - start < options.seconds:
        for batch in loader:
            images += len(batch)
    return {"images_per_second": images / (time.perf_counter() - start),
            "images_per_processor_second": images / (time.process_time() - processor)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", required=True)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1)
    options, _ = parser.parse_known_args()
    torch.set_num_threads(1 if options.threads > 1 else options.threads)
    with open(f"{options.cache}/cache.json", encoding="utf-8") as file:
        manifest = json.load(file)
    base, size = manifest["preprocessing"]["base"], manifest["preprocessing"]["size"]
    paths = sorted(glob.glob(f"{options.photos}/train/*/*.jpg"))
    works = {}
    for line in map(str.strip, sys.stdin):
        what, form = line.split()
        if line not in works:
            if what == "decode":
                works[line] = Work(paths, lambda path, form=form: decode(path, base, form))
            else:
                works[line] = Work([decode(path, base, form) for path in paths], food11_strong(size, form))
        print(json.dumps(measure(works[line], options)), flush=True)


if __name__ == "__main__":
    main()
