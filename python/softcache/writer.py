"""Writes a teacher's answers for `teacher_dump import` (FORMAT.md, "Answers from elsewhere")."""
import bisect
import hashlib
import json
import os
from ctypes import byref, c_int32, c_void_p
from pathlib import Path

import numpy as np

from .cache import SPLITS, digest_file
from .errors import SoftcacheError
from .library import library, pointers
from .views import batches

FORMAT = "softcache-answers"
FORMAT_VERSION = 1
FORMS = ("fp16", "int8", "pooled", "at")
DENSE_CLASSES, TOP_K = 256, 32  # FORMAT.md, "Top-k"
BLOCK_ROWS = 4096  # parts are dealt out in blocks of so many views; no file holds views of two blocks
FILE_BYTES = 64 << 20  # a file ends when it has so many bytes
HEAD_LIMIT = 4096


class Writer:
    """Takes the answers of any teacher to the views of a cache.

        with softcache.Writer("answers", cache, teacher="my ViT") as writer:
            for batch in writer.missing(64):
                writer.write(batch, model(batch.input()))

    Then `teacher_dump import --cache CACHE --answers answers --out NEW` makes the cache.

    path: a folder; an unfinished one is continued. teacher: a name for people to read. checkpoint: a file whose SHA-256 becomes part
    of the teacher's identity. precision: what the teacher computes in, for people to read. features: what else is recorded, as for
    `teacher_dump run --feature`: "NAME", "NAME:int8", "NAME:pooled:views=2" (forms: fp16, int8, pooled, at)."""

    def __init__(self, path, cache, teacher, *, features=(), checkpoint=None, precision="unknown"):
        if not teacher or not isinstance(teacher, str):
            raise SoftcacheError("the teacher needs a name, such as teacher='vit_base_patch16_224 of timm'")
        self.path, self.cache = Path(path), cache
        self._features = [parse_feature(text, cache.views) for text in features]
        self._identity = self._describe(teacher, checkpoint, precision)
        self._rows = None  # the library's part, once the shapes of features are known
        self._done = {split: [] for split in cache}  # (first, end) of rows that were written, in order
        self._buffer, self._begin, self._end, self._split = [], 0, 0, None  # rows that are in no file yet
        self.path.mkdir(parents=True, exist_ok=True)
        self._text = None
        if (self.path / "answers.json").exists():
            self._resume()
        elif not self._features:
            self._begin_folder([])

    def _describe(self, teacher, checkpoint, precision):
        identity = dict(self.cache.manifest)
        digest = digest_file(checkpoint)[0] if checkpoint else hashlib.sha256(teacher.encode()).hexdigest()
        identity["teacher"] = {"file": teacher, "sha256": digest, "device": "imported", "precision": precision}
        features = [{"tensor": name, "form": form, "channels": 0, "height": 0, "width": 0, "views": views}
                    for name, form, views in self._features]
        identity["outputs"] = {"top_k": TOP_K if len(self.cache.classes) > DENSE_CLASSES else 0, "features": features}
        identity["splits"] = []
        return identity

    # ---- the folder ----
    def _begin_folder(self, shapes):
        """Writes answers.json, with the shapes [c, h, w] of the features' values."""
        for entry, (c, h, w) in zip(self._identity["outputs"]["features"], shapes):
            pooled, at = entry["form"] == "pooled", entry["form"] == "at"
            entry.update(channels=1 if at else c, height=1 if pooled else h, width=1 if pooled else w)
        answers = {"format": FORMAT, "format_version": FORMAT_VERSION, "cache": self._identity}
        text = json.dumps(answers, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"
        self._open_rows(text)
        publish(self.path / "answers.json", text)

    def _open_rows(self, text):
        handle = c_void_p()
        library().rows_open(byref(handle), text, len(text))
        self._rows, self._close_rows = handle, library().rows_close
        self._text, self._digest = text, hashlib.sha256(text).hexdigest()

    def _resume(self):
        path = self.path / "answers.json"
        text = path.read_bytes()
        try:
            stored = json.loads(text.decode("utf-8", "surrogateescape"))["cache"]
        except (ValueError, KeyError, TypeError):
            raise SoftcacheError(f"{path}: is damaged: remove the folder and start again") from None
        field = difference(without_shapes(stored), without_shapes(self._identity))
        if field:
            raise SoftcacheError(f"{path}: belongs to other answers: {field}: choose another folder, or go on with the same settings")
        self._identity = stored
        self._done = {split: [] for split in self.cache}
        self._open_rows(text)
        for file in sorted(self.path.glob("*.rows")):
            self._add_file(file)

    def _add_file(self, path):
        with path.open("rb") as file:
            line = file.readline(HEAD_LIMIT)
            size = file.seek(0, os.SEEK_END)
        try:
            head = json.loads(line)
            split, first, count = head["split"], int(head["first"]), int(head["count"])
            bytes_ = library().rows_bytes(self._rows, SPLITS.index(split), first, count)
        except (ValueError, KeyError, TypeError):
            raise SoftcacheError(f"{path}: is damaged: remove it and start again") from None
        if head.get("answers") != self._digest or size != len(line) + bytes_:
            raise SoftcacheError(f"{path}: does not belong to this answers.json, or is damaged: remove it and start again")
        self._mark(split, first, first + count)

    def _mark(self, split, first, end):
        done = self._done[split]
        at = bisect.bisect_left(done, (first, end))
        if (at > 0 and done[at - 1][1] > first) or (at < len(done) and done[at][0] < end):
            raise SoftcacheError(f"{self.path}: views {first} to {end - 1} of split {split} have been answered before")
        done.insert(at, (first, end))
        while at + 1 < len(done) and done[at][1] == done[at + 1][0]:
            done[at:at + 2] = [(done[at][0], done[at + 1][1])]
        if at > 0 and done[at - 1][1] == done[at][0]:
            done[at - 1:at + 1] = [(done[at - 1][0], done[at][1])]

    # ---- reading ----
    def _gaps(self, split, first, end):
        """Rows of [first, end) that are not written, as ranges."""
        for begin, stop in self._done[split]:
            if stop <= first:
                continue
            if begin >= end:
                break
            if begin > first:
                yield first, begin
            first = stop
        if first < end:
            yield first, end

    def _ranges(self, split, batch, part, parts):
        rows = split.samples * split.views
        for number, block in enumerate(range(0, rows, BLOCK_ROWS)):
            if number % parts != part - 1:
                continue
            for first, end in list(self._gaps(split.name, block, min(block + BLOCK_ROWS, rows))):
                yield from ((at, min(at + batch, end)) for at in range(first, end, batch))

    def missing(self, batch=64, *, part="1/1"):
        """The views that have no answer yet: an iterator of softcache.Batch. Stopped and started again, it goes on where it was.
        part: "2/4" is the second of four parts, for four processes that write into one folder."""
        try:
            number, parts = (int(word) for word in part.split("/"))
        except ValueError:
            number, parts = 0, 0
        if not 1 <= number <= parts:
            raise SoftcacheError(f"part={part!r}: must be 'I/N' with 1 <= I <= N, such as '2/4'")
        for name in self.cache:
            split = self.cache[name]
            yield from batches(split, list(self._ranges(split, batch, number, parts)), None)

    @property
    def missing_count(self):
        """How many views have no answer yet."""
        return sum(end - first for name in self.cache
                   for first, end in self._gaps(name, 0, self.cache[name].samples * self.cache[name].views))

    # ---- writing ----
    def write(self, batch, logits, features=None):
        """Adds the answers to a batch. logits: [count, classes]; log-probabilities will do, probabilities will not. features: a
        dictionary with an array [count, c, h, w] or [count, c] for every name in Writer(features=...). Arrays of numpy, PyTorch,
        TensorFlow or JAX, of any float type."""
        logits = self._check_logits(batch, as_floats(logits))
        values = self._check_features(batch, features or {})
        if self._rows is None and not (self.path / "answers.json").exists():
            self._begin_folder([value.shape[1:] for value in values])
        elif self._rows is None:  # closed, or another part has begun the folder in the meantime
            self._resume()
        shapes = (c_int32 * (3 * len(values) + 1))(*[side for value in values for side in value.shape[1:]])
        split, count, end = batch.split, len(batch), batch.first + len(batch)
        size = library().rows_bytes(self._rows, split.number, batch.first, count)
        packed = np.empty(size, dtype=np.uint8)
        library().rows_pack(self._rows, split.number, batch.first, count, logits.ctypes.data,
                            pointers([value.ctypes.data for value in values]), shapes, packed.ctypes.data)
        self._mark(split.name, batch.first, end)
        if self._buffer and (self._split != split.name or self._end != batch.first or self._end % BLOCK_ROWS == 0
                             or sum(len(piece) for piece in self._buffer) + size > FILE_BYTES):
            self.flush()
        if not self._buffer:
            self._split, self._begin = split.name, batch.first
        self._buffer.append(packed)
        self._end = end

    def _check_logits(self, batch, logits):
        if batch.split.cache is not self.cache:
            raise SoftcacheError(f"the batch is of {batch.split.cache.path}, but the writer of {self.cache.path}")
        wanted = (len(batch), len(self.cache.classes))
        if logits.shape != wanted:
            raise SoftcacheError(f"the logits have the shape {list(logits.shape)}, but must have [views of the batch, classes], "
                                 f"which is {list(wanted)}")
        if len(batch) > 1 and logits.min() >= 0 and logits.max() <= 1 and np.allclose(logits.sum(1), 1, atol=1e-3):
            raise SoftcacheError("these are probabilities, not logits: give what the last softmax gets (or the logarithm)")
        return logits

    def _check_features(self, batch, features):
        names = [name for name, _, _ in self._features]
        if set(features) != set(names) and (batch.split.name == "train" or not set(features) <= set(names)):
            raise SoftcacheError(f"the features are {sorted(features)}, but Writer(features=...) says {sorted(set(names))}")
        if batch.split.name != "train":
            if names and not (self.path / "answers.json").exists():
                raise SoftcacheError("nothing says yet how large the features are: answer a batch of the training split first")
            return []
        arrays = {name: as_floats(features[name]) for name in dict.fromkeys(names)}
        for name, array in arrays.items():
            if array.ndim == 2:
                arrays[name] = array = array[:, :, None, None]
            if array.ndim != 4 or len(array) != len(batch) or 0 in array.shape:
                raise SoftcacheError(f"the feature {name!r} has the shape {list(array.shape)}, but must have [{len(batch)}, channels, "
                                     f"height, width] or [{len(batch)}, channels]")
        return [arrays[name] for name in names]

    def flush(self):
        """Writes what was given so far to the disk."""
        if not self._buffer:
            return
        rows = b"".join(piece.tobytes() for piece in self._buffer)
        head = {"answers": self._digest, "split": self._split, "first": self._begin, "count": self._end - self._begin,
                "sha256": hashlib.sha256(rows).hexdigest()}
        publish(self.path / f"{self._split}-{self._begin:010d}.rows", json.dumps(head).encode() + b"\n" + rows)
        self._buffer = []

    def close(self):
        """Writes what is left. A closed writer can be opened again."""
        self.flush()
        if self._rows is not None:
            self._close_rows(self._rows)
            self._rows = None

    def __enter__(self):
        return self

    def __exit__(self, *what):  # after an error, too: what was answered is kept
        self.close()


def parse_feature(text, most_views):
    """NAME[:FORM][:views=N] -> (name, form, views). Names may contain colons: only known endings are taken off, each once."""
    name, form, views = text, None, None
    while ":" in name:
        rest, _, word = name.rpartition(":")
        if form is None and word in FORMS:
            form = word
        elif views is None and word.startswith("views="):
            if not word[6:].isdigit() or not 1 <= int(word[6:]) <= most_views:
                raise SoftcacheError(f"feature {text!r}: views must be a number from 1 to {most_views}, the cache's views")
            views = int(word[6:])
        else:
            break
        name = rest
    if not name:
        raise SoftcacheError(f"feature {text!r}: the name is missing")
    return name, form or "fp16", views or most_views


def as_floats(values):
    """A contiguous float32 array of an array of any framework, on any device."""
    if hasattr(values, "detach"):  # PyTorch
        values = values.detach().float().cpu()
    if hasattr(values, "numpy"):  # PyTorch, TensorFlow
        values = values.numpy()
    return np.ascontiguousarray(values, dtype=np.float32)


def without_shapes(identity):
    """What must be equal to go on: all but the shapes of features, which the first batch brings, and where the images are."""
    same = {key: value for key, value in identity.items() if key not in ("program_version", "splits")}
    same["source"] = {key: value for key, value in identity["source"].items() if key not in ("images", "path")}
    same["outputs"] = {"top_k": identity["outputs"]["top_k"],
                       "features": [[entry["tensor"], entry["form"], entry["views"]] for entry in identity["outputs"]["features"]]}
    return same


def difference(stored, wanted, place=""):
    """The first field in which two trees differ, with both values; None if they are equal."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for key in sorted(set(stored) | set(wanted)):
            found = difference(stored.get(key), wanted.get(key), f"{place}.{key}" if place else key)
            if found:
                return found
        return None
    return None if stored == wanted else f"{place} is {stored!r} there and {wanted!r} here"


def publish(path, data):
    """Writes a file that is whole or absent, whatever happens."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
