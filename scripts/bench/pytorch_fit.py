#!/usr/bin/env python3
"""A student's training in PyTorch as people write it, for scripts/bench/fits.py.

    pytorch_fit.py --photos PHOTOS --student STUDENT.py --form "PIL eager nchw" --started SECONDS [--teacher resnet18] [--threads N]
                   [--size 224] [--base 256] [--batch 64]

With --teacher (a name of torchvision, random weights) every epoch decodes the photos, augments them and asks the teacher. Without it the base
images are decoded once, into memory, and the teacher's logits are there: each step reads them. Augmentation is the recipe food11-strong by
torchvision's transforms, of PIL's images or of tensors; with more than one thread a DataLoader has as many workers.
Prints one line of JSON: seconds and processor seconds from --started (of time.time) to the first step, and of an epoch after the first step;
the peak memory of this process, without the workers'.
"""
import argparse
import glob
import json
import os
import resource
import time

import torch
import torch.nn.functional as F
import torchvision

import pytorch_photos
import pytorch_steps


class Photos(torch.utils.data.Dataset):
    """(view, label, index)"""

    def __init__(self, options, form):
        self.paths = sorted(glob.glob(f"{options.photos}/train/*/*.jpg"))
        names = sorted({os.path.dirname(path) for path in self.paths})
        self.labels = [names.index(os.path.dirname(path)) for path in self.paths]
        self.classes, self.form = len(names), form
        self.transform = pytorch_photos.food11_strong(options.size, form)
        self.images = None if options.teacher else [pytorch_photos.decode(path, options.base, form) for path in self.paths]

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        image = self.images[i] if self.images else pytorch_photos.decode(self.paths[i], 0, self.form)
        return self.transform(image), self.labels[i], i


class Training:
    def __init__(self, options):
        pictures, kind, layout = options.form.split()
        self.photos = Photos(options, pictures)
        workers = {"num_workers": options.threads, "persistent_workers": True} if options.threads > 1 else {}
        self.loader = torch.utils.data.DataLoader(self.photos, batch_size=options.batch, shuffle=True, **workers)
        self.layout = torch.channels_last if layout == "nhwc" else torch.contiguous_format
        self.student = pytorch_steps.load_student(options.student).to(memory_format=self.layout).train()
        self.network = torch.compile(self.student) if kind == "compiled" else self.student
        self.optimizer = torch.optim.Adam(self.student.parameters(), lr=1e-3, weight_decay=1e-5)
        self.cached, self.teacher = torch.randn(len(self.photos), self.photos.classes), None
        if options.teacher:
            teacher = getattr(torchvision.models, options.teacher)(weights=None, num_classes=self.photos.classes)
            self.teacher = teacher.to(memory_format=self.layout).eval()

    def step(self, images, labels, numbers):
        images, temperature = images.to(memory_format=self.layout), 4.0
        if self.teacher:
            with torch.inference_mode():
                answers = self.teacher(images).clone()
        else:
            answers = self.cached[numbers]
        logits = self.network(images)
        soft = F.kl_div(F.log_softmax(logits / temperature, 1), F.softmax(answers / temperature, 1), reduction="batchmean")
        loss = 0.5 * F.cross_entropy(logits, labels) + 0.5 * temperature ** 2 * soft
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 10)
        self.optimizer.step()

    def epoch(self, limit=None):
        for number, batch in enumerate(self.loader):
            if number == limit:
                break
            self.step(*batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", required=True)
    parser.add_argument("--student", required=True)
    parser.add_argument("--form", required=True)
    parser.add_argument("--started", type=float, required=True)
    parser.add_argument("--teacher")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--base", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    training = Training(options)
    start = time.time() - options.started, time.process_time()
    training.epoch(limit=1)
    before = time.perf_counter(), time.process_time()
    training.epoch()
    epoch = time.perf_counter() - before[0], time.process_time() - before[1]
    print(json.dumps({"start": start, "epoch": epoch, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
