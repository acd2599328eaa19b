#!/usr/bin/env python3
"""Writes golden/answers: a small folder of answers as the Python package writes it, for a set of grey images that test_answers.c
makes, too. Logits and features are formulas, which the test knows.
usage: PYTHONPATH=python tests/golden/make_answers.py [BUILD]     in the root of the project, after make"""
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import softcache

TRAIN, TEST, CLASSES, H, W = 7, 3, 3, 6, 5
build = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
out = Path(__file__).resolve().parent / "answers"


def write_set(folder):
    for prefix, count, start in ("train", TRAIN, 0), ("t10k", TEST, 100):
        pixels = np.array([(start + 7 * i + 13 * p) % 256 for i in range(count) for p in range(H * W)], dtype=np.uint8)
        labels = np.array([i % CLASSES for i in range(count)], dtype=np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, H, W) + pixels.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())


def logits(batch):
    samples, views, classes = batch.samples[:, None], batch.views[:, None], np.arange(CLASSES)
    return ((31 * samples + 17 * views + 7 * classes) % 23 - 11) / 4


def feature(batch, shape):
    index = np.arange(np.prod(shape)).reshape(shape)
    samples, views = (array.reshape((-1,) + (1,) * len(shape)) for array in (batch.samples, batch.views))
    return ((5 * samples + 3 * views + 2 * index) % 19 - 9) / 8


with tempfile.TemporaryDirectory() as work:
    work = Path(work)
    write_set(work)
    subprocess.run([build / "teacher_dump", "run", "--data", work, "--teacher", "none", "--out", work / "cache", "--views", "3",
                    "--augment", "random_crop(padding=1)+hflip+cutmix", "--seed", "12345678901234567890", "--quiet"], check=True)
    cache = softcache.open(work / "cache")
    shutil.rmtree(out, ignore_errors=True)
    with softcache.Writer(out, cache, "formulas", precision="fp64",
                          features=["map:views=2", "map:int8:views=1", "map:pooled", "map:at", "embedding"]) as writer:
        for batch in writer.missing(4):
            maps = {"map": feature(batch, (2, 2, 3)), "embedding": feature(batch, (5,))}
            writer.write(batch, logits(batch), maps if batch.split.name == "train" else None)
            if batch.split.name == "train" and batch.first == 8:
                writer.flush()
