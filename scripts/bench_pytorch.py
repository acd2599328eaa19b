#!/usr/bin/env python3
"""Images/s of a training step in PyTorch: what `make bench` compares student_train with.

The student is the preset `speed` (stem 3x3/2 to 16; depthwise-pointwise pairs to 32, 64, 128, 256, all stride 2; global pooling;
a linear layer), the data 224x224 uint8 images that are already decoded and in memory, the teacher's logits are cached: the best
case for PyTorch, since its users decode, augment and ask the teacher again in every epoch. Loss 0.5*CE + 0.5*KD(T=4), Adam.

usage: bench_pytorch.py [--threads N] [--batch 128] [--seconds 10] [--size 224]
Prints one line: `pytorch VERSION, N threads: X images/s`.
"""
import argparse
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def pair(inputs, outputs, stride=2):
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def student(classes):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        pair(16, 32), pair(32, 64), pair(64, 128), pair(128, 256),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, classes))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4 * options.batch, options.size, options.size, 3), dtype=torch.uint8)
    labels = torch.randint(0, 11, (len(images),))
    teacher = torch.randn(len(images), 11)
    network = student(11).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-5)
    temperature, done, start = 4.0, 0, None
    while start is None or time.perf_counter() - start < options.seconds:
        if start is None and done >= 2 * options.batch:  # two batches of warm-up
            start, done = time.perf_counter(), 0
        chosen = torch.randperm(len(images))[:options.batch]
        batch = images[chosen].permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        logits = network(batch)
        soft = F.kl_div(F.log_softmax(logits / temperature, 1), F.softmax(teacher[chosen] / temperature, 1), reduction="batchmean")
        loss = 0.5 * F.cross_entropy(logits, labels[chosen]) + 0.5 * temperature ** 2 * soft
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10)
        optimizer.step()
        done += options.batch
    rate = done / (time.perf_counter() - start)
    print(f"pytorch {torch.__version__}, {torch.get_num_threads()} threads: {rate:.0f} images/s")


if __name__ == "__main__":
    main()
