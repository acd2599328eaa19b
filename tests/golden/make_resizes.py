#!/usr/bin/env python3
"""Writes resizes.h: what torchvision makes of evaluation_views/ with Resize((S, S)), and with Resize(None, max_size=S) and
CenterCrop(S). Made with torchvision 0.29.2 and Pillow 12.3.0: python3 tests/golden/make_resizes.py. (Pillow 13.0.0 resizes some
photos that are taller than wide in columns first, which moves some pixels by one level.)"""
import hashlib
import os

import numpy as np
from PIL import Image
from torchvision.transforms import v2

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "evaluation_views")


def digest(image):
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def main():
    lines = []
    for name in sorted(os.listdir(FOLDER)):
        image = Image.open(os.path.join(FOLDER, name)).convert("RGB")
        for side in (64, 97, 299):
            squashed = v2.Resize((side, side))(image)
            padded = v2.CenterCrop(side)(v2.Resize(None, max_size=side)(image))
            lines.append(f'    {{"{name}", {side},\n     "{digest(squashed)}",\n     "{digest(padded)}"}},')
    with open(os.path.join(HERE, "resizes.h"), "w") as file:
        file.write(
            "/* Made by make_resizes.py: torchvision's pixels. */\n"
            "/* clang-format off */\n"
            "static const struct golden_resize {\n"
            "    const char *file;\n"
            "    int side;\n"
            "    const char *squashed; /* SHA-256 of Resize((side, side)) */\n"
            "    const char *padded;   /* of Resize(None, max_size=side) and CenterCrop(side) */\n"
            "} golden_resizes[] = {\n" + "\n".join(lines) + "\n};\n"
        )
    print(f"{len(lines)} sizes")


if __name__ == "__main__":
    main()
