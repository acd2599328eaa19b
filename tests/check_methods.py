"""student_train against PyTorch on terms that compare features: makes a small grayscale data set, a teacher and a cache
with features, trains by the program, and again by a PyTorch loop over the cache's own contents. Prints one line a loss;
part of tests/test_methods_pytorch.sh. usage: check_methods.py BUILD FOLDER"""
import csv
import glob
import os
import struct
import subprocess
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

CLASSES, SAMPLES, BATCH, EPOCHS = 4, 176, 32, 3  # the last batch is half full
TOLERANCE = 2e-4  # of losses, and of weights relative to a tensor's largest; Adam's first steps multiply rounding

TEACHER = "conv t1 12 3x3 /2 pad 1\nbn\nrelu\nconv t2 8 3x3 /2 pad 1\nbn\nrelu\ngap\nfc fc classes\n"
STUDENT = "conv b1 6 3x3 /2 pad 1 nobias\nbn\nrelu\nconv b2 8 3x3 /2 pad 1 nobias\nbn\nrelu\ngap\nfc fc classes\n"


def run(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stdout}")


def write_idx(folder):
    rng = np.random.default_rng(3)
    for name, count in (("train", SAMPLES), ("t10k", 32)):
        labels = np.arange(count) % CLASSES
        images = rng.integers(0, 120, (count, 28, 28)) + (labels * 40)[:, None, None] * (np.arange(28) % (2 + labels[:, None]) == 0)[:, None, :]
        images = images.clip(0, 255).astype(np.uint8)
        with open(f"{folder}/{name}-images-idx3-ubyte", "wb") as f:
            f.write(struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes())
        with open(f"{folder}/{name}-labels-idx1-ubyte", "wb") as f:
            f.write(struct.pack(">II", 0x801, count) + labels.astype(np.uint8).tobytes())


class Student(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.b1 = torch.nn.Conv2d(1, 6, 3, 2, 1, bias=False)
        self.b1_bn = torch.nn.BatchNorm2d(6)
        self.b2 = torch.nn.Conv2d(6, 8, 3, 2, 1, bias=False)
        self.b2_bn = torch.nn.BatchNorm2d(8)
        self.fc = torch.nn.Linear(8, CLASSES)

    def forward(self, x):
        values = {"b1_relu": F.relu(self.b1_bn(self.b1(x)))}
        values["b2_relu"] = F.relu(self.b2_bn(self.b2(values["b1_relu"])))
        values["b2_gap"] = values["b2_relu"].mean((2, 3))
        values["logits"] = self.fc(values["b2_gap"])
        return values


# ---- the papers' formulas ----
def distances(x):
    squared = (x.pow(2).sum(1, keepdim=True) + x.pow(2).sum(1) - 2 * x @ x.t()).clamp(min=1e-12)
    return squared.sqrt() * (1 - torch.eye(len(x), dtype=x.dtype))


def rkd_distance(s, t):
    d, e = distances(s), distances(t)
    return F.smooth_l1_loss(d / d[d > 0].mean(), e / e[e > 0].mean())


def rkd_angle(s, t):
    def angles(x):
        e = F.normalize(x.unsqueeze(0) - x.unsqueeze(1), p=2, dim=2)
        return torch.bmm(e, e.transpose(1, 2))

    return F.smooth_l1_loss(angles(s), angles(t))


def dm(s, t):
    return F.mse_loss(distances(s), distances(t))


def attention(f):
    return F.normalize(f.pow(2).mean(1).flatten(1))


def at(s, t):
    return (attention(F.adaptive_avg_pool2d(s, t.shape[2:])) - attention(t)).pow(2).mean()


def similarity(s, t):
    s, t = s.flatten(1), t.flatten(1)
    return (F.normalize(s @ s.t()) - F.normalize(t @ t.t())).pow(2).sum() / len(s) ** 2


def pkt(s, t):
    def probabilities(x):
        x = x / (x.norm(dim=1, keepdim=True) + 1e-7)
        x = (x @ x.t() + 1) / 2
        return x / x.sum(1, keepdim=True)

    p, q = probabilities(t), probabilities(s)
    return (p * torch.log((p + 1e-7) / (q + 1e-7))).mean()


def cosine(s, t):
    return (1 - F.cosine_similarity(s, t)).mean()


LOSSES = [  # the expression, and the same as (weight, function, student's value, teacher's value)
    ("ce + 25*rkd_distance(student=b2_gap, teacher=t2_gap) + 50*rkd_angle(student=b2_gap, teacher=t2_gap)",
     [(25, rkd_distance, "b2_gap", "t2_gap"), (50, rkd_angle, "b2_gap", "t2_gap")]),
    ("ce + 500*at(student=[b1_relu, b2_relu], teacher=[t1_relu, t2_relu]) + 3*hint(student=b2_relu, teacher=t2_relu)",
     [(500, at, "b1_relu", "t1_relu"), (500, at, "b2_relu", "t2_relu"), (3, F.mse_loss, "b2_relu", "t2_relu")]),
    ("ce + 300*sp(student=b2_relu, teacher=t2_relu) + 3000*pkt + 0.5*dm + cosine",
     [(300, similarity, "b2_relu", "t2_relu"), (3000, pkt, "b2_gap", "t2_gap"), (0.5, dm, "b2_gap", "t2_gap"),
      (1, cosine, "b2_gap", "t2_gap")]),
]


def read_cache(folder):
    """Images, labels and features of the training split."""
    shards = [h5py.File(name, "r") for name in sorted(glob.glob(f"{folder}/train-*.h5"))]
    whole = lambda name: torch.from_numpy(np.concatenate([shard[name][()] for shard in shards]))
    images = whole("images").permute(0, 3, 1, 2).double() / 255
    return (images - 0.5) / 0.5, whole("labels").long(), [whole(f"feature_{i}")[:, 0].double() for i in range(3)]


def state_of(path):
    with open(path, "rb") as f:
        data = f.read()
    import json
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: torch.from_numpy(np.frombuffer(data, np.float32, int(np.prod(t["shape"])), 8 + size + t["data_offsets"][0])
                                   .reshape(t["shape"]).copy()) for name, t in header.items()}


def train(initial, cache, terms):
    images, labels, features = cache
    features = dict(zip(("t1_relu", "t2_relu", "t2_gap"), features))
    features["t2_gap"] = features["t2_gap"].flatten(1)
    model = Student().double()
    model.load_state_dict({k: v.double() for k, v in initial.items()}, strict=False)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-5)
    losses = []
    for _ in range(EPOCHS):
        total = 0.0
        for first in range(0, SAMPLES, BATCH):
            part = slice(first, first + BATCH)
            values = model(images[part])
            loss = F.cross_entropy(values["logits"], labels[part])
            for weight, term, s, t in terms:
                loss = loss + weight * term(values[s], features[t][part])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
            optimizer.step()
            total += loss.item() * len(images[part])
        losses.append(total / SAMPLES)
    return losses, model.state_dict()


def main(build, folder):
    trainer, dumper = f"{build}/student_train", f"{build}/teacher_dump"
    data = f"{folder}/data"
    os.mkdir(data)
    write_idx(data)
    for name, text in (("teacher", TEACHER), ("student", STUDENT)):
        with open(f"{folder}/{name}.net", "w") as f:
            f.write(text)
    common = ("--batch", str(BATCH), "--order", "sequential", "--quiet", "--device", "cpu")
    run(dumper, "run", "--data", data, "--teacher", "none", "--out", f"{folder}/plain", "--augment", "none", "--views", "1", "--quiet")
    run(trainer, "fit", "--cache", f"{folder}/plain", "--student", f"{folder}/teacher.net", "--epochs", "4", "--out", f"{folder}/t", *common)
    run(trainer, "export", "--run", f"{folder}/t", "--out", f"{folder}/te")
    run(dumper, "run", "--data", data, "--teacher", f"{folder}/te/student.onnx", "--out", f"{folder}/cache", "--augment", "none", "--views", "1",
        "--feature", "t1_relu", "--feature", "t2_relu", "--feature", "t2_gap", "--quiet", "--device", "cpu")
    run(trainer, "fit", "--cache", f"{folder}/plain", "--student", f"{folder}/student.net", "--epochs", "1", "--out", f"{folder}/i", *common)
    initial = state_of(f"{folder}/i/last.safetensors")
    cache = read_cache(f"{folder}/cache")
    for number, (expression, terms) in enumerate(LOSSES):
        out = f"{folder}/r{number}"
        run(trainer, "fit", "--cache", f"{folder}/cache", "--student", f"{folder}/student.net", "--init", f"{folder}/i/last.safetensors",
            "--loss", expression, "--epochs", str(EPOCHS), "--out", out, *common)
        with open(f"{out}/summary.csv") as f:
            found = [float(row["train_loss"]) for row in csv.DictReader(f)]
        expected, state = train(initial, cache, terms)
        worst = max(abs(a - b) / abs(b) for a, b in zip(found, expected))
        weights = state_of(f"{out}/last.safetensors")
        apart = max(((weights[k].double() - v).abs().max() / v.abs().max()).item() for k, v in state.items()
                    if not k.endswith("num_batches_tracked"))
        name = "methods_equal_pytorchs: " + expression
        if worst < TOLERANCE and apart < 20 * TOLERANCE:
            print(f"ok {name} (losses {worst:.1e}, weights {apart:.1e})")
        else:
            print(f"not ok {name}: losses differ by {worst:.1e}, weights by {apart:.1e}; {found} {expected}")


main(*sys.argv[1:])
