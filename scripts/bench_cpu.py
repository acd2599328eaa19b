#!/usr/bin/env python3
"""Everything that softcache does on the CPU, beside what people use otherwise: one table, and the page docs/benchmarks/cpu.md.

    bench_cpu.py [--build build] [--cpu-seconds] [--rounds 3] [--seconds 1] [--threads N] [--only NAME ...] [--out FILE.md]

Rows: decoding, views, shards, teachers, training steps of students, whole runs of `fit`, the whole way from photos to a student. In every
round softcache and the others are measured in turn; scripts/bench has a module for each kind of row. --only: subjects whose name begins
so (photos, shards, teacher, step, fit). --cpu-seconds counts processor seconds on one thread, for machines that are shared.
What this Python lacks of torch, torchvision, onnx, onnxruntime and h5py is said, and then softcache is measured alone or the row left out;
the page is only written when nothing was left out. On two quiet cores of an AMD EPYC it took 8 minutes, more than half of them for the first round.
"""
import argparse
import importlib.metadata
import os
import re
import tempfile
import time

from bench import files, fits, page, steps, teachers
from bench.measure import missing, output_of

PACKAGES = ("torch", "torchvision", "pillow", "onnxruntime", "h5py")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--cpu-seconds", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1, help="of each measurement")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--out")
    parser.add_argument("--student", action="append", help="NAME:SIZE:CHANNELS, for steps")
    parser.add_argument("--teacher", action="append", help="a network of torchvision")
    parser.add_argument("--fit-student", default="dwpw")
    parser.add_argument("--size", type=int, default=224, help="of views and teachers")
    parser.add_argument("--photos", type=int, default=128)
    parser.add_argument("--views", type=int, default=4, help="of each photo")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile")
    options = parser.parse_args()
    options.threads = 1 if options.cpu_seconds else options.threads or len(os.sched_getaffinity(0))
    return options


def make_subjects(options, folder):
    photos = f"{folder}/photos"
    every = [files.Photos(options, photos, folder), files.Shards(options, photos, folder)]
    every += [teachers.Teacher(options, name, folder) for name in options.teacher or teachers.NAMES]
    every += [steps.Steps(options, student, folder) for student in options.student or steps.STUDENTS]
    every.append(fits.Fits(options, photos, folder))
    chosen = [subject for subject in every if not options.only or subject.name.startswith(tuple(options.only))]
    if not chosen:
        raise SystemExit(f"--only: there is none of {', '.join(options.only)}")
    return chosen


def without_the_missing(subjects):
    """Says what is skipped. A subject that cannot start without the others' packages is left out; the others measure softcache alone."""
    complete, left = True, []
    for subject in subjects:
        lacks = missing(subject.needs)
        if lacks:
            complete = False
            print(f"{subject.name}: {'skipped' if subject.essential else 'only softcache is measured'}: this Python has no "
                  f"{', '.join(lacks)} (SOFTCACHE_PYTHON names another)", flush=True)
            subject.forms = ()
        if not lacks or not subject.essential:
            left.append(subject)
    return left, complete


def limits_of(options):
    text = output_of([f"{options.build}/tests/bench_limits"])
    found = [(int(n), float(f), float(b)) for n, f, b in re.findall(r"(\d+) threads, .*: ([\d.]+) GFLOP/s, ([\d.]+) GB/s", text)]
    return min(found, key=lambda limit: abs(limit[0] - options.threads)) if found else None


def measure(subjects, rounds):
    opened = []
    try:
        for subject in subjects:
            opened.append(subject)
            subject.open()
        for _ in range(rounds):
            for subject in subjects:
                subject.round()
    finally:
        for subject in opened:
            subject.close()


def paid_text(subjects, options):
    whole = [subject for subject in subjects if isinstance(subject, fits.Fits)]
    if not whole or not whole[0].rows["loop"].best:
        return ""
    epoch = whole[0].paid()
    return (f"The cache of {options.views} views has paid after epoch {epoch}: dump and `fit` have then taken less time than the notebook's loop.\n\n"
            if epoch else "The cache does not pay here: an epoch of the notebook's loop takes no longer than one of `fit`.\n\n")


def main():
    options, start = parse_options(), time.perf_counter()
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with tempfile.TemporaryDirectory() as folder:
        subjects, complete = without_the_missing(make_subjects(options, folder))
        output_of([f"{options.build}/synthetic_images", "--out", f"{folder}/photos", "--train", str(options.photos), "--val", "32", "--classes",
                   "11", "--width", "400", "--height", "300"])
        limits = limits_of(options)
        measure(subjects, options.rounds)
    text = page.table([row for subject in subjects for row in subject.rows.values()], limits, options.cpu_seconds)
    paid = paid_text(subjects, options)
    print(f"{text}\n\n{paid}", end="")
    if options.out and not complete:
        print(f"{options.out} is left as it is, since packages are missing")
    elif options.out:
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
        with open(options.out, "w", encoding="utf-8") as out:
            out.write(page.page(text, options, limits, paid, versions, (time.perf_counter() - start) / 60))


if __name__ == "__main__":
    main()
