#!/usr/bin/env python3
"""Makes tests/golden/training.h and training.bin: 20 steps of training in PyTorch, for test_training_parity.c.

    tests/golden/make_training.py tests/golden

Five nets train from the same weights, on the same batches, as the C test: both are formulas of Philox streams
(shared/base/random.h), so that neither has to be stored. Adam with lr 1e-3 and weight decay 1e-5, gradients clipped to a
norm of 10. PyTorch computes in float64: what is true. How far its own float32 is from that is written next to it. A value next to 0 that
rounding puts on the other side of a ReLU moves some tensors by 1e-4 to 1e-3: the seeds are those, of some dozens, whose
smallest value before a ReLU, and difference within a pool, is largest (1e-6 of its map's standard deviation).

training.h, per net: the .net text; 20 losses and gradient norms (before clipping); for every tensor of the state_dict its
name, length, sum and L2 norm after the last step. training.bin: float32 little-endian, for each net, for each tensor,
its elements number 0, stride, 2 * stride, ... after the last step.
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

STEPS, BATCHES, SAMPLES, SIZE, CLASSES = 20, 4, 16, 32, 10
VIEW, INIT, RECHECK = 1, 2, 5  # enum random_purpose
CONV = dict(bias=False)


# ---- shared/base/random.h ----
def philox(counter, key):
    """counter: [n, 4] uint32, key: 2 words -> [n, 4] uint32."""
    c = [counter[:, i].astype(np.uint64) for i in range(4)]
    k0, k1, mask = key[0], key[1], np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, 1)


def words(seed, purpose, a, b, count):
    blocks = (count + 3) // 4
    counter = np.zeros((blocks, 4), np.uint64)
    counter[:, 0], counter[:, 1], counter[:, 2], counter[:, 3] = np.arange(blocks), b, a, purpose
    return philox(counter, (seed & 0xFFFFFFFF, seed >> 32)).reshape(-1)[:count]


def uniform(seed, purpose, a, b, count):
    """Uniform in [-1, 1), exact in float32: 2 * random_uniform() - 1."""
    u = (words(seed, purpose, a, b, count) >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
    return np.float32(2) * u - np.float32(1)


# ---- what the C test does too ----
def initialise(model, seed):
    """Weights: uniform within 1 / sqrt(fan in); batch norm's scale 1 + 0.25 u, every other vector 0.1 u; running 0, 1."""
    for index, (name, tensor) in enumerate(state(model)):
        u = uniform(seed, INIT, index, 0, tensor.numel())
        if name.endswith("running_mean") or name.endswith("running_var"):
            u = np.full_like(u, 0 if name.endswith("mean") else 1)
        elif tensor.dim() > 1:
            u *= np.float32(1 / np.sqrt(np.float64(tensor[0].numel())))
        elif name.endswith("weight"):
            u = np.float32(1) + np.float32(0.25) * u
        else:
            u *= np.float32(0.1)
        tensor.data.copy_(torch.from_numpy(u.reshape(tensor.shape)))


def batch(seed, scale, number):
    """Images [n, c, h, w] within scale (their stream runs in NHWC order), labels, teacher's logits within 4."""
    x = np.float32(scale) * uniform(seed, VIEW, number, 0, SAMPLES * SIZE * SIZE * 3).reshape(SAMPLES, SIZE, SIZE, 3)
    labels = words(seed, VIEW, number, 1, SAMPLES) % CLASSES
    teacher = np.float32(4) * uniform(seed, VIEW, number, 2, SAMPLES * CLASSES).reshape(SAMPLES, CLASSES)
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels.astype(np.int64)), torch.from_numpy(teacher)


def cross_entropy(logits, labels, teacher):
    return F.cross_entropy(logits, labels)


def distillation(logits, labels, teacher):
    t = 4.0
    kd = t * t * F.kl_div(F.log_softmax(logits / t, 1), F.softmax(teacher / t, 1), reduction="batchmean")
    return 0.5 * F.cross_entropy(logits, labels) + 0.5 * kd


# ---- nets ----
class Pair(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.dw = nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, **CONV)
        self.dw_bn = nn.BatchNorm2d(inside)
        self.pw = nn.Conv2d(inside, outside, 1, **CONV)
        self.pw_bn = nn.BatchNorm2d(outside)

    def forward(self, x):
        return F.relu(self.pw_bn(self.pw(F.relu(self.dw_bn(self.dw(x))))))


class Dwpw(nn.Module):
    text = """conv stem 8 3x3 /2 pad 1 nobias
bn
relu
dwpw block1 16 /2
dwpw block2 24
dwpw block3 40 /2
gap
fc classifier classes
"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, **CONV)
        self.stem_bn = nn.BatchNorm2d(8)
        self.block1, self.block2, self.block3 = Pair(8, 16, 2), Pair(16, 24, 1), Pair(24, 40, 2)
        self.classifier = nn.Linear(40, CLASSES)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(F.relu(self.stem_bn(self.stem(x))))))
        return self.classifier(x.mean((2, 3)))


class LightNN(nn.Module):
    text = """conv features.0 16 3x3 pad 1
relu
maxpool 2
conv features.3 16 3x3 pad 1
relu
maxpool 2
flatten
fc classifier.0 256
relu
dropout 0
fc classifier.3 classes
"""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                                      nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(nn.Linear(1024, 256), nn.ReLU(), nn.Dropout(0), nn.Linear(256, CLASSES))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Block(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, **CONV)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, **CONV)
        self.bn2 = nn.BatchNorm2d(outside)
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, **CONV), nn.BatchNorm2d(outside))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class Residual(nn.Module):
    text = """conv stem 12 3x3 /2 pad 1 nobias
bn
relu as stem_relu
conv block1.conv1 12 3x3 pad 1 nobias
bn as block1.bn1
relu
conv block1.conv2 12 3x3 pad 1 nobias
bn as block1.bn2
add stem_relu
relu as block1
conv block2.conv1 20 3x3 /2 pad 1 nobias
bn as block2.bn1
relu
conv block2.conv2 20 3x3 pad 1 nobias
bn as block2.bn2
from block1
conv block2.downsample.0 20 1x1 /2 nobias
bn as block2.downsample.1
add block2.bn2
relu
gap
fc classifier classes
"""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, 2, 1, **CONV)
        self.stem_bn = nn.BatchNorm2d(12)
        self.block1, self.block2 = Block(12, 12, 1), Block(12, 20, 2)
        self.classifier = nn.Linear(20, CLASSES)

    def forward(self, x):
        return self.classifier(self.block2(self.block1(F.relu(self.stem_bn(self.stem(x))))).mean((2, 3)))


class Squeeze(nn.Module):
    """Squeeze and excitation; inner and outer: its activations."""

    def __init__(self, channels, squeezed, inner, outer):
        super().__init__()
        self.fc1, self.fc2, self.inner, self.outer = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1), inner, outer

    def forward(self, x):
        return x * self.outer(self.fc2(self.inner(self.fc1(x.mean((2, 3), keepdim=True)))))


class Bottleneck(nn.Module):
    """.net's `inverted`, and `residual` where inner is None."""

    def __init__(self, inside, outside, inner, kernel, stride=1, dilation=1, activation=F.hardswish, squeeze=None):
        super().__init__()
        self.activation, self.skip = activation, stride == 1 and inside == outside
        if inner:
            self.expand, self.expand_bn = nn.Conv2d(inside, inner, 1, **CONV), nn.BatchNorm2d(inner)
        inner = inner or inside
        self.dw = nn.Conv2d(inner, inner, kernel, stride, kernel // 2 * dilation, dilation, groups=inner, **CONV)
        self.dw_bn = nn.BatchNorm2d(inner)
        if squeeze:
            self.se = squeeze
        self.pw, self.pw_bn = nn.Conv2d(inner, outside, 1, **CONV), nn.BatchNorm2d(outside)

    def forward(self, x):
        y = self.activation(self.expand_bn(self.expand(x))) if hasattr(self, "expand") else x
        y = self.activation(self.dw_bn(self.dw(y)))
        y = self.pw_bn(self.pw(self.se(y) if hasattr(self, "se") else y))
        return x + y if self.skip else y


class Blocks(nn.Module):
    """Blocks, gates and smooth activations."""

    text = """conv stem 8 3x3 /2 pad 1 nobias
bn
silu
inverted block1 8 20 5x5 silu se 6
residual block2 12 3x3 dilation 2
inverted block3 16 28 7x7 /2 gelu
se gate 5 hard
dropout 0
gap
fc classifier classes
"""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_bn = nn.Conv2d(3, 8, 3, 2, 1, **CONV), nn.BatchNorm2d(8)
        self.block1 = Bottleneck(8, 8, 20, 5, activation=F.silu, squeeze=Squeeze(20, 6, F.silu, torch.sigmoid))
        self.block2 = Bottleneck(8, 12, None, 3, dilation=2)
        self.block3 = Bottleneck(12, 16, 28, 7, 2, activation=F.gelu)
        self.gate = Squeeze(16, 5, F.relu, F.hardsigmoid)
        self.classifier = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.gate(self.block3(self.block2(self.block1(F.silu(self.stem_bn(self.stem(x)))))))
        return self.classifier(x.mean((2, 3)))


class Parts(nn.Module):
    """Norms without running statistics, selections, products, a map that grows again."""

    text = """conv stem 12 3x3 /2 pad 1
groupnorm 3 as stem_gn
mish
prelu slope
scale factor 0.5
avgpool 2
conv mid 16 1x1
layernorm as mid_ln
gelu_tanh
shuffle 4 as mixed
channels 0 8
elu
conv left 8 3x3 pad 1 groups 2 nobias
softplus as left_softplus
from mixed
channels 8 8
conv right 8 3x3 pad 1
sigmoid
mul left_softplus as product
upsample 2 linear as large
from mixed
upsample 2
concat large
conv last 20 3x3 /2
tanh
gap
fc classifier classes
"""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_gn = nn.Conv2d(3, 12, 3, 2, 1), nn.GroupNorm(3, 12)
        self.slope, self.factor = nn.PReLU(12), nn.Module()
        self.factor.weight = nn.Parameter(torch.ones(12))
        self.mid, self.mid_ln = nn.Conv2d(12, 16, 1), nn.LayerNorm(16, eps=1e-6)
        self.left, self.right = nn.Conv2d(8, 8, 3, 1, 1, groups=2, bias=False), nn.Conv2d(8, 8, 3, 1, 1)
        self.last, self.classifier = nn.Conv2d(24, 20, 3, 2), nn.Linear(20, CLASSES)

    def forward(self, x):
        x = self.slope(F.mish(self.stem_gn(self.stem(x)))) * self.factor.weight[:, None, None]
        x = self.mid(F.avg_pool2d(x, 2)).permute(0, 2, 3, 1)
        x = F.channel_shuffle(F.gelu(self.mid_ln(x), approximate="tanh").permute(0, 3, 1, 2).contiguous(), 4)
        y = F.softplus(self.left(F.elu(x[:, :8]))) * torch.sigmoid(self.right(x[:, 8:]))
        y = F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        x = torch.cat([F.interpolate(x, scale_factor=2), y], 1)
        return self.classifier(torch.tanh(self.last(x)).mean((2, 3)))


NETS = [  # name, net, loss, seed, scale of the images (12: gradients are clipped), stride of the stored elements
    ("dwpw", Dwpw, distillation, 111, 1, 1),
    ("lightnn", LightNN, cross_entropy, 108, 12, 64),
    ("residual", Residual, cross_entropy, 122, 1, 1),
    ("blocks", Blocks, distillation, 101, 1, 1),
    ("parts", Parts, distillation, 102, 1, 1),
]


def state(model):
    return [(name, tensor) for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")]


def train(net, loss_of, seed, scale, dtype):
    model = net()
    initialise(model, seed)
    model.to(dtype).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    losses, norms = [], []
    for step in range(STEPS):
        x, labels, teacher = batch(seed, scale, step % BATCHES)
        optimizer.zero_grad()
        loss = loss_of(model(x.to(dtype)), labels, teacher.to(dtype))
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 10)))
        optimizer.step()
        losses.append(float(loss))
    return losses, norms, [(name, tensor.double().numpy().ravel()) for name, tensor in state(model)]


def text_literal(text):
    return "\n".join('        "%s\\n"' % line for line in text.splitlines())


def main(folder):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    values, header = [], []
    for name, net, loss_of, seed, scale, stride in NETS:
        losses, norms, weights = train(net, loss_of, seed, scale, torch.float64)
        losses32, _, weights32 = train(net, loss_of, seed, scale, torch.float32)
        loss_error = max(abs(a - b) / abs(a) for a, b in zip(losses, losses32))
        weight_error = max(np.linalg.norm(a - b) / np.linalg.norm(a) for (_, a), (_, b) in zip(weights, weights32))
        element_error = max(np.abs(a - b).max() for (_, a), (_, b) in zip(weights, weights32))
        print("%-9s loss %.4f -> %.4f, gradient norm %.2f to %.2f, float32 differs: losses %.1e, tensors %.1e, elements %.1e"
              % (name, losses[0], losses[-1], min(norms), max(norms), loss_error, weight_error, element_error))
        values += [w[::stride].astype("<f4") for _, w in weights]
        header += ["    {", '        "%s",' % name, text_literal(net.text) + ",",
                   "        %d, %d, %d, %s," % (seed, scale, stride, "true" if loss_of is distillation else "false"),
                   "        /* PyTorch's own float32: losses within %.1e, tensors within %.1e of their norm */" % (loss_error, weight_error),
                   "        {%s}," % ", ".join("%.10g" % v for v in losses),
                   "        {%s}," % ", ".join("%.10g" % v for v in norms),
                   "        %d," % len(weights), "        {"]
        header += ['            {"%s", %d, %.10g, %.10g},' % (n, w.size, w.sum(), np.linalg.norm(w)) for n, w in weights]
        header += ["        },", "    },"]
    with open(folder + "/training.bin", "wb") as file:
        file.write(np.concatenate(values).tobytes())
    with open(folder + "/training.h", "w") as file:
        file.write("/* Made by make_training.py with PyTorch %s: its docstring explains the fields. Included once, by\n"
                   " * test_training_parity.c, which declares struct golden. */\n/* clang-format off */\n"
                   "static const struct golden goldens[%d] = {\n%s\n};\n" % (torch.__version__, len(NETS), "\n".join(header)))


main(sys.argv[1])
