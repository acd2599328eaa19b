"""Prints how many views per second the package makes of a cache: by the clock, and per second that a processor worked on it, which
does not depend on what else the machine does.
usage: benchmark.py CACHE [THREADS]     THREADS: 1; 0 means all processors"""
import sys
import time
from collections import deque

import numpy as np
import softcache


def rate(name, work, count):
    clock, processor = [], []
    for _ in range(3):
        started, worked = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - worked)
    print(f"{name:45}{count / min(clock):8.0f} views/s by the clock {count / min(processor):8.0f} per processor second", flush=True)


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
    import torch
    from softcache.torch import OneViewSampler, ViewDataset
    from torch.utils.data import DataLoader
except ImportError:
    sys.exit()


torch.set_num_threads(threads or torch.get_num_threads())
for normalise in True, False:
    dataset = ViewDataset(cache, normalise=normalise).preload()
    loader = DataLoader(dataset, batch_size=64, sampler=OneViewSampler(dataset))
    rate(f"ViewDataset, images in memory, {'float32' if normalise else 'uint8'}", lambda: deque(loader, maxlen=0), len(train))
