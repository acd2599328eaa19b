#!/usr/bin/env python3
"""Images/s of a teacher on the CPU: our engine and a bare loop of onnxruntime's CPU provider, measured in turn.

usage: bench_against_onnxruntime.py [--bench build/tests/bench_inference] [--threads N] [--size 224] [--seconds 1] [--rounds 15]
                                    MODEL.onnx ...

onnxruntime gets its best form: before the rounds, every batch size and every way to use the threads (all of them in one session,
or one session with one thread each, run side by side) is tried, and the fastest is taken. In every round both sides run for SECONDS,
one right after the other. Prints, for each model, the median images/s of both and the median of the ratios of the rounds, with its
quartiles. Needs a Python with onnxruntime.
"""
import argparse
import os
import statistics
import subprocess
import threading
import time

import numpy as np
import onnxruntime


class Loop:
    """`sessions` sessions of `intra` threads each, side by side, on batches of `batch` images."""

    def __init__(self, path, sessions, intra, batch, size):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.name = f'{sessions} x {intra} threads, batch {batch}'
        self.sessions = [onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider']) for _ in range(sessions)]
        first = self.sessions[0].get_inputs()[0]
        shape = [batch] + [d if isinstance(d, int) else size for d in first.shape[1:]]
        self.feed = {first.name: np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)}
        self.batch = batch

    def images_per_second(self, seconds):
        end = time.perf_counter() + seconds
        counts = [0] * len(self.sessions)

        def run(index):
            while time.perf_counter() < end:
                self.sessions[index].run(None, self.feed)
                counts[index] += self.batch

        start = time.perf_counter()
        threads = [threading.Thread(target=run, args=(i,)) for i in range(1, len(self.sessions))]
        for thread in threads:
            thread.start()
        run(0)
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - start)


def best_loop(path, threads, size, seconds):
    best, rate = None, 0
    for sessions, intra in sorted({(1, threads), (threads, 1)}):
        for batch in (1, 4, 32):
            try:
                loop = Loop(path, sessions, intra, batch, size)
                loop.images_per_second(0)
                now = statistics.median(loop.images_per_second(seconds / 2) for _ in range(3))
            except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
                continue  # the model has a batch of its own
            if now > rate:
                best, rate = loop, now
    return best


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('--bench', default='build/tests/bench_inference')
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--seconds', type=float, default=1)
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('models', nargs='+')
    arguments = parser.parse_args()
    print(f'onnxruntime {onnxruntime.__version__}, {arguments.threads} threads, {arguments.rounds} rounds of {arguments.seconds} s')
    for path in arguments.models:
        command = [arguments.bench, str(arguments.threads), path, str(arguments.size), str(arguments.seconds)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as ours:

            def our_round():
                ours.stdin.write('\n')
                answer = ours.stdout.readline()
                if not answer:
                    raise SystemExit(f'{path}: {arguments.bench} failed')
                return float(answer)

            our_round()
            loop = best_loop(path, arguments.threads, arguments.size, arguments.seconds)
            rounds = [(our_round(), loop.images_per_second(arguments.seconds)) for _ in range(arguments.rounds)]
            ours.stdin.close()
        low, middle, high = statistics.quantiles([a / b for a, b in rounds], n=4)
        name = os.path.splitext(os.path.basename(path))[0]
        print(f'{name:20} softcache {statistics.median(a for a, _ in rounds):7.1f} images/s, '
              f'onnxruntime {statistics.median(b for _, b in rounds):7.1f} images/s ({loop.name}): '
              f'{middle:.2f} times as fast ({low:.2f} to {high:.2f})', flush=True)


if __name__ == '__main__':
    main()
