#!/usr/bin/env python3
"""Writes cifar_python/: three images of CIFAR-10 and CIFAR-100 as pickles, made as the published files are (protocol 2 of
Python 2, written by hand) and as today's Python makes them (protocols 4 and 5). python3 tests/golden/make_cifar_python.py

Byte k of image i is (7 i + 3 k) % 251; the labels of CIFAR-10 are 9, 0, 4, those of CIFAR-100 99, 0, 47; test has image 2."""
import os
import pickle
import struct

import numpy as np

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cifar_python")


def images(which):
    return np.array([[(7 * i + 3 * k) % 251 for k in range(3072)] for i in which], dtype=np.uint8)


class Python2:
    """The opcodes that cPickle of Python 2 writes for a dictionary of strings, lists and an array."""

    def __init__(self):
        self.out, self.memo = b"\x80\x02", 0

    def put(self):
        self.memo += 1
        return b"q" + bytes([self.memo])

    def text(self, value):
        return b"U" + bytes([len(value)]) + value + self.put()

    def number(self, value):
        return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)

    def list(self, items):
        return b"]" + self.put() + b"(" + b"".join(items) + b"e"

    def array(self, array):
        out = b"cnumpy.core.multiarray\n_reconstruct\n" + self.put() + b"cnumpy\nndarray\n" + self.put() + b"K\0\x85" + self.put()
        out += self.text(b"b") + b"\x87" + self.put() + b"R" + self.put() + b"(K\x01" + b"".join(self.number(n) for n in array.shape) + b"\x86" + self.put()
        out += b"cnumpy\ndtype\n" + self.put() + self.text(b"u1") + b"K\0K\x01\x87" + self.put() + b"R" + self.put()
        out += b"(K\x03" + self.text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t" + self.put() + b"b"
        data = array.tobytes()
        return out + b"\x89T" + struct.pack("<I", len(data)) + data + b"t" + self.put() + b"b"

    def dict(self, items):
        out = b"}" + self.put() + b"("
        for key, value in items.items():
            out += self.text(key)
            if isinstance(value, np.ndarray):
                out += self.array(value)
            elif isinstance(value, bytes):
                out += self.text(value)
            else:
                out += self.list([self.number(v) if isinstance(v, int) else self.text(v) for v in value])
        return out + b"u."


def write(folder, name, data):
    os.makedirs(os.path.join(FOLDER, folder), exist_ok=True)
    with open(os.path.join(FOLDER, folder, name), "wb") as file:
        file.write(data)


def main():
    names10 = [f"ten{i}" for i in range(10)]
    names100 = [f"hundred{i}" for i in range(100)]

    def python2(items):
        writer = Python2()
        return writer.out + writer.dict(items)

    write("published10", "data_batch_1", python2({b"batch_label": b"training batch 1 of 1", b"labels": [9], b"data": images([0]), b"filenames": [b"a.png"]}))
    write("published10", "data_batch_2", python2({b"data": images([1]), b"labels": [0]}))
    write("published10", "test_batch", python2({b"data": images([2]), b"labels": [4]}))
    write("published10", "batches.meta", python2({b"num_cases_per_batch": [10000], b"label_names": [n.encode() for n in names10]}))
    for protocol in (4, 5):
        folder = f"protocol{protocol}"
        write(folder, "train", pickle.dumps({"fine_labels": [99, 0], "coarse_labels": [1, 2], "data": images([0, 1])}, protocol))
        write(folder, "test", pickle.dumps({"fine_labels": [47], "coarse_labels": [3], "data": images([2])}, protocol))
        write(folder, "meta", pickle.dumps({"fine_label_names": names100, "coarse_label_names": ["a"]}, protocol))
    write("hostile", "data_batch_1", b"cposix\nsystem\n(S'echo hello'\ntR.")
    write("hostile", "test_batch", b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.")


if __name__ == "__main__":
    main()
