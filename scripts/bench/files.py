"""Rows on images and files of a cache: JPEG photos decoded and resized to base images, views rendered, shards written and read. Ours is
tests/bench_cache.c, which calls what the programs call; the peers are in pytorch_photos.py and python_shards.py."""
import sys

from .measure import Row, Subject, Worker, output_of

# Shards with something to compress: the last map of a small teacher, in 8 bits.
SHARD_TEACHER = "tests/golden/onnx_models/mobilenet_v2.onnx"
SHARD_FEATURE = "/features/features.18/features.18.2/Clip_output_0:int8"


class Files(Subject):
    """`script` answers KEY FORM for what bench_cache answers KEY for."""
    teacher, script, keys = "none", "", {}

    def __init__(self, options, photos, folder):
        super().__init__(options)
        self.rows = {key: Row(name) for key, name in self.keys.items()}
        self.photos, self.cache, self.work = photos, f"{folder}/{self.name}-cache", f"{folder}/{self.name}-work"
        self.bench, self.peer = None, None

    def dump_options(self):
        return ["--teacher", "none", "--size", str(self.options.size)]

    def open(self):
        output_of(["mkdir", "-p", self.work])
        output_of([f"{self.options.build}/teacher_dump", "run", "--data", self.photos, "--views", str(self.options.views), "--augment",
                   "food11-strong", "--device", "cpu", "--out", self.cache, "--quiet", *self.dump_options()])
        shared = ["--seconds", str(self.options.seconds), "--threads", str(self.options.threads)]
        self.bench = Worker([f"{self.options.build}/tests/bench_cache", "--cache", self.cache, "--work", self.work, "--size",
                             str(self.options.size), *shared])
        if self.forms:
            self.peer = Worker([sys.executable, f"scripts/bench/{self.script}", "--cache", self.cache, "--photos", self.photos, "--work",
                                self.work, "--plugins", f"{self.options.build}/plugins", *shared])

    def close(self):
        for worker in (self.bench, self.peer):
            if worker:
                worker.close()

    def ours(self):
        return {key: self.rate(self.bench.ask(key)) for key in self.rows}

    def theirs(self, form):
        answers = ((key, self.peer.ask(f"{key} {form}")) for key in self.rows)
        return {key: self.rate(answer) for key, answer in answers if answer}


class Photos(Files):
    name, script, needs = "photos", "pytorch_photos.py", ("torch", "torchvision", "PIL")
    keys = {"decode": "JPEG decoded, resized to the base image", "render": "views rendered from base images, normalised"}
    forms = ["PIL", "tensors"]
    installed = ("PIL",)


class Shards(Files):
    name, script, needs = "shards", "python_shards.py", ("torch", "h5py")
    keys = {"write": "a shard written, verified", "read": "a shard read, verified"}
    forms = ["torch", "torch verified", "h5py verified", "h5py-gzip verified", "h5py-zstd verified"]
    installed = unequal = ("torch",)

    def dump_options(self):
        return ["--teacher", SHARD_TEACHER, "--feature", SHARD_FEATURE, "--teacher-check", "off"]
