#!/usr/bin/env python3
"""Images/s of teachers on the CPU: an engine of teacher_dump and a bare loop of Python's onnxruntime, measured in turn.

usage: bench_teachers.py [--engine auto|native|onnxruntime] [--threads N] [--size 224] [--seconds 1] [--rounds 9] [--build build] MODEL.onnx ...

Both have their images in memory. The loop has nothing else to do, and gets its best form: before the rounds, every batch size and
every way to use the threads (all of them in one session, or one session with one thread each, run side by side) is tried, and the
fastest is taken. In every round both sides run for SECONDS, one right after the other, and the order changes from round to round.
Prints, for each model, the median images/s of both, the median of the ratios of the rounds with its quartiles, and images/s of the
engine when it renders the views as well. Needs a Python with onnxruntime.
"""
import argparse
import json
import os
import statistics
import subprocess
import threading
import time

import numpy as np
import onnxruntime

onnxruntime.set_default_logger_severity(4)
REFUSALS = tuple(getattr(onnxruntime.capi.onnxruntime_pybind11_state, name) for name in ("Fail", "InvalidArgument", "RuntimeException"))


class Loop:
    """`sessions` sessions of `intra` threads each, side by side, on batches of `batch` images."""

    def __init__(self, path, sessions, intra, batch, size):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra
        options.inter_op_num_threads = 1
        self.sessions = [onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for _ in range(sessions)]
        given = self.sessions[0].get_inputs()[0]
        shape = [side if isinstance(side, int) else size for side in given.shape]
        if not isinstance(given.shape[0], int):
            shape[0] = batch
        batch = shape[0]  # some models have one of their own
        self.name = f"{sessions} x {intra} threads, batch {batch}"
        kind = np.float16 if given.type == "tensor(float16)" else np.float32
        self.feed = {given.name: np.random.default_rng(1).uniform(-1, 1, shape).astype(kind)}
        self.batch = batch

    def images_per_second(self, seconds):
        """Runs every session once at least."""
        start = time.perf_counter()
        counts = [0] * len(self.sessions)

        def run(index):
            while counts[index] == 0 or time.perf_counter() - start < seconds:
                self.sessions[index].run(None, self.feed)
                counts[index] += self.batch

        threads = [threading.Thread(target=run, args=(i,)) for i in range(1, len(self.sessions))]
        for thread in threads:
            thread.start()
        run(0)
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - start)


def best_loop(path, threads, size, seconds):
    best, rate, tried, problem = None, 0, set(), None
    for sessions, intra in sorted({(1, threads), (threads, 1)}):
        for batch in (1, 2, 4, 8, 32):
            try:
                loop = Loop(path, sessions, intra, batch, size)
                if loop.name in tried:
                    continue
                loop.images_per_second(0)
            except REFUSALS as error:
                problem = error
                continue
            tried.add(loop.name)
            now = statistics.median(loop.images_per_second(seconds / 2) for _ in range(3))
            if now > rate:
                best, rate = loop, now
    if not best:
        raise SystemExit(f"{path}: onnxruntime cannot run it with images of {size} pixels: {problem}")
    return best


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else 3 * values


def compare(path, options):
    command = [f"{options.build}/tests/bench_teacher", "--teacher", path, "--engine", options.engine, "--threads", str(options.threads),
               "--size", str(options.size), "--seconds", str(options.seconds), "--paced", "--rendered"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as ours:

        def our_round():
            ours.stdin.write("\n")
            answer = ours.stdout.readline()
            if not answer:
                raise SystemExit(f"{path}: {command[0]} failed")
            return json.loads(answer)

        our_round()
        loop = best_loop(path, options.threads, options.size, options.seconds)
        rounds = []
        for number in range(options.rounds):
            if number % 2:
                bare, engine = loop.images_per_second(options.seconds), our_round()
            else:
                engine, bare = our_round(), loop.images_per_second(options.seconds)
            rounds.append((engine, bare))
        ours.stdin.close()
    low, middle, high = quartiles([engine["images_per_second"] / bare for engine, bare in rounds])
    median = {key: statistics.median(engine[key] for engine, _ in rounds) for key in ("images_per_second", "rendered_per_second")}
    print(f"{os.path.splitext(os.path.basename(path))[0]:18} {rounds[0][0]['engine']}: {median['images_per_second']:.1f} images/s "
          f"({median['rendered_per_second']:.1f} with rendering), bare loop {statistics.median(bare for _, bare in rounds):.1f} ({loop.name}): "
          f"ratio {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--engine", choices=["auto", "native", "onnxruntime"], default="auto")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    os.environ.setdefault("SOFTCACHE_ONNXRUNTIME", os.path.join(os.path.dirname(onnxruntime.__file__), "capi"))
    print(f"onnxruntime {onnxruntime.__version__}, {options.threads} threads, {options.rounds} rounds of {options.seconds} s")
    for path in options.models:
        compare(path, options)


if __name__ == "__main__":
    main()
