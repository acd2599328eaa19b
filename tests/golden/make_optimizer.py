#!/usr/bin/env python3
"""Makes tests/golden/optimizer.h: weights after STEPS steps of torch.optim on a fixed problem, for test_optimizer.c.

    tests/golden/make_optimizer.py > tests/golden/optimizer.h
"""
import torch

COUNT, STEPS = 37, 12


def start():
    i = torch.arange(COUNT, dtype=torch.float64)
    return torch.sin(0.7 * i + 0.2).float()


def gradient(step, parameter):
    """Depends on the weights, so that an error grows; one gradient is always 0."""
    i = torch.arange(COUNT, dtype=torch.float64)
    pull = torch.cos(1.3 * i + 0.5 * step).float()
    g = (0.25 * parameter + pull) * (i % 5).float()
    return g


CASES = [
    ("sgd", lambda p: torch.optim.SGD(p, lr=0.05), 0),
    ("sgd_decay", lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.01), 0),
    ("sgd_momentum", lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=5e-4), 0),
    ("sgd_nesterov", lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True), 0),
    ("adam", lambda p: torch.optim.Adam(p, lr=0.01), 0),
    ("adam_decay_clip", lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1), 10),
    ("adam_clip_never", lambda p: torch.optim.Adam(p, lr=0.01), 1e6),
    ("adamw", lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1), 1),
]

print("/* Made by make_optimizer.py with PyTorch %s. */" % torch.__version__)
for name, make, clip in CASES:
    p = torch.nn.Parameter(start())
    optimizer = make([p])
    average = p.detach().clone()
    norm = 0
    for step in range(1, STEPS + 1):
        p.grad = gradient(step, p.detach()).clone()
        norm = torch.nn.utils.clip_grad_norm_([p], clip) if clip else p.grad.norm()
        optimizer.step()
        average = 0.9 * average + (1 - 0.9) * p.detach()
    print("static const float golden_%s[] = {" % name + ", ".join("%.9gf" % v if "." in "%.9g" % v or "e" in "%.9g" % v else "%.9g.0f" % v for v in p.tolist()) + "};")
    print("static const float golden_%s_average[] = {" % name + ", ".join("%.9gf" % v if "." in "%.9g" % v or "e" in "%.9g" % v else "%.9g.0f" % v for v in average.tolist()) + "};")
    print("static const double golden_%s_norm = %.9g;" % (name, float(norm)))
