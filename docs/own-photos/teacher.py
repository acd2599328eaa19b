"""The teacher of the walk: a small network as somebody might have trained it years ago. Its input is what read_image gives, pixels from 0 to
255, and its classes are the numbers of the folders, counted: folder 1 is class 0, folder 10 is class 9."""
import torch


def make_model():
    def block(before, after):
        return [torch.nn.Conv2d(before, after, 3, 2, 1), torch.nn.BatchNorm2d(after), torch.nn.ReLU()]

    return torch.nn.Sequential(*block(3, 16), *block(16, 32), *block(32, 64), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
                               torch.nn.Linear(64, 10))
