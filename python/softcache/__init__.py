"""Reads the caches of softcache, makes their views pixel for pixel, and writes the answers of any teacher for them.

    cache = softcache.open("cache")
    train = cache["train"]
    train.labels, train.names, train.logits([0, 5]), train.pixels(3, [0, 1])

`softcache.Writer` takes the logits of a teacher to `teacher_dump import`; `softcache.torch` has a PyTorch data set.
"""
from .cache import Cache, Feature, Split, open
from .errors import SoftcacheError
from .views import Batch
from .writer import Writer

__all__ = ["Batch", "Cache", "Feature", "SoftcacheError", "Split", "Writer", "open"]
__version__ = "0.1.0"
