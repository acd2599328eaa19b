"""Makes tests/golden/views.bin: what torchvision's functional transforms give for the parameters of our views.

The parameters are drawn here as view_make.c documents it (Philox 4x32-10, a fixed number of words per transform), so this
is a second, independent implementation of both the drawing and the geometry. Needs torchvision and Pillow.
Run from the repository's root: python3 tests/golden/make_views.py

A record is a line "recipe;id;number;tolerance" (mean absolute difference allowed, in levels) and SIDE*SIDE*3 bytes; the
first record is the base image. The seed is 5.
"""
import math

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image

SIDE, SEED, PURPOSE = 48, 5, 1
BILINEAR = F.InterpolationMode.BILINEAR


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


class Stream:
    def __init__(self, sample, number):
        self.sample, self.number, self.at = sample, number, 0

    def draw(self, low=0.0, high=1.0):
        block = philox([self.at // 4, self.number, self.sample, PURPOSE], [SEED, 0])
        self.at += 1
        return low + (high - low) * block[(self.at - 1) % 4] / 2**32

    def whole(self, count):
        return math.floor(self.draw() * count)

    def rectangle(self, low, high, ratio, strict):
        """Ten tries for a rectangle of a part of the area and of an aspect; all their words are drawn."""
        found = None
        for _ in range(10):
            area = SIDE * SIDE * self.draw(low, high)
            aspect = math.exp(self.draw(math.log(ratio[0]), math.log(ratio[1])))
            a, b = math.floor(math.sqrt(area * aspect) + 0.5), math.floor(math.sqrt(area / aspect) + 0.5)
            h, w = (a, b) if strict else (b, a)
            top, left = self.whole(SIDE - h + 1), self.whole(SIDE - w + 1)
            fits = h < SIDE and w < SIDE if strict else h <= SIDE and w <= SIDE
            found = found or ((top, left, h, w) if fits else None)
        return found


def f32(x):
    return float(np.float32(x))


def base_image():
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    planes = [128 + 100 * np.sin(x / 5 + y / 11), 128 + 100 * np.cos(y / 6 - x / 17), 40 + 3 * x + y]
    return Image.fromarray(np.clip(np.round(np.stack(planes, -1)), 0, 255).astype(np.uint8))


def rotate(image, s):
    return F.rotate(image, s.draw(-180, 180), BILINEAR)


def affine(degrees=0.0, translate=0.0, scale=(1, 1), shear=0.0):
    def apply(image, s):
        angle = s.draw(-degrees, degrees)
        tx, ty = (math.floor(SIDE * s.draw(-translate, translate) + 0.5) for _ in range(2))
        zoom = s.draw(*scale)
        return F.affine(image, angle, [tx, ty], zoom, [s.draw(-shear, shear), 0.0], BILINEAR)

    return apply


def resized_crop(image, s):
    top, left, h, w = s.rectangle(f32(0.3), f32(0.6), (0.75, f32(4 / 3)), False)
    return F.resized_crop(image, top, left, h, w, [SIDE, SIDE], BILINEAR)


def padded_crop(image, s):
    top, left = s.whole(17), s.whole(17)
    return F.crop(F.pad(image, 8), top, left, SIDE, SIDE)


def jitter(kind):
    def apply(image, s):
        factors = [s.draw(0.5, 1.5) if i == kind else s.draw() for i in range(3)]
        return [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation][kind](image, factors[kind])

    return apply


def erase(image, s):
    s.draw()
    top, left, h, w = s.rectangle(f32(0.02), f32(0.33), (f32(0.3), f32(3.3)), True)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    erased = F.erase(pixels, top, left, h, w, torch.tensor(7, dtype=torch.uint8))
    return Image.fromarray(erased.permute(1, 2, 0).numpy())


CASES = [
    ("rotate(180)", 1, rotate),
    ("affine(degrees=60)", 1, affine(degrees=60)),
    ("affine(translate=0.5)", 0, affine(translate=0.5)),
    ("affine(scale=0.6:1.6)", 1, affine(scale=(f32(0.6), f32(1.6)))),
    ("affine(shear=40)", 1, affine(shear=40)),
    ("affine(degrees=60,translate=0.25,scale=0.8:1.25,shear=20)", 1, affine(60, 0.25, (f32(0.8), 1.25), 20)),
    ("hflip(p=1)", 0, lambda image, s: F.hflip(image)),
    ("vflip(p=1)", 0, lambda image, s: F.vflip(image)),
    ("random_resized_crop(scale=0.3:0.6)", 1, resized_crop),
    ("random_crop(padding=8)", 0, padded_crop),
    ("color_jitter(brightness=0.5)", 1, jitter(0)),
    ("color_jitter(contrast=0.5)", 1, jitter(1)),
    ("color_jitter(saturation=0.5)", 1, jitter(2)),
    ("erase(p=1,value=7)", 0, erase),
]


def main():
    base = base_image()
    with open("tests/golden/views.bin", "wb") as out:
        out.write(b"none;0;0;0\n" + base.tobytes())
        for index, (recipe, tolerance, apply) in enumerate(CASES):
            sample, number = 100 + index, 3 * index
            view = apply(base, Stream(sample, number))
            assert view.size == (SIDE, SIDE)
            out.write(f"{recipe};{sample};{number};{tolerance}\n".encode() + view.tobytes())


if __name__ == "__main__":
    main()
