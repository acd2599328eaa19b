"""The table of the benchmark of the CPU, and its page."""
import os
import re

from .measure import QUIET, number

TITLES = ["what", "unit", "softcache", "others, as installed", "others, best", "best form", "ratio to installed", "ratio to best",
          "share of the limit", "machine"]

PAGE = """# Speed on the CPU

Written by `scripts/bench_cpu.py{arguments}` on {machine}, {threads}: {versions}.

Medians of {rounds} rounds, in each of which softcache and the others were measured in turn. {counted}A ratio above 1 means that softcache is
the faster one, or takes less memory. "Best" is the best of all forms that were tried, chosen in the first round; forms as installed,
which are slow, were measured in two rounds. All of it took {minutes:.0f} minutes.

{table}

{paid}The limit: {limits}. A step's share of it counts the multiplications and additions of convolutions and linear layers, or the activations
that it must move at least (each is written once and read five times), whichever takes longer; a teacher's share counts its multiplications
and additions.

| rows | softcache | the others |
|---|---|---|
| JPEG decoded | as at the start of `fit`: photos of 400x300 to base images | PIL (as installed), or torchvision's decoder and resize on tensors |
| views rendered | the recipe `food11-strong` by the renderer of `fit` | torchvision's v2 transforms, on PIL's images (as installed) or on uint8 tensors |
| shard | written: compressed, decoded and compared, hashed, on the disk; read: size, SHA-256 and every value checked | as installed: `torch.save` and `torch.load`, nothing checked; best: PyTorch or h5py (as it is, gzip, zstd), hashed and compared as ours |
| teacher | the engine of `teacher_dump`, images in memory | a loop of Python's onnxruntime: all threads in one session or a session a thread, batches of 1 to 32; as installed: one session, batch 32 |
| forward, backward, step | batch 128; `bf16` is `fit --precision bf16` | the same net in PyTorch, with decoded images and the teacher's logits in memory; as installed: eager, NCHW, fp32; best: eager or compiled, NCHW or channels_last, with glibc told to keep freed blocks; for bf16 the faster one of fp32 and, on processors that have such instructions, autocast in channels_last, compiled where eager is faster than in fp32 |
| `fit` | the program as a user runs it; the first step begins when the first checkpoint is written; views are rendered anew in each epoch | a PyTorch loop with base images and logits in memory, and torchvision's transforms; as installed: on PIL's images, eager, NCHW |
| `teacher_dump run`, and the whole way | the teacher once over all views, then epochs of `fit` | the loop of a notebook: a DataLoader decodes and augments in every epoch, the teacher answers, the student learns; its memory is that of the process without the DataLoader's workers |
"""


def cell(value):
    return "-" if value is None else value if isinstance(value, str) else number(value)


def share(row, limits):
    ours = row.medians()[0]
    if not limits or not row.cost or ours is None:
        return "-"
    arithmetic, memory = row.cost[0] / limits[1], row.cost[1] / limits[2]
    return f"{100 * max(arithmetic, memory) * ours:.0f} % of {'memory' if memory > arithmetic else 'arithmetic'}"


def table(rows, limits, cpu_seconds):
    lines = [f"| {' | '.join(TITLES)} |", "|---" * len(TITLES) + "|"]
    for row in rows:
        ours, installed, best = row.medians()
        ratio = row.ratio(best)
        unit = {"images/s": "images/processor second", "s": "processor s"}.get(row.unit, row.unit) if cpu_seconds else row.unit
        quiet = "quiet" if row.disturbed < QUIET else f"not quiet: others took {100 * row.disturbed:.0f} %"
        lines.append("| " + " | ".join(map(cell, [
            row.name, unit, ours, installed, best, row.form, row.ratio(installed), f"**{ratio:.2f}**" if ratio else None,
            share(row, limits), quiet])) + " |")
    return "\n".join(lines)


def machine():
    with open("/proc/cpuinfo", encoding="ascii") as file:
        found = re.search(r"model name\s*: (.*)", file.read())
    return f"{os.cpu_count()} processors of {found.group(1) if found else 'an unknown kind'}"


def page(text, options, limits, paid, versions, minutes):
    threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
    return PAGE.format(
        arguments=" --cpu-seconds" if options.cpu_seconds else "", machine=machine(), threads=threads, versions=versions, rounds=options.rounds,
        minutes=minutes,
        counted="Seconds are those of the processor, since the machine was shared. " if options.cpu_seconds else "", table=text, paid=paid,
        limits=f"{limits[1]:.0f} GFLOP/s and {limits[2]:.1f} GB/s on {limits[0]} threads, in the same run" if limits else "not measured")
