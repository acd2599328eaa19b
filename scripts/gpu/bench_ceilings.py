#!/usr/bin/env python3
"""What the device can do at most, as PyTorch's libraries reach it: a large copy and large matrix products. One JSON line.

usage: bench_ceilings.py [--device cuda]
"""
import argparse
import json
import statistics
import time

import torch


def seconds(device, function, repeats):
    """The median of single runs after two that warm up."""
    times = []
    for i in range(repeats + 2):
        if device == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            function()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1e3)
        else:
            begin = time.perf_counter()
            function()
            times.append(time.perf_counter() - begin)
    return statistics.median(times[2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    floats, side = (1 << 29, 8192) if on_gpu else (1 << 22, 256)
    source = torch.rand(floats, device=options.device)
    target = torch.empty_like(source)
    result = {"copy_gigabytes_per_second": 8e-9 * floats / seconds(options.device, lambda: target.copy_(source), 10)}
    for name, kind in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        kind = kind if on_gpu else torch.float32
        a, b = (torch.randn(side, side, device=options.device).to(kind) for _ in range(2))
        result[name + "_teraflops"] = 2e-12 * side ** 3 / seconds(options.device, lambda: a @ b, 10)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
