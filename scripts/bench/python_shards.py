#!/usr/bin/env python3
"""Files of arrays as people write and read them in Python, for scripts/bench/files.py.

    python_shards.py --cache CACHE --work FOLDER --plugins build/plugins [--seconds 1]

For each line "write|read torch|h5py|h5py-gzip|h5py-zstd [verified]" of the standard input it prints one of JSON: images a second and a
processor second, of the arrays of the cache's first training shard. A written file is on the disk when the time stops, as a shard of ours is.
torch: torch.save and torch.load. h5py: as it is, or all but the images compressed. verified: as ours, reading compares the file's SHA-256,
and writing hashes the file, reads it back and compares all arrays.
"""
import argparse
import glob
import hashlib
import json
import os
import sys
import time

import h5py
import numpy as np
import torch

ZSTD = 32015
IMAGES = "images"


def load_shard(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def write_h5py(path, arrays, compression):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            filters = {} if compression is None or name == IMAGES or array.ndim == 0 else {
                "compression": compression, "compression_opts": (1,) if compression == ZSTD else 1, "shuffle": array.dtype.itemsize > 1,
                "chunks": (min(len(array), max(1, (1 << 20) // max(1, array[:1].nbytes))), *array.shape[1:])}
            file.create_dataset(name, data=array, **filters)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def on_disk(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


class Files:
    def __init__(self, cache, work):
        self.arrays = load_shard(sorted(glob.glob(f"{cache}/train-*.h5"))[0])
        self.tensors = {name: torch.from_numpy(array) for name, array in self.arrays.items() if array.dtype.kind in "iuf" and
                        array.dtype.name != "uint64"}
        self.others = {name: array.tobytes() for name, array in self.arrays.items() if name not in self.tensors}
        self.count, self.work, self.digest = len(self.arrays["labels"]), work, None

    def write(self, form, path, verified):
        if form == "torch":
            torch.save({**self.tensors, **self.others}, path)
        else:
            write_h5py(path, self.arrays, {"h5py": None, "h5py-gzip": "gzip", "h5py-zstd": ZSTD}[form])
        on_disk(path)
        if verified:
            self.digest = digest(path)
            for name, array in self.read(form, path, False).items():
                if isinstance(array, bytes):
                    equal = array == self.others[name]
                else:
                    equal = np.array_equal(np.asarray(array), self.arrays[name])
                if not equal:
                    raise SystemExit(f"{path}: {name} differs")

    def read(self, form, path, verified):
        if verified and digest(path) != self.digest:
            raise SystemExit(f"{path}: was changed")
        return torch.load(path) if form == "torch" else load_shard(path)

    def measure(self, seconds, what, form, verified=None):
        path, run = f"{self.work}/peer", getattr(self, what)
        self.write(form, path, verified)
        images, start, processor = 0, time.perf_counter(), time.process_time()
        while images == 0 or time.perf_counter() - start < seconds:
            run(form, path, verified)
            images += self.count
        return {"images_per_second": images / (time.perf_counter() - start),
                "images_per_processor_second": images / (time.process_time() - processor)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--plugins", required=True)
    parser.add_argument("--seconds", type=float, default=1)
    options, _ = parser.parse_known_args()
    h5py.h5pl.append(options.plugins.encode())
    files = Files(options.cache, options.work)
    for line in map(str.strip, sys.stdin):
        print(json.dumps(files.measure(options.seconds, *line.split())), flush=True)


if __name__ == "__main__":
    main()
