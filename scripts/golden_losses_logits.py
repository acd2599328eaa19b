#!/usr/bin/env python3
"""Writes tests/golden/losses_logits.h5: the field's terms on rows of logits, from the papers' official formulas in
float64 of float32 inputs. Layout: inputs/NAME; term/NAME/f64/{value, grad/INPUT}.

    python3 scripts/golden_losses_logits.py tests/golden/losses_logits.h5      (needs torch, h5py, numpy)
"""
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

SAMPLES, CLASSES = 8, 11


def standardise(logits):
    """Sun et al. 2024, github.com/sunshangquan/logit-standardization-KD"""
    return (logits - logits.mean(dim=-1, keepdim=True)) / (1e-7 + logits.std(dim=-1, keepdim=True))


def kd(student, teacher, temperature):
    return F.kl_div(F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1),
                    reduction="batchmean") * temperature**2


def dkd(student, teacher, target, alpha, beta, temperature):
    """Zhao et al. 2022, github.com/megvii-research/mdistiller/mdistiller/distillers/DKD.py"""
    gt = F.one_hot(target, student.shape[1]).bool()

    def pair(probabilities):
        return torch.stack([(probabilities * gt).sum(1), (probabilities * ~gt).sum(1)], 1)

    student_pair = pair(F.softmax(student / temperature, 1))
    teacher_pair = pair(F.softmax(teacher / temperature, 1))
    tckd = F.kl_div(torch.log(student_pair), teacher_pair, reduction="sum") * temperature**2 / len(target)
    teacher_others = F.softmax(teacher / temperature - 1000.0 * gt, 1)
    student_others = F.log_softmax(student / temperature - 1000.0 * gt, 1)
    nckd = F.kl_div(student_others, teacher_others, reduction="sum") * temperature**2 / len(target)
    return alpha * tckd + beta * nckd


def dist(student, teacher, beta, gamma, tau):
    """Huang et al. 2022, github.com/hunto/DIST_KD/classification/lib/models/losses/dist_kd.py"""

    def cosine(a, b):
        return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-8)

    def relation(a, b):
        return 1 - cosine(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)).mean()

    s, t = (student / tau).softmax(1), (teacher / tau).softmax(1)
    return tau**2 * (beta * relation(s, t) + gamma * relation(s.T, t.T))


def nkd(student, teacher, target, gamma, temperature):
    """Yang et al. 2023, github.com/yzd-v/cls_KD/mmcls/models/dis_losses/nkd.py"""
    samples, label = len(target), target.view(-1, 1)
    log_s = F.log_softmax(student, 1).gather(1, label)
    t = F.softmax(teacher, 1).gather(1, label)
    others = torch.ones_like(student).scatter_(1, label, 0).bool()
    student = student[others].reshape(samples, -1)
    teacher = teacher[others].reshape(samples, -1)
    rest = (F.softmax(teacher / temperature, 1) * F.log_softmax(student / temperature, 1)).sum(1).mean()
    return -(t * log_s).mean() - gamma * temperature**2 * rest


def mixed_targets(data, classes=CLASSES):
    share = data["share"].double().view(-1, 1) / 65536
    return share * F.one_hot(data["labels"], classes) + (1 - share) * F.one_hot(data["partner_labels"], classes)


TERMS = {
    "logit_mse": lambda d: F.mse_loss(d["student_logits"], d["teacher_logits"]),
    "lskd": lambda d: kd(standardise(d["student_logits"]), standardise(d["teacher_logits"]), 2),
    "dkd": lambda d: dkd(d["student_logits"], d["teacher_logits"], d["labels"], 1, 8, 4),
    "dkd_a2_b0.5_T1": lambda d: dkd(d["student_logits"], d["teacher_logits"], d["labels"], 2, 0.5, 1),
    "lskd_dkd": lambda d: dkd(standardise(d["student_logits"]), standardise(d["teacher_logits"]), d["labels"], 1, 8, 2),
    "dist": lambda d: dist(d["student_logits"], d["teacher_logits"], 1, 1, 4),
    "dist_b2_g0.5_T1": lambda d: dist(d["student_logits"], d["teacher_logits"], 2, 0.5, 1),
    "nkd": lambda d: nkd(d["student_logits"], d["teacher_logits"], d["labels"], 1.5, 1),
    "nkd_g0.5_T3": lambda d: nkd(d["student_logits"], d["teacher_logits"], d["labels"], 0.5, 3),
    "kd_printed_T5": lambda d: (F.softmax(d["teacher_logits"] / 5, 1)
                                * (F.log_softmax(d["teacher_logits"] / 5, 1) - F.softmax(d["student_logits"] / 5, 1))
                                ).sum() * 25 / SAMPLES,
    "ce_smoothed": lambda d: F.cross_entropy(d["student_logits"], d["labels"], label_smoothing=0.1),
    "ce_mixed": lambda d: F.cross_entropy(d["student_logits"], mixed_targets(d), label_smoothing=0.1),
    "ce_on_map": lambda d: F.cross_entropy(d["student_map"].mean((2, 3)), d["labels"]),
}


def make_inputs():
    random = torch.Generator().manual_seed(20261122)

    def normal(*shape, scale=1.0):
        return torch.randn(*shape, generator=random) * scale

    return {
        "student_logits": normal(SAMPLES, CLASSES, scale=2),
        "teacher_logits": normal(SAMPLES, CLASSES, scale=4),
        "student_map": normal(SAMPLES, 13, 2, 3),
        "labels": torch.randint(CLASSES, (SAMPLES,), generator=random),
        "partner_labels": torch.randint(CLASSES, (SAMPLES,), generator=random),
        "share": torch.tensor([65536, 0, 32768, 13107, 52429, 65535, 1, 40000]),
    }


def main():
    inputs = make_inputs()
    with h5py.File(sys.argv[1], "w", libver="latest") as file:
        for name, value in inputs.items():
            file[f"inputs/{name}"] = value.numpy()
        for name, term in TERMS.items():
            data = {key: v.double() if v.is_floating_point() else v for key, v in inputs.items()}
            for key in ("student_logits", "student_map"):
                data[key].requires_grad_()
            value = term(data)
            value.backward()
            file[f"term/{name}/f64/value"] = np.float64(value.item())
            for key, tensor in data.items():
                if tensor.grad is not None:
                    file[f"term/{name}/f64/grad/{key}"] = tensor.grad.numpy()


main()
