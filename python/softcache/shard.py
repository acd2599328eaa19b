"""The data sets of a shard. The C code reads them: a shard may come from anybody, and it checks every place before it uses it."""
import ctypes
import os

import numpy as np

from .library import Data, library

TYPES = ("u1", "i1", "<u2", "<i4", "<u4", "<u8", "<f2", "<f4", "S{}")  # enum shard_type of formats/cache/shard.h


class Shards:
    """Opens the shards of a cache, and keeps the last ones open."""
    KEPT = 64

    def __init__(self, path):
        self._path = os.fsencode(path)
        self._cache = None
        self._open = {}

    def get(self, split, shard):
        key = (split, shard)
        if key not in self._open:
            if self._cache is None:
                cache = ctypes.c_void_p()
                library().cache_open(cache, self._path)
                self._cache = cache
            if len(self._open) >= self.KEPT:
                self._open.pop(next(iter(self._open)))
            self._open[key] = Shard(self._cache, split, shard)
        return self._open[key]

    def __del__(self):
        if self._cache:
            library().cache_close(self._cache)


class Shard:
    def __init__(self, cache, split, shard):
        self._library, self._handle = library(), ctypes.c_void_p()
        self._library.shard_open(self._handle, cache, split, shard)

    def __del__(self):
        if self._handle:
            self._library.shard_close(self._handle)

    def describe(self, name):
        """Type and shape of a data set, and where its first byte is in the file (-1: it is compressed)."""
        data = Data()
        self._library.shard_data(self._handle, name.encode(), data)
        return np.dtype(TYPES[data.type].format(data.item)), tuple(data.dims[:data.rank]), data.offset

    def rows(self, name, rows=None):
        """These rows of a data set, which must increase; None: all."""
        dtype, shape, _ = self.describe(name)
        rows = np.ascontiguousarray(np.arange(shape[0]) if rows is None else rows, dtype=np.int64)
        out = np.empty((len(rows),) + shape[1:], dtype=dtype)
        self._library.shard_rows(self._handle, name.encode(), rows.ctypes.data, len(rows), out.ctypes.data)
        return out
