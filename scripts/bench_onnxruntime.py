#!/usr/bin/env python3
"""Images/s of teachers that onnxruntime runs: teacher_dump's engine and bare loops of Python's onnxruntime in turn, so that both
meet the same changes of the machine's speed. A bare loop has its input in memory and nothing else to do; the best of these forms is
the one that counts: all threads in one run of 1, 8 or 32 images, and one run of one image per thread.

usage: bench_onnxruntime.py [--threads N] [--seconds 3] [--rounds 3] [--build build] MODEL.onnx...
Prints one line a model: the medians, and their ratio. Needs a Python with onnxruntime and numpy.
"""
import argparse
import os
import re
import statistics
import subprocess
import threading
import time

import numpy as np
import onnxruntime

onnxruntime.set_default_logger_severity(4)


def session_of(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def picture(session, batch):
    given = session.get_inputs()[0]
    last = given.shape[3] in (1, 3) and given.shape[1] not in (1, 3)
    shape = [side if isinstance(side, int) else 224 for side in given.shape]
    shape[3 if last else 1] = given.shape[3 if last else 1]
    shape[0] = given.shape[0] if isinstance(given.shape[0], int) else batch
    kind = np.float16 if given.type == "tensor(float16)" else np.float32
    return {given.name: np.random.default_rng(1).random(shape).astype(kind)}


def loop(session, feed, until):
    done = 0
    while time.perf_counter() < until:
        session.run(None, feed)
        done += len(next(iter(feed.values())))
    return done


def in_batches(path, threads, batch, seconds):
    session = session_of(path, threads)
    feed = picture(session, batch)
    session.run(None, feed)
    start = time.perf_counter()
    done = loop(session, feed, start + seconds)
    return done / (time.perf_counter() - start)


def one_per_thread(path, threads, seconds):
    session = session_of(path, 1)
    feed = picture(session, 1)
    session.run(None, feed)
    counts = [0] * threads
    start = time.perf_counter()

    def work(i):
        counts[i] = loop(session, feed, start + seconds)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


def ours(build, path, threads, seconds):
    bench = os.path.join(build, "tests", "bench_engine")
    text = subprocess.run([bench, path, str(seconds), str(threads), "onnxruntime"], capture_output=True, text=True, check=True).stdout
    return [float(re.search(name + r": ([0-9.]+) images/s", text)[1]) for name in ("engine", "rendered")]


def compare(path, options):
    forms = {f"one run of {batch}": lambda batch=batch: in_batches(path, options.threads, batch, options.seconds) for batch in (1, 8, 32)}
    forms["a run of 1 per thread"] = lambda: one_per_thread(path, options.threads, options.seconds)
    rates, engine, rendered = {form: [] for form in forms}, [], []
    for _ in range(options.rounds):
        for form, measure in forms.items():
            rates[form].append(measure())
            both = ours(options.build, path, options.threads, options.seconds)
            engine.append(both[0])
            rendered.append(both[1])
    medians = {form: statistics.median(values) for form, values in rates.items()}
    best = max(medians, key=medians.get)
    mine = statistics.median(engine)
    print(f"{os.path.basename(path)}: engine {mine:.1f} images/s, bare onnxruntime {medians[best]:.1f} ({best}): ratio "
          f"{mine / medians[best]:.2f}; with rendering {statistics.median(rendered):.1f}; all forms: "
          + ", ".join(f"{form} {rate:.1f}" for form, rate in medians.items()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--build", default=os.environ.get("BUILD", "build"))
    options = parser.parse_args()
    for path in options.models:
        compare(path, options)


if __name__ == "__main__":
    main()
