"""Prints how many views per second the package makes of a cache.
usage: benchmark.py CACHE [THREADS]     THREADS: 1; 0 means all processors"""
import sys
import time

import numpy as np
import softcache


def rate(name, work, count):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    print(f"{name:45}{count / min(seconds):10.0f} views/s")


path, threads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
cache = softcache.open(path, threads=threads)
train = cache["train"]
samples = np.arange(min(len(train), 1000))
count = len(samples) * train.views
print(f"{cache}, views of {cache.size}x{cache.size} pixels, {threads or 'all'} threads")


def photos_to_pixels():
    for batch in softcache.open(path, threads=threads)["train"].batches(64, rows=(0, count)):
        batch.pixels


def images_to_pixels():
    for first in range(0, len(samples), 8):
        train.pixels(samples[first:first + 8])


def images_to_input():
    for batch in train.batches(64, rows=(0, count)):
        batch.input()


rate("stored photos to pixels", photos_to_pixels, count)
rate("images in memory to pixels", images_to_pixels, count)
rate("images in memory to the teacher's float32", images_to_input, count)
try:
    from softcache.torch import OneViewSampler, ViewDataset
    from torch.utils.data import DataLoader
except ImportError:
    sys.exit()


def epoch(workers, normalise):
    dataset = ViewDataset(cache, normalise=normalise)
    for _ in DataLoader(dataset, batch_size=64, sampler=OneViewSampler(dataset.preload()), num_workers=workers):
        pass


rate("ViewDataset, batches of 64, in the process", lambda: epoch(0, True), len(train))
rate("the same without normalisation (uint8)", lambda: epoch(0, False), len(train))
rate("the same, 2 workers, normalised", lambda: epoch(2, True), len(train))
