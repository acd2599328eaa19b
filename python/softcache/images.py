"""Stored images: the image files and raw images in the shards, or the files that they refer to."""
import hashlib
import os
from pathlib import Path

import numpy as np

from .errors import SoftcacheError


class Images:
    def __init__(self, cache, data=None):
        source = cache.manifest["source"]
        self._embedded = source["images"] == "embed"
        self._raw = source["encoding"] == "raw"
        self._folder = Path(data if data is not None else source["path"])
        self._maps = {}  # (split, shard): the file's bytes, mapped; where images begin in it; their offsets

    def read(self, split, sample):
        """bytes of an image file, or an array [h, w, channels] of a raw set."""
        if not self._embedded:
            return self._linked(split, sample)
        shard = int(np.searchsorted(split.starts, sample, side="right")) - 1
        row = sample - int(split.starts[shard])
        if self._raw:
            return split.stored("images", [sample])[0]
        file, begin, offsets = self._map(split, shard)
        return file[begin + int(offsets[row]):begin + int(offsets[row + 1])].tobytes()

    def _map(self, split, shard):
        # The images of a shard are one contiguous, unfiltered piece of its file: no other part of it has to be read.
        key = (split.name, shard)
        if key not in self._maps:
            path = split.shard_path(shard)
            file = split.opened(shard)
            _, (size,), begin = file.describe("images")
            offsets = file.rows("image_offsets")
            if offsets[0] != 0 or offsets[-1] != size or np.any(np.diff(offsets.astype(np.int64)) <= 0):
                raise SoftcacheError(f"{path}: data set image_offsets does not fit the images")
            self._maps[key] = np.memmap(path, dtype=np.uint8, mode="r"), begin, offsets
        return self._maps[key]

    def _linked(self, split, sample):
        name = os.fsdecode(split.stored("names", [sample])[0])
        if name.startswith("/") or ".." in name.split("/"):
            raise SoftcacheError(f"{name}: the name points outside the data folder")
        path = self._folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SoftcacheError(f"{path}: cannot be read ({error.strerror}); if the photos have moved, pass "
                                 "softcache.open(..., data=FOLDER)") from None
        size, digest = split.stored("link_sizes", [sample])[0], split.stored("link_sha256", [sample])[0]
        if len(data) != size or hashlib.sha256(data).digest() != digest.tobytes():
            raise SoftcacheError(f"{path}: is not the file that the teacher saw: restore it, or make the cache again")
        return data
