#!/usr/bin/env python3
"""Writes tests/golden/losses_features.h5: hint, at, cosine and vid by PyTorch's autograd in float64, from float32 inputs.

The formulas are those of the methods' published code, as RepDistiller has them (vid without its regressor), written out
here. Layout: inputs/NAME, and for every entry ENTRY/f64/value and ENTRY/f64/grad/INPUT; maps are [n, c, h, w].

usage: golden_losses_features.py OUT.h5      (needs torch, numpy, h5py)
"""
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F


# ---- attention transfer: Zagoruyko, Komodakis 2017 ----
def attention(f):
    return F.normalize(f.pow(2).mean(1).view(f.size(0), -1))


def at(student, teacher):
    return (attention(student) - attention(teacher)).pow(2).mean()


# ---- variational information distillation: Ahn et al. 2019 ----
def vid(student, teacher, log_scale, eps=1e-5):
    variance = torch.log(1.0 + torch.exp(log_scale)) + eps
    variance = variance.view(1, -1, 1, 1)
    return (0.5 * ((student - teacher) ** 2 / variance + torch.log(variance))).mean()


def initial_log_scale(channels, variance=5.0, eps=1e-5):
    return np.full(channels, np.log(np.exp(variance - eps) - 1.0), dtype=np.float32)


def cosine(student, teacher):
    s, t = student.flatten(1), teacher.flatten(1)
    return F.cosine_embedding_loss(s, t, torch.ones(len(s)))


def inputs():
    g = np.random.default_rng(20)

    def values(*shape, scale=1.0):
        return (scale * g.standard_normal(shape)).astype(np.float32)

    large_teacher = np.maximum(values(6, 10, 5, 5, scale=2), 0)
    return {
        "student_small": values(6, 12, 4, 3),
        "teacher_small": values(6, 12, 4, 3),
        "student_large": np.maximum(values(6, 7, 5, 5, scale=3), 0),
        "teacher_large": large_teacher,  # other channels than the student's
        "teacher_attention": attention(torch.tensor(large_teacher)).numpy().reshape(6, 1, 5, 5),
        "student_wide": values(6, 33, 2, 2, scale=4),
        "teacher_wide": values(6, 33, 2, 2),
        "log_scale_small": initial_log_scale(12),
        "log_scale_wide": values(33, scale=3),
    }


ENTRIES = {
    "hint/mse": lambda i: F.mse_loss(i["student_small"], i["teacher_small"]),
    "hint/smooth_l1": lambda i: F.smooth_l1_loss(i["student_wide"], i["teacher_wide"]),
    "hint/relative": lambda i: F.mse_loss(i["student_small"], i["teacher_small"]) / i["teacher_small"].pow(2).mean().detach(),
    "hint/layers": lambda i: F.mse_loss(i["student_small"], i["teacher_small"])
    + F.mse_loss(i["student_wide"], i["teacher_wide"]),
    "at/channels": lambda i: at(i["student_large"], i["teacher_large"]),
    "at/cached": lambda i: (attention(i["student_large"]) - i["teacher_attention"].flatten(1)).pow(2).mean(),
    "at/stages": lambda i: at(i["student_large"], i["teacher_large"]) + at(i["student_wide"], i["teacher_wide"]),
    "cosine/maps": lambda i: cosine(i["student_small"], i["teacher_small"]),
    "vid/initial": lambda i: vid(i["student_small"], i["teacher_small"], i["log_scale_small"]),
    "vid/trained": lambda i: vid(i["student_wide"], i["teacher_wide"], i["log_scale_wide"]),
}


def main():
    given = inputs()
    with h5py.File(sys.argv[1], "w", track_order=False) as out:
        for name, value in given.items():
            out[f"inputs/{name}"] = value
        for entry, loss in ENTRIES.items():
            tensors = {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in given.items()}
            value = loss(tensors)
            value.backward()
            out[f"{entry}/f64/value"] = value.item()
            for name, tensor in tensors.items():
                if tensor.grad is not None and not name.startswith("teacher"):
                    out[f"{entry}/f64/grad/{name}"] = tensor.grad.numpy()


if __name__ == "__main__":
    main()
