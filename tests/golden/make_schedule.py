#!/usr/bin/env python3
"""Makes tests/golden/schedule.h: the learning rate of every epoch under torch.optim.lr_scheduler, for test_schedule.c.

    tests/golden/make_schedule.py > tests/golden/schedule.h
"""
import warnings
import torch

EPOCHS = 40
warnings.simplefilter("ignore")
scheduler = torch.optim.lr_scheduler
CASES = [
    ("step", lambda o: scheduler.StepLR(o, step_size=7, gamma=0.3)),
    ("cosine", lambda o: scheduler.CosineAnnealingLR(o, T_max=EPOCHS, eta_min=1e-4)),
    ("restarts", lambda o: scheduler.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=2, eta_min=1e-4)),
]

print("/* Made by make_schedule.py with PyTorch %s. */" % torch.__version__)
for name, make in CASES:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    schedule = make(optimizer)
    rates = []
    for epoch in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    print("static const double golden_%s[] = {" % name + ", ".join("%.12g" % r for r in rates) + "};")
