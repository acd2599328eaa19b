#!/usr/bin/env python3
"""Training steps on the CPU: softcache against PyTorch as it is installed and PyTorch at its best; writes docs/benchmarks/cpu.md.

    bench_cpu.py [--build build] [--cpu-seconds] [--rounds 3] [--seconds 4] [--threads N] [--row STUDENT:SIZE:CHANNELS ...] [--out FILE.md]

PyTorch's best is the best of eager and compiled, NCHW and channels_last, with glibc told to keep freed blocks; the form that was best in a
first round is measured again in every round, in turn with softcache and with PyTorch as installed (eager, NCHW). Each precision has a row:
fp32 is compared with PyTorch's best in fp32, and bf16 (--precision bf16 of fit) with its best in fp32 and in bf16 by autocast, whichever is
faster. The net is the same: softcache writes it as a PyTorch module. Medians of the rounds. --cpu-seconds counts processor seconds on one
thread, for machines that are shared. Needs a Python with torch (and a C++ compiler for torch.compile).
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROWS = ["speed:224:3", "dwpw:224:3", "dwpw-small:32:3", "res5:112:3"]
BATCH = 128
KEEP_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 26)}
PRECISIONS = ("fp32", "bf16")
FORMS = [(form, layout, precision) for precision in PRECISIONS for form in ("eager", "compiled") for layout in ("nchw", "nhwc")]
INSTALLED = ("eager", "nchw", "fp32")
OURS = re.compile(r": ([\d.]+) images/s, ([\d.]+) images/processor second, ([\d.]+) GFLOP/image, ([\d.]+) MB/image")


def output_of(command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def busy_seconds():
    """Processor seconds of everything on the machine, and those of our finished children and ourselves."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(x) for x in file.readline().split()[1:]]
    ticks = sum(fields[:3]) + sum(fields[5:8])
    return ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])


class Row:
    def __init__(self, text, options, folder):
        self.student, size, channels = text.split(":")
        self.size, self.options = int(size), options
        self.module = f"{folder}/{self.student.replace('/', '_')}_{size}.py"
        self.shape = ["--size", size, "--channels", channels, "--batch", str(BATCH), "--threads", str(options.threads)]
        self.ours, self.best = {precision: [] for precision in PRECISIONS}, {precision: [] for precision in PRECISIONS}
        self.forms, self.megabytes, self.installed, self.disturbed = {}, {}, [], 0.0

    def measure_ours(self, precision):
        text = output_of([f"{self.options.build}/tests/bench_train", "--student", self.student, "--seconds", str(self.options.seconds),
                          "--precision", precision, "--pytorch", self.module, *self.shape])
        wall, processor, self.gflop, self.megabytes[precision] = (float(x) for x in OURS.search(text).groups())
        self.parameters = int(re.search(r"(\d+) parameters", text).group(1))
        return processor if self.options.cpu_seconds else wall

    def measure_theirs(self, form, keep=True):
        words = [word for pair in zip(("--form", "--layout", "--precision"), form) for word in pair]
        text = output_of([sys.executable, "scripts/bench_pytorch.py", self.module, *words, "--seconds", str(self.options.seconds), *self.shape],
                         **(KEEP_BLOCKS if keep else {}))
        result = json.loads(text.splitlines()[-1])
        self.version = result["version"]
        return result["images_per_processor_second" if self.options.cpu_seconds else "images_per_second"]

    def choose_forms(self):
        """The first round: every form of PyTorch once. Bf16 may be slower than fp32 there, so its row takes the best of all."""
        rates = {form: self.measure_theirs(form) for form in FORMS}
        print("  ", ", ".join(f"{' '.join(form)} {rate:.0f}" for form, rate in rates.items()), flush=True)
        self.forms = {"fp32": max((form for form in FORMS if form[2] == "fp32"), key=rates.get), "bf16": max(FORMS, key=rates.get)}
        return rates

    def round(self):
        before, start = busy_seconds(), time.perf_counter()
        for precision in PRECISIONS:
            self.ours[precision].append(self.measure_ours(precision))
        rates = self.choose_forms() if not self.forms else {form: self.measure_theirs(form) for form in set(self.forms.values())}
        for precision in PRECISIONS:
            self.best[precision].append(rates[self.forms[precision]])
        self.installed.append(self.measure_theirs(INSTALLED, keep=False))
        after = busy_seconds()
        others = (after[0] - before[0]) - (after[1] - before[1])
        self.disturbed = max(self.disturbed, others / ((time.perf_counter() - start) * os.cpu_count()))


def limits_of(options):
    text = output_of([f"{options.build}/tests/bench_limits"])
    found = [(int(n), float(f), float(b)) for n, f, b in re.findall(r"(\d+) threads, .*: ([\d.]+) GFLOP/s, ([\d.]+) GB/s", text)]
    return min(found, key=lambda limit: abs(limit[0] - options.threads)) if found else None


def table(rows, options, limits):
    unit = "images/processor second" if options.cpu_seconds else "images/s"
    lines = [f"| student, pixels | parameters | stored as | softcache, {unit} | PyTorch as installed | PyTorch's best | its form | "
             "ratio to installed | ratio to best | share of the limit | machine |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row, precision in ((row, precision) for row in rows for precision in PRECISIONS):
        ours, installed, best = (statistics.median(x) for x in (row.ours[precision], row.installed, row.best[precision]))
        share = "-"
        if limits:
            arithmetic, memory = row.gflop / limits[1], 1e-3 * row.megabytes[precision] / limits[2]
            share = f"{100 * max(arithmetic, memory) * ours:.0f} % of {'memory' if memory > arithmetic else 'arithmetic'}"
        quiet = "quiet" if row.disturbed < 0.05 else f"not quiet: others took {100 * row.disturbed:.0f} %"
        lines.append(f"| `{row.student}`, {row.size} | {row.parameters} | {precision} | {ours:.0f} | {installed:.0f} | {best:.0f} | "
                     f"{' '.join(row.forms[precision])} | {ours / installed:.2f} | **{ours / best:.2f}** | {share} | {quiet} |")
    return "\n".join(lines)


PAGE = """# Training on the CPU

Written by `scripts/bench_cpu.py{arguments}` on {machine}, with PyTorch {version}, {threads}.

One training step: forward, loss, backward, clipping, Adam, batch {batch}. PyTorch gets the same net, with decoded images and the teacher's
logits in memory. "Best" is the best of eager and compiled, NCHW and channels_last, with glibc told to keep freed blocks; "as installed" is
eager, NCHW, without that, in fp32. `bf16` is `fit --precision bf16`, which stores activations and their gradients in 16 bits; its rows compare
with the best of PyTorch in fp32 and in bf16 (autocast). Medians of {rounds} rounds in turn. {counted}

{table}

The limit: {limits}. A step's share of it counts the multiplications and additions of convolutions and linear layers, or the activations that
it must move at least (each is written once and read five times), whichever takes longer.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--cpu-seconds", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--row", action="append")
    parser.add_argument("--out")
    options = parser.parse_args()
    options.threads = 1 if options.cpu_seconds else options.threads or os.cpu_count()
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with tempfile.TemporaryDirectory() as folder:
        rows = [Row(text, options, folder) for text in options.row or ROWS]
        limits = limits_of(options)
        for _ in range(options.rounds):
            for row in rows:
                row.round()
                for precision in PRECISIONS:
                    print(f"{row.student} at {row.size}, {precision}: softcache {row.ours[precision][-1]:.0f}, PyTorch "
                          f"{row.installed[-1]:.0f} as installed, {row.best[precision][-1]:.0f} {' '.join(row.forms[precision])}", flush=True)
    text = table(rows, options, limits)
    print(text)
    if options.out:
        with open("/proc/cpuinfo", encoding="ascii") as file:
            name = re.search(r"model name\s*: (.*)", file.read()).group(1)
        with open(options.out, "w", encoding="utf-8") as out:
            out.write(PAGE.format(
                arguments=" --cpu-seconds" if options.cpu_seconds else "", machine=f"{os.cpu_count()} processors of {name}",
                version=rows[0].version, threads="one thread" if options.threads == 1 else f"{options.threads} threads", batch=BATCH,
                rounds=options.rounds, table=text,
                counted="Rates count processor seconds, since the machine was shared." if options.cpu_seconds else "",
                limits=f"{limits[1]:.0f} GFLOP/s and {limits[2]:.1f} GB/s on {limits[0]} threads, in the same run" if limits else "not measured"))


if __name__ == "__main__":
    main()
