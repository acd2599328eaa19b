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


def rld(student, teacher, target, alpha, beta, temperature, label_temperature):
    """Sun et al. 2024, github.com/zju-SWJ/RLD/mdistiller/distillers/RLD.py, without standardisation"""

    def pair(logits, index):
        p = F.softmax(logits / label_temperature, 1).gather(1, index.view(-1, 1))
        return torch.cat([p, 1 - p], 1)

    confidence = F.kl_div(pair(student, target).log(), pair(teacher, teacher.argmax(1)), reduction="batchmean")
    above = teacher >= teacher.gather(1, target.view(-1, 1))
    below = [F.softmax((z / temperature).masked_fill(above, -1e9), 1) for z in (teacher, student)]
    ranks = F.kl_div(F.log_softmax((student / temperature).masked_fill(above, -1e9), 1), below[0],
                     reduction="batchmean")
    return alpha * label_temperature**2 * confidence + beta * temperature**2 * ranks


def wttm(student, teacher, gamma):
    """Zheng, Yang 2024, github.com/zkxufo/TTM/distiller_zoo/wttm.py"""
    powers = F.softmax(teacher, 1) ** gamma
    weight = powers.sum(1)
    divergence = F.kl_div(F.log_softmax(student, 1), powers / weight[:, None], reduction="none").sum(1)
    return (weight * divergence).mean()


def abkd(student, teacher, alpha, beta, temperature):
    """Wang et al. 2025, github.com/ghwang-s/abkd/standard_classification/distiller_zoo/abkl.py"""
    q, p = F.softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
    both = alpha + beta
    inner = p**alpha * q**beta - alpha / both * p**both - beta / both * q**both
    return -inner.sum(1).mean() / (alpha * beta)


def mlkd(student, teacher, beta, gamma, temperature, kept=None):
    """Jin, Wang, Lin 2023, as in github.com/sunshangquan/logit-standardization-KD/mdistiller/distillers/MLKD.py, without
    the masks of its weakly augmented views"""
    kept = torch.ones(len(student), dtype=torch.bool) if kept is None else kept
    samples, classes = student.shape
    student, teacher, total = student[kept], teacher[kept], 0
    for t in (temperature * factor for factor in (0.5, 0.75, 1, 1.25, 1.5)):
        q, p = F.softmax(student / t, 1), F.softmax(teacher / t, 1)
        total = total + t**2 * F.kl_div(F.log_softmax(student / t, 1), p, reduction="sum") / samples
        total = total + beta * ((q @ q.T - p @ p.T) ** 2).sum() / samples
        total = total + gamma * ((q.T @ q - p.T @ p) ** 2).sum() / classes
    return total


def gated(teacher, target, gate):
    """Rows on which the teacher is wrong, or gives the label less than `gate`."""
    label = F.softmax(teacher, 1).gather(1, target.view(-1, 1))[:, 0]
    return (teacher.argmax(1) != target) | (label < gate)


def softened(teacher, target, gate, soften):
    """The teacher's logits; of gated rows those of a softened label, with mean 0."""
    classes = teacher.shape[1]
    log_p = torch.log(torch.where(F.one_hot(target, classes).bool(), 1 - soften, soften / (classes - 1)).double())
    rows = log_p - log_p.mean(1, keepdim=True)
    return torch.where(gated(teacher, target, gate)[:, None], rows, teacher)


def dist_of_rows(student, teacher, kept, tau):
    """DIST without some rows: columns of the others; the mean over rows is still over all."""

    def pearson(a, b):
        a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-8)

    s, t = (student[kept] / tau).softmax(1), (teacher[kept] / tau).softmax(1)
    return tau**2 * ((1 - pearson(s, t)).sum() / len(student) + (1 - pearson(s.T, t.T)).mean())


def kd_of_rows(data, kept):
    return kd(data["student_logits"][kept], data["teacher_logits"][kept], 4) * kept.sum() / len(kept)


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
    "rld": lambda d: rld(d["student_logits"], d["teacher_logits"], d["labels"], 1, 8, 4, 1),
    "rld_a2_b0.5_T1": lambda d: rld(d["student_logits"], d["teacher_logits"], d["labels"], 2, 0.5, 1, 3),
    "wttm": lambda d: wttm(d["student_logits"], d["teacher_logits"], 0.1),
    "wttm_g1.5": lambda d: wttm(d["student_logits"], d["teacher_logits"], 1.5),
    "abkd": lambda d: abkd(d["student_logits"], d["teacher_logits"], 0.8, 0.3, 4),
    "abkd_a1.5_b0.5_T1": lambda d: abkd(d["student_logits"], d["teacher_logits"], 1.5, 0.5, 1),
    "mlkd": lambda d: mlkd(d["student_logits"], d["teacher_logits"], 1, 1, 4),
    "mlkd_b0.3_g2_T2": lambda d: mlkd(d["student_logits"], d["teacher_logits"], 0.3, 2, 2),
    "kd_gated_label": lambda d: kd(d["student_logits"], softened(d["teacher_logits"], d["labels"], 0.5, 0.1), 4),
    "kd_gated_wrong": lambda d: kd_of_rows(d, ~gated(d["teacher_logits"], d["labels"], 0.001)),
    "kd_gated_ce": lambda d: kd_of_rows(d, ~gated(d["teacher_logits"], d["labels"], 0.5)),
    "dist_gated_ce": lambda d: dist_of_rows(d["student_logits"], d["teacher_logits"],
                                            ~gated(d["teacher_logits"], d["labels"], 0.5), 4),
    "mlkd_gated_ce": lambda d: mlkd(d["student_logits"], d["teacher_logits"], 1, 1, 4,
                                    ~gated(d["teacher_logits"], d["labels"], 0.5)),
    "logit_mse_gated_label": lambda d: F.mse_loss(d["student_logits"],
                                                  softened(d["teacher_logits"], d["labels"], 0.5, 0.3)),
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
