#!/usr/bin/env python3
"""Writes npz/: archives as Keras and MedMNIST have them. python3 tests/golden/make_npz.py
Byte k of image i (in the order height, width, channel) is (7 i + 3 k) % 251."""
import os

import numpy as np

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "npz")


def images(first, count, h, w, channels):
    size = h * w * channels
    array = np.array([[(7 * i + 3 * k) % 251 for k in range(size)] for i in range(first, first + count)], dtype=np.uint8)
    return array.reshape((count, h, w) if channels == 1 else (count, h, w, channels))


def main():
    os.makedirs(FOLDER, exist_ok=True)
    keras = {"x_train": images(0, 3, 5, 4, 1), "y_train": np.array([2, 0, 1], np.uint8), "x_test": images(3, 1, 5, 4, 1), "y_test": np.array([2], np.uint8)}
    np.savez(os.path.join(FOLDER, "keras.npz"), **keras)
    medmnist = {}
    for split, first in (("train", 0), ("val", 2), ("test", 3)):
        medmnist[f"{split}_images"] = images(first, 2, 4, 6, 3)
        medmnist[f"{split}_labels"] = np.array([[first], [1]], np.int64)
    np.savez_compressed(os.path.join(FOLDER, "medmnist.npz"), **medmnist)
    planes = np.ascontiguousarray(images(0, 3, 5, 4, 3).transpose(0, 3, 1, 2))
    last = np.ascontiguousarray(images(3, 1, 5, 4, 3).transpose(0, 3, 1, 2))
    labels = np.array([0, 1, 1], np.int32)
    np.savez_compressed(os.path.join(FOLDER, "planes.npz"), images=planes, labels=labels, x_test=last, y_test=labels[:1])
    np.savez_compressed(os.path.join(FOLDER, "alone.npz"), images=images(0, 3, 5, 4, 1), labels=labels)
    np.savez(os.path.join(FOLDER, "float.npz"), x_train=np.zeros((2, 3, 3), np.float32), y_train=np.array([0, 1]))
    np.savez(os.path.join(FOLDER, "object.npz"), x_train=np.array([{}], dtype=object), y_train=np.array([0]))


if __name__ == "__main__":
    main()
