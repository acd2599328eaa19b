"""A student of one's own: a small net with squeeze-and-excite gates, 20,173 parameters at 11 classes."""
import torch
from torch import nn

CLASSES = 11


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        middle = 2 * inputs
        self.expand = nn.Sequential(nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.SiLU())
        self.depthwise = nn.Sequential(nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False), nn.BatchNorm2d(middle), nn.SiLU())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(middle, middle // 8, 1), nn.SiLU(), nn.Conv2d(middle // 8, middle, 1),
                                  nn.Sigmoid())
        self.project = nn.Sequential(nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.skips = inputs == outputs and stride == 1

    def forward(self, x):
        y = self.depthwise(self.expand(x))
        y = self.project(y * self.gate(y))
        return x + y if self.skips else y


def make_student():
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU(), Block(16, 24, 2), Block(24, 24, 1),
                         Block(24, 40, 2), Block(40, 40, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, CLASSES))


def load_student(path):
    from safetensors.torch import load_file

    model = make_student()
    model.load_state_dict(load_file(path), strict=True)
    return model.eval()


if __name__ == "__main__":
    print(sum(parameter.numel() for parameter in make_student().parameters()), "parameters")
    print(make_student()(torch.zeros(2, 3, 64, 64)).shape)
