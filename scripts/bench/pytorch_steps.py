#!/usr/bin/env python3
"""Training steps in PyTorch, for scripts/bench/steps.py.

    pytorch_steps.py STUDENT.py [--size 224] [--channels 3] [--classes 11] [--batch 128] [--threads N] [--seconds 5]

STUDENT.py has a module `Student`, as softcache writes it. The images are decoded and in memory, and so are the teacher's logits: the best
case for PyTorch, whose users decode, augment and ask the teacher again in every epoch. The loss is 0.5*CE + 0.5*KD(T=4), the optimizer
Adam with clipping.

For each line "eager|compiled nchw|nhwc fp32|bf16" (bf16: autocast) of the standard input it prints one of JSON: images a second and a
processor second of the forward pass, of the backward pass, and of whole steps.
"""
import argparse
import importlib.util
import json
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def load_student(path):
    spec = importlib.util.spec_from_file_location("student", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Student()


class Stopwatch:
    """Seconds and processor seconds of parts."""

    def __init__(self):
        self.spent = {}

    def add(self, part, start):
        wall, processor = self.spent.get(part, (0, 0))
        self.spent[part] = wall + time.perf_counter() - start[0], processor + time.process_time() - start[1]

    @staticmethod
    def now():
        return time.perf_counter(), time.process_time()


class Training:
    def __init__(self, options, form, layout, precision):
        self.options, self.bf16 = options, precision == "bf16"
        torch.manual_seed(0)
        self.images = torch.randint(0, 256, (4 * options.batch, options.size, options.size, options.channels), dtype=torch.uint8)
        self.labels = torch.randint(0, options.classes, (len(self.images),))
        self.teacher = torch.randn(len(self.images), options.classes)
        self.layout = torch.channels_last if layout == "nhwc" else torch.contiguous_format
        self.student = load_student(options.student).to(memory_format=self.layout).train()
        self.network = torch.compile(self.student) if form == "compiled" else self.student
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-3, weight_decay=1e-5)

    def step(self, watch):
        temperature, start = 4.0, watch.now()
        chosen = torch.randperm(len(self.images))[:self.options.batch]
        batch = self.images[chosen].permute(0, 3, 1, 2).to(memory_format=self.layout).float().div_(127.5).sub_(1)
        forward = watch.now()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.network(batch)
        watch.add("forward", forward)
        logits = logits.float()
        soft = F.kl_div(F.log_softmax(logits / temperature, 1), F.softmax(self.teacher[chosen] / temperature, 1), reduction="batchmean")
        loss = 0.5 * F.cross_entropy(logits, self.labels[chosen]) + 0.5 * temperature ** 2 * soft
        self.optimizer.zero_grad()
        backward = watch.now()
        loss.backward()
        watch.add("backward", backward)
        nn.utils.clip_grad_norm_(self.student.parameters(), 10)
        self.optimizer.step()
        watch.add("step", start)

    def measure(self, seconds):
        self.step(Stopwatch())  # touches memory, compiles
        watch, images = Stopwatch(), 0
        while images == 0 or watch.spent["step"][0] < seconds:
            self.step(watch)
            images += self.options.batch
        return {part: {"images_per_second": images / wall, "images_per_processor_second": images / processor}
                for part, (wall, processor) in watch.spent.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    trainings = {}  # compiled once
    for line in map(str.strip, sys.stdin):
        if line not in trainings:
            trainings[line] = Training(options, *line.split())
        print(json.dumps(trainings[line].measure(options.seconds)), flush=True)


if __name__ == "__main__":
    main()
