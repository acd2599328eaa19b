"""A PyTorch data set of a cache's views with what the teacher said about them."""
import numpy as np
import torch
from torch.utils import data

from .errors import SoftcacheError
from .views import normalise


class ViewDataset(data.Dataset):
    """Item i is view i % views of sample i // views, as a dictionary of tensors:

        input     [c, size, size] float32, normalised with the cache's mean and std; uint8 pixels with normalise=False
        label     int64, -1: none
        logits    [classes] float32, if the cache has a teacher
        partner_label, share    int64, float32, if views are mixed: the label has the weight share, the partner's the rest
        features    a dictionary with a [c, h, w] float32 for everything in `features` (names or indices, as given there)

    views: only the first so many views of each sample (default: all that have the features). size: of the views (default: the
    teacher's). It works with any DataLoader and its workers; batches are made in one call. Workers use one thread each.

    preload() decodes all images now; workers that are forked share them."""

    def __init__(self, cache, split="train", *, features=(), views=None, size=None, normalise=True):
        self.split = cache[split]
        self.features = {which: cache.feature(which) for which in features}
        most = min([self.split.views] + [feature.views for feature in self.features.values()])
        if features and self.split.name != "train":
            raise SoftcacheError(f"{cache.path}: split {split} has no features: only the training split has")
        if views is not None and not 1 <= views <= most:
            raise SoftcacheError(f"{cache.path}: views={views}: there are {most} views that have everything that was asked for")
        self.views = views or most
        self.size, self.normalise = size, normalise
        self.mixed = split == "train" and ("mixup(" in cache.recipe or "cutmix(" in cache.recipe)

    def __len__(self):
        return self.split.samples * self.views

    def preload(self):
        """Decodes every image, as far as they fit into the cache's memory (softcache.open(..., memory=BYTES))."""
        renderer = self.split.cache.renderer(self.size)
        for first in range(0, self.split.samples, 256):
            renderer.images(self.split, range(first, min(first + 256, self.split.samples)))
        return self

    def batch(self, indices):
        """The items of these indices as one dictionary of batched tensors."""
        if data.get_worker_info() is not None:
            self.split.cache.threads = 1
        indices = np.asarray(indices, dtype=np.int64)
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"there are {len(self)} views")
        samples, views = indices // self.views, indices % self.views
        cache, pixels = self.split.cache, self.split.pixels(samples, views, size=self.size)
        pixels = normalise(pixels, cache.mean, cache.std) if self.normalise else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        items = {"input": torch.from_numpy(pixels), "label": torch.from_numpy(self.split.labels[samples].astype(np.int64))}
        if cache.teacher:
            items["logits"] = torch.from_numpy(self.split.logits(samples, views))
        if self.mixed:
            mixing = self.split.mixing(samples, views)
            items["partner_label"] = torch.from_numpy(self.split.labels[mixing["partner"]].astype(np.int64))
            items["share"] = torch.from_numpy(mixing["share"].astype(np.float32))
        if self.features:
            items["features"] = {which: torch.from_numpy(self.split.feature(feature, samples, views))
                                 for which, feature in self.features.items()}
        return items

    def __getitem__(self, index):
        return self.__getitems__([index])[0]

    def __getitems__(self, indices):  # what DataLoader asks for, since PyTorch 2.0
        batch = self.batch(indices)
        return [take(batch, k) for k in range(len(indices))]


def take(values, k):
    return {name: take(value, k) for name, value in values.items()} if isinstance(values, dict) else values[k]


class OneViewSampler(data.Sampler):
    """An epoch has every sample once, in a random order, with one of its views: a student's usual epoch. A sample's views take turns
    from epoch to epoch."""

    def __init__(self, dataset, seed=1):
        self.dataset, self.seed, self.epoch = dataset, seed, 0

    def __len__(self):
        return self.dataset.split.samples

    def __iter__(self):
        views, generator = self.dataset.views, np.random.default_rng([self.seed, self.epoch])
        first = np.random.default_rng(self.seed).integers(views, size=len(self))  # the view of each sample in epoch 0
        order = generator.permutation(len(self))
        yield from (order * views + (first[order] + self.epoch) % views).tolist()
        self.epoch += 1
