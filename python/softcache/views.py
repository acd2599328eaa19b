"""The pixels of views, made by the C code that makes them for teacher_dump and student_train."""
import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from ctypes import byref, c_char_p, c_int32, c_size_t, c_void_p
from threading import Lock

import numpy as np

from .library import Choice, library, pointers

MIX = np.dtype([("kind", np.int32), ("share", np.int32), ("x", np.int32), ("y", np.int32), ("w", np.int32), ("h", np.int32),
                ("partner", np.uint32)])


class PreparedImage:
    """A decoded image and its reductions, in memory of the library."""

    def __init__(self, handle):
        self.handle = handle
        self.bytes = library().image_bytes(handle)
        self._free = library().image_free

    def __del__(self):
        self._free(self.handle)

    def base(self):
        shape = (c_int32 * 3)()
        address = library().image_base(self.handle, shape)
        count = shape[0] * shape[1] * shape[2]
        return np.frombuffer(ctypes.string_at(address, count), dtype=np.uint8).reshape(tuple(shape)).copy()


class Renderer:
    """Makes views of one size. Threads may share it; after a fork it opens the library's part again, which has threads."""

    def __init__(self, cache, size, threads):
        self._cache, self._size, self._threads = cache, size, threads
        self._handle, self._process, self._close = None, None, library().views_close
        self._lock = Lock()
        self._open()

    def _open(self):
        if self._process == os.getpid():
            return self._handle
        handle, text = c_void_p(), self._cache.manifest_text
        library().views_open(byref(handle), text, len(text), self._size, self._threads)
        self._handle, self._process = handle, os.getpid()
        return handle

    def __del__(self):
        if self._process == os.getpid():
            self._close(self._handle)

    def images(self, split, samples):
        """PreparedImages of samples (in any order, with repetitions), decoded if they are not in memory."""
        memory = self._cache._memory
        found = {sample: memory.get((split.name, "image", sample)) for sample in dict.fromkeys(samples)}
        missing = [sample for sample, image in found.items() if image is None]
        for sample, image in zip(missing, self._decode(split, missing)):
            memory.put((split.name, "image", sample), image, image.bytes)
            found[sample] = image
        return [found[sample] for sample in samples]

    def _decode(self, split, samples):
        if not samples:
            return []
        stored = [np.frombuffer(image, dtype=np.uint8) if isinstance(image, bytes) else np.ascontiguousarray(image)
                  for image in (self._cache.images.read(split, sample) for sample in samples)]
        names = (c_char_p * len(samples))(*split.stored("names", samples).tolist())
        sizes = (c_size_t * len(samples))(*[image.nbytes for image in stored])
        handles = (c_void_p * len(samples))()
        try:
            with self._lock:
                library().images_make(self._open(), len(samples), pointers([image.ctypes.data for image in stored]), sizes, names,
                                      handles)
        finally:
            images = [PreparedImage(handle) for handle in handles if handle]
        return images

    @staticmethod
    def _choice(split, samples, views):
        samples = np.ascontiguousarray(samples, dtype=np.uint32)
        views = np.ascontiguousarray(views, dtype=np.int32)
        ids = np.ascontiguousarray(split.ids[samples], dtype=np.uint32)
        choice = Choice(split.number, len(samples), samples.ctypes.data, ids.ctypes.data, views.ctypes.data)
        choice.arrays = samples, ids, views  # they live as long as the choice
        return choice

    def mix(self, split, samples, views):
        """Array of MIX for flat arrays of samples and views."""
        mixes = np.empty(len(samples), dtype=MIX)
        with self._lock:
            library().views_mix(self._open(), byref(self._choice(split, samples, views)), mixes.ctypes.data)
        return mixes

    def render(self, split, samples, views):
        """[count, size, size, channels] uint8 for flat arrays of samples and views."""
        choice = self._choice(split, samples, views)
        samples = choice.arrays[0]
        partners = self.mix(split, samples, views)["partner"]
        mixed = partners != samples
        images = self.images(split, samples.tolist() + partners[mixed].tolist())
        others = np.zeros(len(samples), dtype=object)
        others[mixed] = [image.handle for image in images[len(samples):]]
        ids = np.ascontiguousarray(split.ids[partners], dtype=np.uint32)
        pixels = np.empty((len(samples), self._size, self._size, self._cache.channels), dtype=np.uint8)
        with self._lock:
            library().views_render(self._open(), byref(choice), pointers([image.handle for image in images[:len(samples)]]),
                                   ids.ctypes.data, pointers([other or None for other in others]), pixels.ctypes.data)
        return pixels

    def describe(self, split, sample, view):
        """The parameters of a view as text, as `teacher_dump inspect --views` prints them."""
        text = ctypes.create_string_buffer(2048)
        image = self.images(split, [sample])[0]
        with self._lock:
            library().views_describe(self._open(), byref(self._choice(split, [sample], [view])), 0, image.handle, text, len(text))
        return text.value.decode()


class Batch:
    """Consecutive stored views of a split.

    pixels: [count, size, size, channels] uint8. samples, views: [count], which view of which sample each one is. labels: [count] of
    the samples, -1: none. first: the row of the first one; row r is view r % split.views of sample r // split.views."""

    def __init__(self, split, first, end, size):
        rows = np.arange(first, end)
        self.split, self.first = split, first
        self.samples, self.views = rows // split.views, rows % split.views
        self.pixels = split.cache.renderer(size).render(split, self.samples, self.views)

    def __len__(self):
        return len(self.samples)

    @property
    def labels(self):
        return self.split.labels[self.samples]

    def input(self, mean=None, std=None, layout="NCHW"):
        """float32 (pixel / 255 - mean) / std, for the teacher: [count, channels, size, size], or layout="NHWC". mean and std of your
        teacher, a number per channel; default: the cache's."""
        return normalise(self.pixels, self.split.cache.mean if mean is None else mean, self.split.cache.std if std is None else std, layout)


def normalise(pixels, mean, std, layout="NCHW"):
    if layout not in ("NCHW", "NHWC"):
        raise ValueError(f"layout is {layout!r}: it must be NCHW or NHWC")
    count, height, width, channels = pixels.shape
    out = np.empty((count, channels, height, width) if layout == "NCHW" else pixels.shape, dtype=np.float32)
    for c in range(channels):
        plane = out[:, c] if layout == "NCHW" else out[..., c]
        plane[...] = pixels[..., c]
        plane /= np.float32(255)
        plane -= np.float32(mean[c])
        plane /= np.float32(std[c])
    return out


def batches(split, ranges, size):
    """Batches of rows [first, end); the next one is made while the caller works on the last."""
    with ThreadPoolExecutor(1) as ahead:
        pending = None
        for first, end in ranges:
            following = ahead.submit(Batch, split, first, end, size)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()
