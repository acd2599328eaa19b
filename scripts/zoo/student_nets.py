"""Small networks of the kinds that people write as students. Every function returns a module for images of 3x32x32 and 4 classes."""
import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 4


def conv_norm(inputs, outputs, kernel=3, stride=1, groups=1, activation=None, norm=nn.BatchNorm2d):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), norm(outputs)]
    return nn.Sequential(*layers, *([activation()] if activation else []))


class Head(nn.Sequential):
    def __init__(self, channels, dropout=0.0):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, CLASSES))


def plain(activation, norm=nn.BatchNorm2d):
    """Three convolutions with one kind of activation."""
    return nn.Sequential(conv_norm(3, 12, 3, 2, 1, activation, norm), conv_norm(12, 24, 3, 2, 1, activation, norm),
                         conv_norm(24, 24, 3, 1, 1, activation, norm), Head(24))


class Residual(nn.Module):
    def __init__(self, channels, activation=nn.ReLU):
        super().__init__()
        self.first = conv_norm(channels, channels, activation=activation)
        self.second = conv_norm(channels, channels)
        self.activation = activation()

    def forward(self, x):
        return self.activation(x + self.second(self.first(x)))


class ScaledResidual(Residual):
    """A trained factor of the branch, and a constant one of the sum."""

    def __init__(self, channels):
        super().__init__(channels)
        self.gamma = nn.Parameter(torch.full((channels, 1, 1), 0.1))

    def forward(self, x):
        return 0.7 * (x + self.gamma * self.second(self.first(x)))


class SqueezeExcite(nn.Module):
    def __init__(self, channels, gate=nn.Sigmoid, activation=nn.ReLU):
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.activation = activation()
        self.expand = nn.Conv2d(channels // 4, channels, 1)
        self.gate = gate()

    def forward(self, x):
        return x * self.gate(self.expand(self.activation(self.reduce(x.mean((2, 3), keepdim=True)))))


class LinearSqueezeExcite(nn.Module):
    """The form with linear layers and a view."""

    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(channels, 6), nn.ReLU(), nn.Linear(6, channels), nn.Sigmoid())

    def forward(self, x):
        n, c = x.shape[:2]
        return x * self.fc(F.adaptive_avg_pool2d(x, 1).view(n, c)).view(n, c, 1, 1)


class InvertedResidual(nn.Module):
    def __init__(self, channels, activation=nn.ReLU6, excite=None):
        super().__init__()
        middle = 3 * channels
        self.body = nn.Sequential(conv_norm(channels, middle, 1, activation=activation),
                                  conv_norm(middle, middle, 3, 1, middle, activation),
                                  *([excite(middle)] if excite else []), conv_norm(middle, channels, 1))

    def forward(self, x):
        return x + self.body(x)


class Fire(nn.Module):
    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.one = nn.Conv2d(squeeze, expand, 1)
        self.three = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)


def shuffle(x, groups):
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleUnit(nn.Module):
    """ShuffleNet V2: split, one half through convolutions, joined and shuffled."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(conv_norm(half, half, 1, activation=nn.ReLU), conv_norm(half, half, 3, 1, half),
                                    conv_norm(half, half, 1, activation=nn.ReLU))

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        return shuffle(torch.cat([a, self.branch(b)], 1), 2)


class GroupShuffle(nn.Module):
    """ShuffleNet V1: grouped 1x1 convolutions with a shuffle between them."""

    def __init__(self, channels):
        super().__init__()
        self.first = conv_norm(channels, channels, 1, groups=3, activation=nn.ReLU)
        self.middle = conv_norm(channels, channels, 3, groups=channels)
        self.last = conv_norm(channels, channels, 1, groups=3)

    def forward(self, x):
        return F.relu(x + self.last(self.middle(shuffle(self.first(x), 3))))


class SplitSizes(nn.Module):
    """Res2Net's idea: pieces of unequal width, each sees the one before it."""

    def __init__(self):
        super().__init__()
        self.second = conv_norm(8, 8, activation=nn.ReLU)
        self.third = conv_norm(8, 8, activation=nn.ReLU)

    def forward(self, x):
        a, b, c = torch.split(x, [4, 8, 8], dim=1)
        b = self.second(b)
        return torch.cat([a, b, self.third(b + c)], 1)


class LayerNorm2d(nn.LayerNorm):
    """Over channels, with two permutes, as torchvision's ConvNeXt has it."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 3 * channels)
        self.pwconv2 = nn.Linear(3 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class SpatialGate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x))


class ChannelAttention(nn.Module):
    """ECA without its 1-d convolution: mean and maximum through one small network."""

    def __init__(self, channels):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(channels, 6, 1), nn.ReLU(), nn.Conv2d(6, channels, 1))

    def forward(self, x):
        return x * torch.sigmoid(self.net(F.adaptive_avg_pool2d(x, 1)) + self.net(F.adaptive_max_pool2d(x, 1)))


class GatedLinear(nn.Module):
    """Two halves of a convolution, one gates the other."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, 3, padding=1)

    def forward(self, x):
        value, gate = self.conv(x).chunk(2, 1)
        return value * torch.sigmoid(gate)


class Inception(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.a = conv_norm(inputs, 6, 1, activation=nn.ReLU)
        self.b = nn.Sequential(conv_norm(inputs, 6, 1, activation=nn.ReLU), conv_norm(6, 8, 3, activation=nn.ReLU))
        self.c = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_norm(inputs, 6, 1, activation=nn.ReLU))
        self.d = nn.Sequential(nn.AvgPool2d(3, 1, 1), conv_norm(inputs, 4, 1, activation=nn.ReLU))

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], 1)


class DenseLayer(nn.Module):
    """DenseNet: the norm comes first, on a value that others read too."""

    def __init__(self, channels, growth):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(F.relu(self.norm(x)))], 1)


class Preactivation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                                  nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False))

    def forward(self, x):
        return x + self.body(x)


class Shared(nn.Module):
    """One convolution, used twice."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return F.relu(self.conv(F.relu(self.conv(x))))


class Tied(nn.Module):
    """One module with two names: its state_dict has both."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = self.first

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))))


class Cosine(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc = nn.Linear(channels, CLASSES)

    def forward(self, x):
        return self.fc(F.normalize(x.mean((2, 3)), dim=1)) * 4.0


class BlurPool(nn.Module):
    """A convolution with a buffer."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filter", (row[:, None] * row[None, :])[None, None])

    def forward(self, x):
        return F.conv2d(x, self.filter.expand(self.channels, -1, -1, -1), stride=2, padding=1, groups=self.channels)


class StandardisedConv(nn.Conv2d):
    """The weight is computed in every pass."""

    def forward(self, x):
        w = self.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(x, w, self.bias, self.stride, self.padding)


class Factor(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x):
        return x * self.factor


class Normalise(nn.Module):
    """On the image, with buffers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.9, 1.1, 1.2]).view(1, 3, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


def stem(channels, activation=nn.ReLU):
    return conv_norm(3, channels, 3, 2, activation=activation)


def group_norm(channels):
    return nn.GroupNorm(4, channels)


class ManualSwish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class ManualHardSwish(nn.Module):
    def forward(self, x):
        return x * F.relu6(x + 3) / 6


def prelu_one():
    return nn.PReLU()


NETS = {
    "conv_relu": lambda: nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU(), Head(16)),
    "batch_norm_relu": lambda: plain(nn.ReLU),
    "leaky_relu": lambda: plain(lambda: nn.LeakyReLU(0.1)),
    "relu6": lambda: plain(nn.ReLU6),
    "silu": lambda: plain(nn.SiLU),
    "silu_by_hand": lambda: plain(ManualSwish),
    "hardswish": lambda: plain(nn.Hardswish),
    "hardswish_by_hand": lambda: plain(ManualHardSwish),
    "hardsigmoid": lambda: plain(nn.Hardsigmoid),
    "sigmoid": lambda: plain(nn.Sigmoid),
    "tanh": lambda: plain(nn.Tanh),
    "gelu": lambda: plain(nn.GELU),
    "gelu_tanh": lambda: plain(lambda: nn.GELU(approximate="tanh")),
    "elu": lambda: plain(nn.ELU),
    "selu": lambda: plain(nn.SELU),
    "mish": lambda: plain(nn.Mish),
    "softplus": lambda: plain(nn.Softplus),
    "prelu_one": lambda: plain(prelu_one),
    "prelu_channels": lambda: nn.Sequential(stem(12, None), nn.PReLU(12), conv_norm(12, 24, 3, 2), nn.PReLU(24), Head(24)),
    "residual": lambda: nn.Sequential(stem(16), Residual(16), Residual(16), Head(16)),
    "residual_scale": lambda: nn.Sequential(stem(16), ScaledResidual(16), nn.ReLU(), ScaledResidual(16), nn.ReLU(), Head(16)),
    "preactivation": lambda: nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), Preactivation(16), nn.ReLU(), Head(16)),
    "dense": lambda: nn.Sequential(stem(12), DenseLayer(12, 8), DenseLayer(20, 8), nn.AvgPool2d(2), Head(28)),
    "squeeze_excite": lambda: nn.Sequential(stem(16), SqueezeExcite(16), conv_norm(16, 16, activation=nn.ReLU), Head(16)),
    "squeeze_excite_hard": lambda: nn.Sequential(stem(16, nn.Hardswish), SqueezeExcite(16, nn.Hardsigmoid), Head(16)),
    "squeeze_excite_linear": lambda: nn.Sequential(stem(16), LinearSqueezeExcite(16), Head(16)),
    "mobilenet_v1": lambda: nn.Sequential(stem(12), conv_norm(12, 12, 3, 2, 12, nn.ReLU), conv_norm(12, 24, 1, activation=nn.ReLU), Head(24)),
    "mobilenet_v2": lambda: nn.Sequential(stem(12, nn.ReLU6), InvertedResidual(12), InvertedResidual(12), Head(12, 0.0)),
    "mobilenet_v3": lambda: nn.Sequential(stem(12, nn.Hardswish), InvertedResidual(12, nn.Hardswish, SqueezeExcite), Head(12)),
    "efficientnet": lambda: nn.Sequential(stem(12, nn.SiLU), InvertedResidual(12, nn.SiLU, lambda c: SqueezeExcite(c, nn.Sigmoid, nn.SiLU)), Head(12)),
    "squeezenet": lambda: nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(16, 6, 12), Fire(24, 6, 12),
                                        nn.Conv2d(24, CLASSES, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "shufflenet_v1": lambda: nn.Sequential(stem(12), GroupShuffle(12), Head(12)),
    "shufflenet_v2": lambda: nn.Sequential(stem(16), ShuffleUnit(16), ShuffleUnit(16), Head(16)),
    "split_sizes": lambda: nn.Sequential(stem(20), SplitSizes(), Head(20)),
    "inception": lambda: nn.Sequential(stem(12), Inception(12), nn.MaxPool2d(2), Inception(24), Head(24)),
    "group_norm": lambda: plain(nn.ReLU, group_norm),
    "instance_norm": lambda: plain(nn.ReLU, lambda c: nn.InstanceNorm2d(c, affine=True)),
    "layer_norm_channels": lambda: plain(nn.ReLU, LayerNorm2d),
    "norms_without_weights": lambda: nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.GroupNorm(4, 12, affine=False), nn.ReLU(), nn.Conv2d(12, 12, 3, 1, 1),
                                                   nn.InstanceNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3, 1, 1),
                                                   nn.LayerNorm([12, 16, 16], elementwise_affine=False), nn.ReLU(), Head(12)),
    "batch_norm_without_weights": lambda: nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12, affine=False), nn.ReLU(), Head(12)),
    "blur_pool": lambda: nn.Sequential(stem(12), BlurPool(12), Head(12)),
    "standardised_weights": lambda: nn.Sequential(StandardisedConv(3, 12, 3, 2, 1), nn.GroupNorm(4, 12), nn.ReLU(), Head(12)),
    "one_trained_number": lambda: nn.Sequential(stem(12), Factor(), Head(12)),
    "buffer": lambda: nn.Sequential(Normalise(), stem(12), Head(12)),
    "layer_norm_image": lambda: nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.LayerNorm([12, 16, 16]), nn.ReLU(), Head(12)),
    "convnext": lambda: nn.Sequential(nn.Conv2d(3, 12, 4, 4), LayerNorm2d(12), ConvNeXtBlock(12), ConvNeXtBlock(12), Head(12)),
    "spatial_gate": lambda: nn.Sequential(stem(16), SpatialGate(16), Head(16)),
    "channel_attention": lambda: nn.Sequential(stem(16), ChannelAttention(16), Head(16)),
    "gated_linear": lambda: nn.Sequential(stem(12), GatedLinear(12), Head(12)),
    "average_pool": lambda: nn.Sequential(stem(12), nn.AvgPool2d(3, 2, 1), conv_norm(12, 16, activation=nn.ReLU), Head(16)),
    "adaptive_pool_2x2": lambda: nn.Sequential(stem(12), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, CLASSES)),
    "flatten_linear": lambda: nn.Sequential(stem(8), conv_norm(8, 8, 3, 2, activation=nn.ReLU), nn.Flatten(), nn.Linear(512, 16), nn.ReLU(),
                                            nn.Linear(16, CLASSES)),
    "perceptron": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.ReLU(), nn.Linear(8, CLASSES)),
    "perceptron_batch_norm": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES)),
    "dilated": lambda: nn.Sequential(stem(12), nn.Conv2d(12, 16, 3, padding=2, dilation=2), nn.ReLU(), Head(16)),
    "asymmetric": lambda: nn.Sequential(nn.Conv2d(3, 12, (1, 5), (1, 2), (0, 2)), nn.ReLU(), nn.Conv2d(12, 12, (5, 1), (2, 1), (2, 0)), nn.ReLU(), Head(12)),
    "reflect_pad": lambda: nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 12, 3, 2), nn.ReLU(), Head(12)),
    "shared_convolution": lambda: nn.Sequential(stem(12), Shared(12), Head(12)),
    "shared_block": lambda: nn.Sequential(stem(12), *[conv_norm(12, 12, activation=nn.ReLU)] * 2, Head(12)),
    "shared_under_two_names": lambda: nn.Sequential(stem(12), Tied(12), Head(12)),
    "cosine_head": lambda: nn.Sequential(stem(12), Cosine(12)),
    "upsample": lambda: nn.Sequential(stem(12), nn.MaxPool2d(2), nn.Upsample(scale_factor=2), conv_norm(12, 12, activation=nn.ReLU), Head(12)),
}
