"""A cache as arrays (FORMAT.md in softcache's root folder)."""
import hashlib
import json
import os
from collections import namedtuple
from pathlib import Path

import numpy as np

from .errors import SoftcacheError
from .images import Images
from .memory import Memory
from .shard import Shards
from .views import Renderer, batches

SPLITS = ("train", "val", "test")
FORMAT_VERSIONS = (1, 2, 3)

Feature = namedtuple("Feature", "index name form shape views")
Feature.__doc__ = """A recorded tensor of the teacher: its index in the cache, the teacher's name for it, the form in which it is stored
(fp16, int8, pooled, at), its stored shape (channels, height, width), and how many of the first views of a sample have it."""


def open(path, *, data=None, memory=2 << 30, threads=0, verify=False):  # softcache.open, like gzip.open
    """Opens a finished cache.

    data: where the photos of a cache with linked images are now, if not where they were.
    memory: bytes of arrays and decoded images that may be kept, in each process. threads: for decoding and rendering; 0: all
    processors. verify: check size and SHA-256 of every shard first."""
    cache = Cache(path, data=data, memory=memory, threads=threads)
    if verify:
        cache.verify()
    return cache


class Cache:
    """Use softcache.open. cache["train"] is a split; iterating gives the names of the splits."""

    def __init__(self, path, *, data=None, memory=2 << 30, threads=0):
        self.path = Path(path)
        self.threads = threads
        self._arguments = {"data": data, "memory": memory, "threads": threads}
        self._memory = Memory(memory)
        self._renderers = {}
        self._shards = Shards(self.path)
        self.manifest_text = self._read_manifest()
        try:
            self.manifest = json.loads(self.manifest_text.decode("utf-8", "surrogateescape"))
            stated = self.manifest["format"], self.manifest["format_version"]
            if stated[0] != "softcache" or stated[1] not in FORMAT_VERSIONS:
                raise SoftcacheError(f"{self.path / 'cache.json'}: is {stated[0]!r} of version {stated[1]!r}, but this package reads "
                                     f"'softcache' of the versions 1 to {FORMAT_VERSIONS[-1]}")
            self._take(self.manifest, data)
        except (ValueError, KeyError, TypeError) as error:
            raise SoftcacheError(f"{self.path / 'cache.json'}: is damaged ({type(error).__name__}: {error}): copy it again, or make the "
                                 "cache again") from None

    def _take(self, manifest, data):
        augmentation, preprocessing, outputs = manifest["augmentation"], manifest["preprocessing"], manifest["outputs"]
        self.classes = manifest["classes"]
        self.teacher = manifest["teacher"]  # None, or file, sha256, device, precision
        self.recipe, self.seed, self.views = augmentation["recipe"], int(augmentation["seed"]), augmentation["views"]
        self.size, self.mean, self.std = preprocessing["size"], preprocessing["mean"], preprocessing["std"]
        self.channels = manifest["source"]["channels"]
        self.top_k = outputs["top_k"]
        self.features = tuple(Feature(i, entry["tensor"], entry["form"], (entry["channels"], entry["height"], entry["width"]),
                                      entry["views"]) for i, entry in enumerate(outputs["features"]))
        self.images = Images(self, data)
        self._splits = {entry["split"]: Split(self, entry) for entry in manifest["splits"]}

    def _read_manifest(self):
        try:
            return (self.path / "cache.json").read_bytes()
        except FileNotFoundError:
            why = "is not a cache: there is no such folder"
            if (self.path / "partial").is_dir():
                why = "is an unfinished cache: run the same `teacher_dump` command again to finish it"
            elif self.path.is_dir():
                why = "is not a cache: cache.json is missing"
            raise SoftcacheError(f"{self.path}: {why}") from None

    # A worker of a DataLoader that is spawned, not forked, opens the cache again.
    def __getstate__(self):
        return {"path": self.path, **self._arguments}

    def __setstate__(self, state):
        self.__init__(state.pop("path"), **state)

    def __iter__(self):
        return iter(self._splits)

    def __contains__(self, split):
        return split in self._splits

    def __getitem__(self, split):
        if split not in self._splits:
            raise SoftcacheError(f"{self.path}: has no split {split!r}, but {', '.join(self._splits)}")
        return self._splits[split]

    def __repr__(self):
        sizes = ", ".join(f"{split.name} {len(split)}x{split.views}" for split in self._splits.values())
        teacher = self.teacher["file"] if self.teacher else "none"
        return f"<softcache.Cache {self.path}: {sizes}, {len(self.classes)} classes, teacher {teacher}>"

    def feature(self, which):
        """The Feature with this index, or with this name (the first one, if the cache has it in several forms)."""
        for feature in self.features:
            if which in (feature, feature.index, feature.name):
                return feature
        names = ", ".join(repr(feature.name) for feature in self.features) or "none"
        raise SoftcacheError(f"{self.path}: has no feature {which!r}: it has {names}")

    def renderer(self, size=None):
        """Makes views at size x size pixels (default: the teacher's size); the geometry is the same at every size."""
        key = (size or self.size, self.threads)
        if key not in self._renderers:
            self._renderers[key] = Renderer(self, *key)
        return self._renderers[key]

    def verify(self):
        """Checks size and SHA-256 of every shard. SoftcacheError names the first that is damaged."""
        for split in self._splits.values():
            for shard in split.shards:
                path = self.path / shard["file"]
                digest, size = digest_file(path)
                if size != shard["bytes"] or digest != shard["sha256"]:
                    raise SoftcacheError(f"{path}: is damaged (size or SHA-256 is not the manifest's): copy it again, or run "
                                         "teacher_dump again to repair it")

    def batches(self, batch=64, *, size=None):
        """All stored views, split by split, in the order of samples and views: an iterator of Batch."""
        for split in self._splits.values():
            yield from split.batches(batch, size=size)


class Split:
    """Samples 0, 1, ... of a split and their stored views: the augmented ones in "train", the evaluation view in the others.

    Wherever samples and views are given, they may be numbers or arrays, which are broadcast as in numpy: pixels(3, range(8)) are
    eight views of sample 3."""

    def __init__(self, cache, entry):
        self.cache = cache
        self.name = entry["split"]
        self.number = SPLITS.index(self.name)
        self.samples, self.views, self.shards = entry["samples"], entry["views"], entry["shards"]
        self.starts = np.array([shard["first"] for shard in self.shards], dtype=np.int64)
        self._whole = {}

    def __len__(self):
        return self.samples

    def __repr__(self):
        return f"<softcache.Split {self.name} of {self.cache.path}: {self.samples} samples, {self.views} views>"

    # ---- what is stored ----
    def shard_path(self, shard):
        return self.cache.path / self.shards[shard]["file"]

    def stored(self, name, samples):
        """Rows of a data set as it is in the shards, for a flat array of samples."""
        samples = np.asarray(samples, dtype=np.int64)
        self._check("sample", samples, self.samples)
        where = np.searchsorted(self.starts, samples, side="right") - 1
        out = None
        for shard in np.unique(where):
            chosen = where == shard
            rows = self._read(name, int(shard), samples[chosen] - self.starts[shard])
            if out is None:
                out = np.empty((len(samples),) + rows.shape[1:], dtype=rows.dtype)
            out[chosen] = rows
        return out if out is not None else self._read(name, 0, samples)

    def block(self, name, shard):
        """A whole data set of a shard; None if it is too large to be kept."""
        key = (self.name, shard, name)
        array = self.cache._memory.get(key)
        if array is None:
            file = self.opened(shard)
            dtype, shape, _ = file.describe(name)
            if int(np.prod(shape)) * dtype.itemsize > self.cache._memory.budget // 8:
                return None
            array = file.rows(name)
            self.cache._memory.put(key, array, array.nbytes)
        return array

    def _read(self, name, shard, rows):
        array = self.block(name, shard)
        if array is not None:
            return array[rows]
        order, back = np.unique(rows, return_inverse=True)  # a chunk is decompressed once
        return self.opened(shard).rows(name, order)[back]

    def opened(self, shard):
        return self.cache._shards.get(self.number, shard)

    @staticmethod
    def _check(what, numbers, count):
        if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
            bad = numbers[(numbers < 0) | (numbers >= count)].flat[0]
            raise IndexError(f"there is no {what} {bad}: there are {count}")

    def _all(self, name):
        if name not in self._whole:
            self._whole[name] = self.stored(name, np.arange(self.samples))
        return self._whole[name]

    # ---- samples ----
    @property
    def ids(self):
        """[samples] uint32: the index of each sample in the data set's split. Views are a function of it."""
        return self._all("ids")

    @property
    def labels(self):
        """[samples] int32: the class, -1: none."""
        return self._all("labels")

    @property
    def names(self):
        """Path below the data folder of every sample."""
        if "list" not in self._whole:
            self._whole["list"] = [os.fsdecode(name) for name in self._all("names")]
        return self._whole["list"]

    def image(self, sample):
        """The stored image: the bytes of the JPEG file, or [h, w, channels] uint8 of a raw data set. A linked file is checked."""
        self._check("sample", np.asarray(sample), self.samples)
        return self.cache.images.read(self, int(sample))

    def base_image(self, sample):
        """[h, w, channels] uint8: decoded, with its short side resized. Every view is made from it."""
        self._check("sample", np.asarray(sample), self.samples)
        return self.cache.renderer().images(self, [int(sample)])[0].base()

    # ---- what the teacher said ----
    def _pairs(self, samples, views, view_count):
        """Flat samples, flat views (None: all) and the shape that they stand for."""
        samples = np.arange(self.samples) if samples is None else np.asarray(samples, dtype=np.int64)
        if views is None:
            return samples.ravel(), None, samples.shape
        samples, views = np.broadcast_arrays(samples, np.asarray(views, dtype=np.int64))
        self._check("view", views, view_count)
        return samples.ravel(), views.ravel(), samples.shape

    def _rows(self, name, pairs):
        samples, views, _ = pairs
        rows = self.stored(name, samples)
        return rows if views is None else rows[np.arange(len(rows)), views]

    def logits(self, samples=None, views=None):
        """[..., classes] float32, or [..., views, classes] if views is None. In caches of more than 256 classes, every class that is
        not stored has the one value that stands for them (FORMAT.md, "Top-k")."""
        if not self.cache.teacher:
            raise SoftcacheError(f"{self.cache.path}: has no teacher, so no logits")
        pairs = self._pairs(samples, views, self.views)
        stored = self._rows("logits", pairs).astype(np.float32)
        if self.cache.top_k:
            dense = np.empty(stored.shape[:-1] + (len(self.cache.classes),), dtype=np.float32)
            dense[...] = stored[..., -1:]
            np.put_along_axis(dense, self._rows("top_classes", pairs).astype(np.int64), stored[..., :-1], axis=-1)
            stored = dense
        return stored.reshape(pairs[2] + stored.shape[1:])

    def feature(self, which, samples=None, views=None):
        """[..., c, h, w] float32 of a feature (its name, index, or Feature), or [..., views, c, h, w] if views is None. Only the
        training split has features, and only the first feature.views views of a sample."""
        feature = self.cache.feature(which)
        if self.name != "train":
            raise SoftcacheError(f"{self.cache.path}: split {self.name} has no features: only the training split has")
        pairs = self._pairs(samples, views, feature.views)
        values = self._rows(f"feature_{feature.index}", pairs).astype(np.float32)
        if feature.form == "int8":
            values *= self._rows(f"feature_{feature.index}_scales", pairs)[..., None, None]
        return values.reshape(pairs[2] + values.shape[1:])

    # ---- views ----
    def _chosen(self, samples, views):
        if views is None:  # all of them
            samples, views = np.asarray(samples)[..., None], np.arange(self.views)
        samples, views, shape = self._pairs(samples, views, self.views)
        self._check("sample", samples, self.samples)
        return samples, views, shape

    def pixels(self, samples, views=None, *, size=None):
        """[..., size, size, channels] uint8, or [..., views, size, size, channels] if views is None: the pixels that the teacher saw,
        bit for bit. Another size than the teacher's is the same geometry on another grid."""
        samples, views, shape = self._chosen(samples, views)
        pixels = self.cache.renderer(size).render(self, samples, views)
        return pixels.reshape(shape + pixels.shape[1:])

    def mixing(self, samples, views=None):
        """How views are mixed (mixup, cutmix), as arrays: partner (the other sample; the same if nothing is mixed) and share (of the
        sample itself, also for its label)."""
        samples, views, shape = self._chosen(samples, views)
        mixes = self.cache.renderer().mix(self, samples, views)
        return {"partner": mixes["partner"].reshape(shape), "share": (mixes["share"] / 65536).reshape(shape)}

    def batches(self, batch=64, *, size=None, rows=None):
        """All stored views in the order of samples and views: an iterator of Batch. rows: (first, end) of them only, where row r is
        view r % views of sample r // views."""
        first, end = rows or (0, self.samples * self.views)
        return batches(self, [(at, min(at + batch, end)) for at in range(first, end, batch)], size)


def digest_file(path):
    digest, size = hashlib.sha256(), 0
    try:
        with Path(path).open("rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise SoftcacheError(f"{path}: cannot be read: {os.strerror(error.errno)}") from None
    return digest.hexdigest(), size
