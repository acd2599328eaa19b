#!/usr/bin/env python3
"""Writes image_files/: small images of every kind that is read, and image_files.h: the digests of the pixels that Pillow gives.

Made with Pillow 13.0.0: python3 tests/golden/make_image_files.py. Formats that Pillow does not write are written here by hand."""
import hashlib
import io
import os
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageFile, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "image_files")
warnings.simplefilter("ignore")


def picture(h, w, channels, seed=1, top=256):
    """Waves with noise: smooth enough to compress, and no two channels alike."""
    noise = np.random.default_rng(seed)
    y, x, c = np.mgrid[0:h, 0:w, 0:channels]
    waves = np.sin(x / 5 + c) + np.cos(y / 7 - c) + 0.2 * noise.standard_normal((h, w, channels))
    return np.clip((waves + 2.2) / 4.4 * top, 0, top - 1).astype(np.uint16 if top > 256 else np.uint8)


def image(h, w, mode="RGB", seed=1):
    channels = len(Image.new(mode, (1, 1)).getbands())
    array = picture(h, w, channels, seed)
    return Image.fromarray(array[..., 0] if channels == 1 else array, mode if mode != "P" else "L")


# ---- PNG by hand: every colour type, depth and interlacing ----
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png_rows(samples, depth):
    """Filtered rows (filter: the row's number modulo 3, so 0 to 2) of [h, w, channels]."""
    out, before = b"", None
    for number, row in enumerate(samples):
        flat = row.reshape(-1)
        if depth == 16:
            raw = flat.astype(">u2").tobytes()
        elif depth == 8:
            raw = flat.astype(np.uint8).tobytes()
        else:
            bits = "".join(format(int(v), f"0{depth}b") for v in flat)
            bits += "0" * (-len(bits) % 8)
            raw = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
        step = max(1, row.shape[1] * depth // 8)
        kind = number % 3
        left = bytes(step) + raw
        up = before or bytes(len(raw))
        coded = [raw, bytes((a - b) & 255 for a, b in zip(raw, left)), bytes((a - b) & 255 for a, b in zip(raw, up))]
        out += bytes([kind]) + coded[kind]
        before = raw
    return out


def png(samples, depth, kind, interlace=False, extra=b"", after=b"", crop=None):
    h, w = samples.shape[:2]
    header = struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, int(interlace))
    if interlace:
        data = b"".join(png_rows(samples[y::dy, x::dx], depth) for x, y, dx, dy in ADAM7 if samples[y::dy, x::dx].size)
    else:
        data = png_rows(samples, depth)
    packed = zlib.compress(data, 9)
    half = len(packed) // 2  # two chunks
    pixels = chunk(b"IDAT", packed[:half]) + chunk(b"IDAT", packed[half:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + pixels + after + chunk(b"IEND", b"")


def palette(count, seed=3):
    return np.random.default_rng(seed).integers(0, 256, count * 3, dtype=np.uint8).tobytes()


def png_files():
    for kind, channels, depths in ((0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (3, 1, (1, 2, 4, 8)), (4, 2, (8, 16)), (6, 4, (8, 16))):
        for depth in depths:
            for interlace in (False, True):
                samples = picture(23, 37, channels, kind * 20 + depth, 1 << depth)
                colors = chunk(b"PLTE", palette(1 << depth)) if kind == 3 else b""
                yield f"png-type{kind}-{depth}bit{'-interlaced' if interlace else ''}.png", png(samples, depth, kind, interlace, colors)
    indexed = picture(9, 13, 1, 5, 256)
    yield "png-palette-trns.png", png(indexed, 8, 3, extra=chunk(b"PLTE", palette(256)) + chunk(b"tRNS", bytes(range(200))))
    yield "png-palette-short.png", png(indexed, 8, 3, extra=chunk(b"PLTE", palette(100)))
    yield "png-gray-trns.png", png(indexed, 8, 0, extra=chunk(b"tRNS", b"\0\x40"))
    yield "png-rgb-trns.png", png(picture(9, 13, 3), 8, 2, extra=chunk(b"tRNS", b"\0\x40\0\x50\0\x60"))
    dark = picture(9, 13, 1, 6, 1024)  # 16 bits of gray on both sides of 255
    yield "png-gray16-dark.png", png(dark, 16, 0)
    yield "png-1x1-interlaced.png", png(picture(1, 1, 3), 8, 2, True)
    yield "png-3x2-interlaced.png", png(picture(2, 3, 3), 8, 2, True)
    yield "png-gamma.png", png(picture(9, 13, 3), 8, 2, extra=chunk(b"gAMA", struct.pack(">I", 100000)))
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()[6:]
    yield "png-exif6.png", png(picture(9, 13, 3), 8, 2, extra=chunk(b"eXIf", block))
    yield "png-exif8-behind.png", png(picture(9, 13, 3), 8, 2, after=chunk(b"eXIf", block.replace(b"\x00\x06\x00\x00", b"\x00\x08\x00\x00")))
    frames = [image(9, 13, seed=s) for s in (1, 2)]
    yield "png-animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


# ---- BMP by hand ----
def bmp(w, h, bits, rows, compression=0, colors=b"", masks=b"", header=40, count=0, offset=None):
    if header == 12:
        info = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, w, h, 1, bits, compression, len(rows), 2835, 2835, count, 0)
        info += masks.ljust(header - 40, b"\0") if header > 40 else b""
    after = masks if header == 40 else b""
    start = 14 + len(info) + len(after) + len(colors) if offset is None else offset
    return b"BM" + struct.pack("<IHHI", 14 + len(info) + len(after) + len(colors) + len(rows), 0, 0, start) + info + after + colors + rows


def bmp_rows(samples, bits):
    """[h, w] of numbers, each row padded to 4 bytes, in the order given."""
    out = b""
    for row in samples:
        if bits >= 8:
            raw = b"".join(int(v).to_bytes(bits // 8, "little") for v in row)
        else:
            text = "".join(format(int(v), f"0{bits}b") for v in row)
            text += "0" * (-len(text) % 8)
            raw = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
        out += raw + bytes(-len(raw) % 4)
    return out


def quads(count, seed=7, size=4):
    values = np.random.default_rng(seed).integers(0, 256, (count, size), dtype=np.uint8)
    return values.tobytes()


def runs8():
    """20 x 6: a run, an absolute part of odd length, a run over the row's end, a jump, ends of rows, the end."""
    return bytes([7, 5, 0, 5, 1, 2, 3, 4, 5, 0, 8, 9, 0, 0, 30, 77, 0, 2, 3, 1, 4, 8, 0, 0, 20, 1, 0, 0, 20, 2, 0, 0, 20, 3, 0, 1])


def runs4():
    return bytes([7, 0x5A, 0, 5, 0x12, 0x34, 0x50, 0, 8, 0x9C, 0, 0, 20, 0x3F, 0, 0, 20, 0x12, 20, 0x34, 0, 0, 20, 0x56, 0, 0, 20, 0x78, 0, 0, 20, 0x9A, 0, 1])


def bmp_files():
    w, h = 21, 11
    for bits in (1, 4, 8):
        samples = picture(h, w, 1, bits, 1 << bits)[..., 0]
        yield f"bmp-{bits}bit.bmp", bmp(w, h, bits, bmp_rows(samples, bits), colors=quads(1 << bits))
    samples = picture(h, w, 1, 8, 256)[..., 0]
    yield "bmp-8bit-top-down.bmp", bmp(w, -h, 8, bmp_rows(samples, 8), colors=quads(256))
    yield "bmp-8bit-100-colors.bmp", bmp(w, h, 8, bmp_rows(samples, 8), colors=quads(100), count=100)
    yield "bmp-os2-8bit.bmp", bmp(w, h, 8, bmp_rows(samples, 8), colors=quads(256, size=3), header=12)
    yield "bmp-gray.bmp", saved(image(h, w, "L"), "BMP")
    yield "bmp-1bit-gray.bmp", saved(image(h, w, "L").convert("1"), "BMP")
    for bits in (16, 24, 32):
        numbers = np.random.default_rng(bits).integers(0, 1 << bits, (h, w), dtype=np.uint64)
        rows = bmp_rows(numbers, bits)
        yield f"bmp-{bits}bit.bmp", bmp(w, h, bits, rows)
        yield f"bmp-{bits}bit-top-down.bmp", bmp(w, -h, bits, rows)
    numbers = np.random.default_rng(9).integers(0, 1 << 16, (h, w), dtype=np.uint64)
    yield "bmp-565.bmp", bmp(w, h, 16, bmp_rows(numbers, 16), 3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
    numbers = np.random.default_rng(10).integers(0, 1 << 32, (h, w), dtype=np.uint64)
    for name, masks in (("bgra", (0xFF0000, 0xFF00, 0xFF, 0xFF000000)), ("rgba", (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
                        ("xbgr", (0xFF000000, 0xFF0000, 0xFF00, 0)), ("zero", (0, 0, 0, 0))):
        yield f"bmp-v5-{name}.bmp", bmp(w, h, 32, bmp_rows(numbers, 32), 3, masks=struct.pack("<IIII", *masks), header=124)
    yield "bmp-rle8.bmp", bmp(20, 6, 8, runs8(), 1, colors=quads(256))
    yield "bmp-rle4.bmp", bmp(20, 6, 4, runs4(), 2, colors=quads(16))


# ---- GIF by hand ----
def lzw(indices, minimum):
    """Codes as 12 bits can hold; the table is cleared when it is full."""
    clear, out, width = 1 << minimum, [], minimum + 1
    table, text, buffer, count = {}, (), 0, 0
    packed = bytearray()

    def put(code):
        nonlocal buffer, count
        buffer |= code << count
        count += width
        while count >= 8:
            packed.append(buffer & 255)
            buffer >>= 8
            count -= 8

    def reset():
        nonlocal table, width
        table = {(i,): i for i in range(clear)}
        width = minimum + 1

    reset()
    put(clear)
    after = clear + 2
    for index in indices:
        if text + (index,) in table:
            text += (index,)
            continue
        put(table[text])
        if after < 4096:
            table[text + (index,)] = after
            if after == 1 << width:
                width += 1
            after += 1
        else:
            put(clear)
            reset()
            after = clear + 2
        text = (index,)
    put(table[text])
    put(clear + 1)
    if count:
        packed.append(buffer & 255)
    blocks = b"".join(bytes([len(packed[i : i + 255])]) + packed[i : i + 255] for i in range(0, len(packed), 255))
    return bytes([minimum]) + blocks + b"\0"


def gif(samples, bits, at=(0, 0), screen=None, interlace=False, transparent=None, colors=None, local=None, background=0):
    h, w = samples.shape
    screen_w, screen_h = screen or (w, h)
    order = range(h)
    if interlace:
        order = [*range(0, h, 8), *range(4, h, 8), *range(2, h, 4), *range(1, h, 2)]
    data = lzw([int(v) for y in order for v in samples[y]], max(2, bits))
    out = b"GIF89a" + struct.pack("<HHBBB", screen_w, screen_h, (0x80 | (bits - 1)) if colors else 0x70, background, 0) + (colors or b"")
    out += b"!\xfe\x05hello\0"
    if transparent is not None:
        out += b"!\xf9\x04" + struct.pack("<BHB", 1, 10, transparent) + b"\0"
    flags = (0x40 if interlace else 0) | ((0x80 | (bits - 1)) if local else 0)
    return out + b"," + struct.pack("<HHHHB", *at, w, h, flags) + (local or b"") + data + b";"


def gif_files():
    small, large = picture(19, 31, 1, 4, 16)[..., 0], picture(90, 130, 1, 9, 256)[..., 0]
    yield "gif-16-colors.gif", gif(small, 4, colors=palette(16))
    yield "gif-full-table.gif", gif(np.random.default_rng(1).integers(0, 256, (90, 130)), 8, colors=palette(256))
    yield "gif-interlaced.gif", gif(small, 4, colors=palette(16), interlace=True)
    yield "gif-5-rows-interlaced.gif", gif(small[:5], 4, colors=palette(16), interlace=True)
    yield "gif-transparent.gif", gif(small, 4, colors=palette(16), transparent=3)
    yield "gif-small-frame.gif", gif(small, 4, (5, 3), (40, 30), colors=palette(16), background=7)
    yield "gif-small-frame-transparent.gif", gif(small, 4, (5, 3), (40, 30), colors=palette(16), transparent=9)
    yield "gif-frame-outside.gif", gif(small, 4, (5, 3), (20, 10), colors=palette(16))
    yield "gif-local-palette.gif", gif(small, 4, colors=palette(16), local=palette(16, 8))
    yield "gif-no-palette.gif", gif(large, 8)
    yield "gif-2-colors.gif", gif(small % 2, 1, colors=palette(2))
    yield "gif-gray.gif", saved(image(19, 31, "L"), "GIF")
    yield "gif-rgb.gif", saved(image(19, 31), "GIF")
    yield "gif-animated.gif", saved(image(19, 31, seed=2), "GIF", save_all=True, append_images=[image(19, 31, seed=3)])


# ---- TIFF by hand: what Pillow does not write ----
def tiff(samples, bits, photometric, tile=None, planar=False, order="<", rows_per_strip=5, compress=False, extra=None, colors=None, fill=None):
    h, w, channels = samples.shape
    kind = {8: "u1", 16: order + "u2"}.get(bits)

    def code(block):
        if kind:
            raw = block.astype(kind).tobytes()
        else:
            raw = b""
            for row in block.reshape(block.shape[0], -1):
                text = "".join(format(int(v), f"0{bits}b") for v in row)
                text += "0" * (-len(text) % 8)
                raw += bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
        return zlib.compress(raw) if compress else raw

    blocks = []
    for plane in [samples[..., c : c + 1] for c in range(channels)] if planar else [samples]:
        if tile:
            for y in range(0, h, tile):
                for x in range(0, w, tile):
                    part = plane[y : y + tile, x : x + tile]
                    blocks.append(code(np.pad(part, ((0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)))))
        else:
            blocks += [code(plane[y : y + rows_per_strip]) for y in range(0, h, rows_per_strip)]
    entries = {256: ("I", [w]), 257: ("I", [h]), 258: ("H", [bits] * channels), 259: ("H", [8 if compress else 1]), 262: ("H", [photometric]),
               277: ("H", [channels]), 284: ("H", [2 if planar else 1])}
    if extra is not None:
        entries[338] = ("H", [extra])
    if colors:
        entries[320] = ("H", colors)
    if tile:
        entries.update({322: ("I", [tile]), 323: ("I", [tile])})
    else:
        entries[278] = ("I", [rows_per_strip])
    names = (324, 325) if tile else (273, 279)
    entries[names[0]], entries[names[1]] = ("I", [0] * len(blocks)), ("I", [len(b) for b in blocks])
    size = 2 + 12 * len(entries) + 4
    at = 8 + size
    for name, (form, values) in entries.items():  # values of more than 4 bytes lie behind the directory
        length = struct.calcsize(form) * len(values)
        at += length if length > 4 else 0
    places, here = [], at
    for block in blocks:
        places.append(here)
        here += len(block)
    entries[names[0]] = ("I", places)
    directory, behind = struct.pack(order + "H", len(entries)), b""
    for name in sorted(entries):
        form, values = entries[name]
        raw = struct.pack(f"{order}{len(values)}{form}", *values)
        directory += struct.pack(order + "HHI", name, 3 if form == "H" else 4, len(values))
        if len(raw) <= 4:
            directory += raw.ljust(4, b"\0")
        else:
            directory += struct.pack(order + "I", 8 + size + len(behind))
            behind += raw
    directory += struct.pack(order + "I", 0)
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + directory + behind + b"".join(blocks)


def tiff_files():
    h, w = 23, 37
    for order, name in (("<", "little"), (">", "big")):
        yield f"tiff-rgb-{name}.tif", tiff(picture(h, w, 3), 8, 2, order=order)
        yield f"tiff-rgb16-{name}.tif", tiff(picture(h, w, 3, 2, 65536), 16, 2, order=order)
        yield f"tiff-gray16-{name}.tif", tiff(picture(h, w, 1, 3, 1024), 16, 1, order=order)
    for bits in (1, 2, 4, 8):
        yield f"tiff-gray{bits}.tif", tiff(picture(h, w, 1, bits, 1 << bits), bits, 1)
        yield f"tiff-white-is-0-{bits}.tif", tiff(picture(h, w, 1, bits, 1 << bits), bits, 0)
        colors = [int(v) for v in np.random.default_rng(bits).integers(0, 65536, 3 << bits)]
        yield f"tiff-palette{bits}.tif", tiff(picture(h, w, 1, bits, 1 << bits), bits, 3, colors=colors)
    yield "tiff-tiles.tif", tiff(picture(h, w, 3), 8, 2, tile=16)
    yield "tiff-tiles-deflate.tif", tiff(picture(h, w, 3), 8, 2, tile=16, compress=True)
    yield "tiff-tiles-gray.tif", tiff(picture(h, w, 1), 8, 1, tile=32)
    yield "tiff-planar.tif", tiff(picture(h, w, 3), 8, 2, planar=True)
    yield "tiff-planar-deflate.tif", tiff(picture(h, w, 3), 8, 2, planar=True, compress=True)
    yield "tiff-planar-tiles-deflate.tif", tiff(picture(h, w, 3), 8, 2, planar=True, tile=16, compress=True)
    for extra in (0, 1, 2, None):
        yield f"tiff-rgba-extra{extra}.tif", tiff(picture(h, w, 4), 8, 2, extra=extra)
    yield "tiff-rgba16.tif", tiff(picture(h, w, 4, 3, 65536), 16, 2, extra=2)
    yield "tiff-rgba16-premultiplied.tif", tiff(picture(h, w, 4, 3, 65536), 16, 2, extra=1)
    yield "tiff-la.tif", tiff(picture(h, w, 2), 8, 1, extra=2)
    yield "tiff-cmyk.tif", tiff(picture(h, w, 4), 8, 5)
    yield "tiff-cmyk16.tif", tiff(picture(h, w, 4, 3, 65536), 16, 5, compress=True)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield f"tiff-{compression}.tif", saved(image(h, w), "TIFF", compression=compression)
    yield "tiff-jpeg.tif", saved(image(48, 64), "TIFF", compression="jpeg")
    yield "tiff-jpeg-gray.tif", saved(image(48, 64, "L"), "TIFF", compression="jpeg")
    yield "tiff-jpeg-cmyk.tif", saved(image(48, 64, "CMYK"), "TIFF", compression="jpeg")
    yield "tiff-group4.tif", saved(image(h, w, "L").convert("1"), "TIFF", compression="group4")
    yield "tiff-ycbcr.tif", saved(image(h, w).convert("YCbCr"), "TIFF", compression="tiff_lzw")
    for orientation in (3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"tiff-orientation{orientation}.tif", saved(image(h, w), "TIFF", exif=exif)
    yield "tiff-two-pages.tif", saved(image(h, w), "TIFF", save_all=True, append_images=[image(9, 9, seed=2)])


# ---- WebP and JPEG ----
def webp_files():
    yield "webp-lossy.webp", saved(image(45, 67), "WEBP", quality=60)
    yield "webp-lossy-alpha.webp", saved(image(45, 67, "RGBA"), "WEBP", quality=60)
    yield "webp-lossless.webp", saved(image(23, 37), "WEBP", lossless=True)
    yield "webp-lossless-alpha.webp", saved(image(23, 37, "RGBA"), "WEBP", lossless=True, exact=True)
    yield "webp-animated.webp", saved(image(23, 37, seed=2), "WEBP", save_all=True, append_images=[image(23, 37, seed=3)], lossless=True)
    exif = Image.Exif()
    exif[0x0112] = 5
    yield "webp-exif5.webp", saved(image(23, 37), "WEBP", lossless=True, exif=exif)


def jpeg_files():
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"jpeg-exif{orientation}.jpg", saved(image(24, 40), "JPEG", exif=exif, quality=80)


def truncated_files():
    """Files that end too early, or that are damaged: what Pillow makes of them with LOAD_TRUNCATED_IMAGES."""
    cuts = (("JPEG", "jpg", dict(quality=85), "RGB"), ("JPEG", "jpg", dict(quality=85), "L"), ("JPEG", "jpg", dict(quality=85), "CMYK"),
            ("JPEG", "jpg", dict(quality=85, progressive=True), "RGB"), ("JPEG", "jpg", dict(quality=85, restart_marker_blocks=3), "RGB"))
    for number, (form, ending, options, mode) in enumerate(cuts):
        data = saved(image(70, 90, mode), form, **options)
        # libjpeg-turbo 3 smooths an image that lacks whole scans otherwise than 2.1 does: up to 3 levels at 45 percent.
        for percent in (80, 98) if options.get("progressive") else (45, 80, 98):
            yield f"cut-jpeg{number}-{percent}.{ending}", data[: len(data) * percent // 100]
    data = saved(image(70, 90), "JPEG", quality=85)
    half = len(data) // 2
    yield "damaged-jpeg.jpg", data[:half] + b"\xff\xd9" + data[half:]  # a mark for the end inside of the data
    for interlace in (False, True):
        data = png(picture(40, 50, 3), 8, 2, interlace)
        for percent in (40, 90):
            yield f"cut-png{'-interlaced' if interlace else ''}-{percent}.png", data[: len(data) * percent // 100]
    data = gif(picture(40, 50, 1, 4, 16)[..., 0], 4, (2, 2), (60, 50), colors=palette(16), transparent=5)
    yield "cut-gif.gif", data[: len(data) * 2 // 3]


def saved(picture_, form, **options):
    buffer = io.BytesIO()
    picture_.save(buffer, form, **options)
    return buffer.getvalue()


def digest(picture_):
    return hashlib.sha256(np.asarray(picture_.convert("RGB")).tobytes()).hexdigest()


def main():
    os.makedirs(FOLDER, exist_ok=True)
    for name in os.listdir(FOLDER):
        os.remove(os.path.join(FOLDER, name))
    lines, total = [], 0
    for files, broken in ((png_files, False), (bmp_files, False), (gif_files, False), (tiff_files, False), (webp_files, False), (jpeg_files, False), (truncated_files, True)):
        for name, data in files():
            path = os.path.join(FOLDER, name)
            with open(path, "wb") as file:
                file.write(data)
            ImageFile.LOAD_TRUNCATED_IMAGES = broken
            with Image.open(path) as opened:
                plain = opened.convert("RGB")
            with Image.open(path) as opened:
                upright = ImageOps.exif_transpose(opened).convert("RGB")
            lines.append(f'    {{"{name}", {plain.height}, {plain.width}, {str(broken).lower()},\n     "{digest(plain)}",\n     "{digest(upright)}"}},')
            total += len(data)
    with open(os.path.join(HERE, "image_files.h"), "w") as file:
        file.write(
            "/* Made by make_image_files.py: the pixels that Pillow gives for image_files/. */\n"
            "/* clang-format off */\n"
            "static const struct image_file {\n"
            "    const char *name;\n"
            "    int h, w;\n"
            "    bool broken;         /* Pillow needs LOAD_TRUNCATED_IMAGES */\n"
            "    const char *plain;   /* SHA-256 of convert('RGB') */\n"
            "    const char *upright; /* of exif_transpose and convert('RGB') */\n"
            "} image_files[] = {\n" + "\n".join(lines) + "\n};\n"
        )
    print(f"{len(lines)} files, {total} bytes")


if __name__ == "__main__":
    main()
