#!/usr/bin/env python3
"""Images/s of a torchvision network's forward pass in PyTorch, eager, fp16, channels_last; inputs are on the device. One JSON line.

usage: bench_teacher.py --network resnet18 [--batch 256] [--size 224] [--seconds 2] [--device cuda]
"""
import argparse
import json
import time

import torch
import torchvision


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", required=True)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    if not on_gpu:
        options.batch = 8
    kind = torch.float16 if on_gpu else torch.float32
    torch.backends.cudnn.benchmark = True
    model = getattr(torchvision.models, options.network)(num_classes=11).eval().to(options.device, kind, memory_format=torch.channels_last)
    images = torch.randn(options.batch, 3, options.size, options.size).to(options.device, kind).to(memory_format=torch.channels_last)
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    with torch.inference_mode():
        for _ in range(5 if on_gpu else 1):
            model(images)
        wait()
        start, batches = time.perf_counter(), 0
        while time.perf_counter() - start < options.seconds:
            for _ in range(10 if on_gpu else 1):
                model(images)
                batches += 1
            wait()
        rate = batches * options.batch / (time.perf_counter() - start)
    print(json.dumps({"images_per_second": rate, "how": f"batch {options.batch}, inputs on the device, torch {torch.__version__}"}))


if __name__ == "__main__":
    main()
