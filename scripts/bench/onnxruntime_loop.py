#!/usr/bin/env python3
"""A bare loop of Python's onnxruntime over images in memory, for scripts/bench/teachers.py.

    onnxruntime_loop.py MODEL.onnx [--size 224] [--seconds 1]

For each line "SESSIONS THREADS BATCH" of the standard input (sessions side by side, threads of each) it prints one of JSON: images a second and
a processor second.
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from bench_teachers import Loop  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    loop, name = None, None
    for line in map(str.strip, sys.stdin):
        if line != name:
            loop = None  # its threads end first
            loop, name = Loop(options.model, *(int(word) for word in line.split()), options.size), line
            loop.images_per_second(0)
        wall, processor = time.perf_counter(), time.process_time()
        images = loop.images_per_second(options.seconds) * (time.perf_counter() - wall)
        print(json.dumps({"images_per_second": images / (time.perf_counter() - wall),
                          "images_per_processor_second": images / (time.process_time() - processor)}), flush=True)


if __name__ == "__main__":
    main()
