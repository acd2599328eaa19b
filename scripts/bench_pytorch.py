#!/usr/bin/env python3
"""Images/s of training steps in PyTorch, for scripts/bench_cpu.py.

    bench_pytorch.py STUDENT.py [--size 224] [--channels 3] [--classes 11] [--batch 128] [--threads N] [--seconds 5]
                     [--form eager|compiled] [--layout nchw|nhwc] [--precision fp32|bf16]

STUDENT.py has a module `Student`, as softcache writes it. The images are decoded and in memory, and so are the teacher's logits: the best
case for PyTorch, whose users decode, augment and ask the teacher again in every epoch. The loss is 0.5*CE + 0.5*KD(T=4), the optimizer
Adam with clipping, all in fp32. Prints one line of JSON: images a second, images a processor second.
"""
import argparse
import importlib.util
import json
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def load_student(path):
    spec = importlib.util.spec_from_file_location("student", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Student()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--classes", type=int, default=11)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--form", choices=["eager", "compiled"], default="eager")
    parser.add_argument("--layout", choices=["nchw", "nhwc"], default="nchw")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: autocast")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4 * options.batch, options.size, options.size, options.channels), dtype=torch.uint8)
    labels = torch.randint(0, options.classes, (len(images),))
    teacher = torch.randn(len(images), options.classes)
    layout = torch.channels_last if options.layout == "nhwc" else torch.contiguous_format
    student = load_student(options.student).to(memory_format=layout).train()
    network = torch.compile(student) if options.form == "compiled" else student
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3, weight_decay=1e-5)
    temperature, done, start, processor = 4.0, 0, None, None
    while start is None or time.perf_counter() - start < options.seconds:
        if start is None and done >= 2 * options.batch:  # two batches of warm-up
            start, processor, done = time.perf_counter(), time.process_time(), 0
        chosen = torch.randperm(len(images))[:options.batch]
        batch = images[chosen].permute(0, 3, 1, 2).to(memory_format=layout).float().div_(127.5).sub_(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            logits = network(batch)
        logits = logits.float()
        soft = F.kl_div(F.log_softmax(logits / temperature, 1), F.softmax(teacher[chosen] / temperature, 1), reduction="batchmean")
        loss = 0.5 * F.cross_entropy(logits, labels[chosen]) + 0.5 * temperature ** 2 * soft
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 10)
        optimizer.step()
        done += options.batch
    print(json.dumps({"version": torch.__version__, "images_per_second": done / (time.perf_counter() - start),
                      "images_per_processor_second": done / (time.process_time() - processor)}))


if __name__ == "__main__":
    main()
