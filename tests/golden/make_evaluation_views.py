#!/usr/bin/env python3
"""Makes evaluation_views/*.jpg and evaluation_views.h: odd-sized JPEGs of every kind, and what PIL and torchvision make of
them: the decoded image (convert('RGB')), the base image (Resize(256)), the evaluation view (CenterCrop(224)), and what
students of 64 and 299 pixels see of that (Resize(64), Resize(299)). Files that are there stay as they are.
Needs numpy, Pillow (with libjpeg-turbo) and torchvision. Files made with Pillow 9.4.0, libjpeg-turbo 2.1.5 and
torchvision 0.14; what students see with Pillow 13.0.0 and torchvision 0.29, which give the other digests, too."""
import hashlib
import io
import os

import numpy as np
from PIL import Image
from torchvision import transforms

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "evaluation_views")


def photo(h, w, seed, channels=3):
    """Smooth shading, edges, texture: [h, w, channels] uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    planes = []
    for c in range(channels):
        a, b, p, q = rng.uniform(0.005, 0.05, 4)
        value = 128 + 60 * np.sin(a * x + b * y + c) + 40 * np.cos(p * x - q * y)
        for _ in range(6):
            cy, cx, r = rng.uniform(0, h), rng.uniform(0, w), rng.uniform(0.05, 0.2) * max(h, w)
            value[(y - cy) ** 2 + (x - cx) ** 2 < r * r] += rng.uniform(-70, 70)
        planes.append(value + rng.normal(0, 3, (h, w)))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


def jpeg(pixels, mode, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels if mode != "L" else pixels[..., 0], mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif_orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def as_ycck(data):
    """Sets the transform byte of the Adobe marker to 2: the same samples are read as YCCK."""
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\x02" + data[at + 1 :]


def without_adobe(data):
    """Cuts the Adobe marker (16 bytes) out."""
    at = data.index(b"Adobe") - 4
    return data[:at] + data[at + 16 :]


def cmyk(h, w, seed):
    return jpeg(photo(h, w, seed, 4), "CMYK", quality=70)


IMAGES = [
    # file, JPEG bytes
    ("gray-37x91.jpg", lambda: jpeg(photo(37, 91, 1), "L", quality=85)),
    ("444-251x333.jpg", lambda: jpeg(photo(251, 333, 2), "RGB", quality=80, subsampling=0)),
    ("420-375x501.jpg", lambda: jpeg(photo(375, 501, 3), "RGB", quality=75, subsampling=2, exif=exif_orientation(6))),
    ("422-419x257.jpg", lambda: jpeg(photo(419, 257, 4), "RGB", quality=75, subsampling=1)),
    ("progressive-299x447.jpg", lambda: jpeg(photo(299, 447, 5), "RGB", quality=75, progressive=True)),
    ("cmyk-183x140.jpg", lambda: cmyk(183, 140, 6)),
    ("cmyk-plain-61x79.jpg", lambda: without_adobe(cmyk(61, 79, 10))),
    ("ycck-121x167.jpg", lambda: as_ycck(cmyk(121, 167, 7))),
    ("420-256x1001.jpg", lambda: jpeg(photo(256, 1001, 8), "RGB", quality=60, subsampling=2)),
    ("420-225x223.jpg", lambda: jpeg(photo(225, 223, 9), "RGB", quality=70, subsampling=2)),
]


def sha(image):
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def main():
    os.makedirs(FOLDER, exist_ok=True)
    resize, crop = transforms.Resize(256), transforms.CenterCrop(224)
    lines = []
    for name, make in IMAGES:
        path = os.path.join(FOLDER, name)
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(make())
        with open(path, "rb") as file:
            data = file.read()
        image = Image.open(io.BytesIO(data))
        components = len(image.getbands())
        image = image.convert("RGB")
        base = resize(image)
        cropped = crop(base)
        view = np.asarray(cropped)
        students = ", ".join(f'"{sha(transforms.Resize(size)(cropped))}"' for size in (64, 299))
        samples = ", ".join(str(v) for y, x in ((0, 0), (100, 17), (223, 223)) for v in view[y, x])
        orientation = Image.open(io.BytesIO(data)).getexif().get(0x0112, 1)
        lines.append(
            f'    {{"{name}", {image.height}, {image.width}, {components}, {orientation}, {base.height}, {base.width},\n'
            f'     "{sha(image)}",\n     "{sha(base)}",\n     "{sha(view)}",\n     {{{samples}}},\n     {{{students}}}}},'
        )
    with open(os.path.join(HERE, "evaluation_views.h"), "w") as file:
        file.write(
            "/* Made by make_evaluation_views.py: PIL's and torchvision's pixels of evaluation_views/. */\n"
            "/* clang-format off */\n"
            "static const struct evaluation_view {\n"
            "    const char *file;\n"
            "    int h, w, components, orientation;\n"
            "    int base_h, base_w;\n"
            "    const char *decoded; /* SHA-256 of convert('RGB') */\n"
            "    const char *base;    /* of Resize(256) of it */\n"
            "    const char *view;    /* of CenterCrop(224) of that */\n"
            "    int samples[9];      /* RGB of the view at (y, x) = (0, 0), (100, 17), (223, 223) */\n"
            "    const char *students[2]; /* of Resize(64) and Resize(299) of the view */\n"
            "} evaluation_views[] = {\n" + "\n".join(lines) + "\n};\n"
        )
    total = sum(os.path.getsize(os.path.join(FOLDER, name)) for name, _ in IMAGES)
    print(f"{len(IMAGES)} images, {total} bytes")


if __name__ == "__main__":
    main()
