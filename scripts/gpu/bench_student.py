#!/usr/bin/env python3
"""Images/s of a student's training steps in PyTorch, what gpu_check.sh compares student_train with. A JSON line a measurement.

Students A (224x224) and C (32x32) are the preset dwpw for photos and for small images. Images are decoded uint8 on the device, the
teacher's logits are cached there: the best case for PyTorch, without augmentation. Channels last, Adam (fused), gradient
clipping, 0.1*CE + 0.9*KD(T=4) for A, CE for C; bf16 is autocast, fp32 is full float32 as student_train's (no TF32).
Measured are eager_fp32, eager_bf16 and, for every --compile PRECISION, compiled_PRECISION: torch.compile, and the whole step captured
in a CUDA graph.

usage: bench_student.py --student A|C [--batch 512] [--size 224] [--compile bf16]... [--seconds 2] [--device cuda]
"""
import argparse
import json
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

LAYERS = {"A": (2, [(24, 1), (32, 2), (48, 1), (64, 2), (96, 1), (112, 2), (128, 1), (96, 2)]),
          "C": (1, [(32, 1), (48, 2), (64, 1), (96, 2), (112, 1), (128, 1), (96, 2)])}
CLASSES = {"A": 11, "C": 10}


def student(name):
    stride, layers = LAYERS[name]
    parts = [nn.Conv2d(3, 16, 3, stride, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    inputs = 16
    for outputs, step in layers:
        parts += [nn.Conv2d(inputs, inputs, 3, step, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.ReLU(inplace=True),
                  nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        inputs = outputs
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES[name]))


class Training:
    """One step: gather a batch that `chosen` names, forward, loss, backward, clip, update."""

    def __init__(self, options, precision, compiled):
        device, on_gpu = options.device, options.device == "cuda"
        classes, count = CLASSES[options.student], 8 * options.batch
        torch.manual_seed(0)
        self.network = student(options.student).to(device).to(memory_format=torch.channels_last)
        self.forward = torch.compile(self.network) if compiled else self.network
        extra = {"fused": True, "capturable": compiled} if on_gpu else {}
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=torch.tensor(1e-3, device=device) if compiled else 1e-3,
                                          weight_decay=1e-5, **extra)
        self.images = torch.randint(0, 256, (count, options.size, options.size, 3), dtype=torch.uint8, device=device)
        self.labels = torch.randint(0, classes, (count,), device=device)
        self.teacher = torch.randn(count, classes, device=device) if options.student == "A" else None
        self.chosen = torch.randperm(count, device=device)[:options.batch]
        self.autocast = torch.autocast("cuda" if on_gpu else "cpu", torch.bfloat16, enabled=precision == "bf16")

    def draw(self):
        """The next batch's numbers, in place: a captured graph reads them where they lie."""
        self.chosen.copy_(torch.randperm(len(self.labels), device=self.labels.device)[:len(self.chosen)])

    def step(self):
        images = self.images[self.chosen].permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        with self.autocast:
            logits = self.forward(images)
        logits, labels = logits.float(), self.labels[self.chosen]
        loss = F.cross_entropy(logits, labels)
        if self.teacher is not None:
            soft = F.kl_div(F.log_softmax(logits / 4, 1), F.softmax(self.teacher[self.chosen] / 4, 1), reduction="batchmean")
            loss = 0.1 * loss + 0.9 * 16 * soft
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 10)
        self.optimizer.step()


def captured(training):
    """The step as a CUDA graph; warmed up on a side stream, as PyTorch asks."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(4):
            training.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    training.optimizer.zero_grad(set_to_none=True)
    with torch.cuda.graph(graph):
        training.step()
    return graph.replay


def measure(options, precision, compiled):
    """Images/s after a few steps that warm up."""
    on_gpu = options.device == "cuda"
    training = Training(options, precision, compiled)
    step = captured(training) if compiled else training.step
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    for _ in range(5 if on_gpu else 1):
        training.draw()
        step()
    wait()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < options.seconds:
        for _ in range(20 if on_gpu else 1):
            training.draw()
            step()
            steps += 1
        wait()
    return steps * options.batch / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", choices="AC", required=True)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--compile", action="append", default=[], choices=("fp32", "bf16"))
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    for precision in ("fp32", "bf16"):
        print(json.dumps({f"eager_{precision}": measure(options, precision, False)}), flush=True)
    if options.compile and (options.device != "cuda" or not hasattr(torch, "compile")):
        raise SystemExit("torch.compile and CUDA graphs need a GPU and PyTorch 2")
    for precision in options.compile:
        print(json.dumps({f"compiled_{precision}": measure(options, precision, True)}), flush=True)


if __name__ == "__main__":
    main()
