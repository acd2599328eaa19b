#!/usr/bin/env python3
"""Writes tests/golden/losses_relations.h5: rkd, sp, pkt, cc and crd by PyTorch's autograd in float64, from float32 inputs.

The formulas are those of the methods' published code (RKD by its authors, the others as in RepDistiller), written out
here. Layout: inputs/NAME, and for every entry ENTRY/f64/value, ENTRY/f64/grad/INPUT, ENTRY/f64/state/NAME.

usage: golden_losses_relations.py OUT.h5      (needs torch, numpy, h5py)
"""
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

ROWS, STUDENT, TEACHER, EMBEDDING, SAMPLES, NEGATIVES = 8, 32, 24, 128, 40, 21
SEED, STEP = 0x123456789ABCDEF0, 7
TEMPERATURE, MOMENTUM = 0.07, 0.5
NEGATIVE_PURPOSE = 7  # RANDOM_NEGATIVES


# ---- rkd: Park et al. 2019 ----
def pdist(e):
    square = e.pow(2).sum(dim=1)
    product = e @ e.t()
    result = (square.unsqueeze(1) + square.unsqueeze(0) - 2 * product).clamp(min=1e-12).sqrt()
    result = result.clone()
    result[range(len(e)), range(len(e))] = 0
    return result


def rkd_distance(student, teacher):
    t, s = pdist(teacher), pdist(student)
    return F.smooth_l1_loss(s / s[s > 0].mean(), t / t[t > 0].mean())


def angles(e):
    difference = e.unsqueeze(0) - e.unsqueeze(1)
    direction = F.normalize(difference, p=2, dim=2)
    return torch.bmm(direction, direction.transpose(1, 2))


def rkd_angle(student, teacher):
    return F.smooth_l1_loss(angles(student), angles(teacher))


def plain_angles(e):
    difference = e.unsqueeze(0) - e.unsqueeze(1)
    direction = difference / (difference.norm(dim=2, keepdim=True) + 1e-8)
    return torch.bmm(direction, direction.transpose(1, 2))


# ---- similarity preserving: Tung, Mori 2019 ----
def sp(student, teacher):
    g_s = F.normalize(student @ student.t())
    g_t = F.normalize(teacher @ teacher.t())
    return (g_t - g_s).pow(2).sum() / len(student) ** 2


# ---- probabilistic knowledge transfer: Passalis, Tefas 2018 ----
def pkt(student, teacher, eps=1e-7):
    def similarity(x):
        x = x / (x.pow(2).sum(dim=1, keepdim=True).sqrt() + eps)
        s = (x @ x.t() + 1) / 2
        return s / s.sum(dim=1, keepdim=True)

    s, t = similarity(student), similarity(teacher)
    return torch.mean(t * torch.log((t + eps) / (s + eps)))


# ---- correlation congruence ----
def cc(f_s, f_t):
    delta = torch.abs(f_s - f_t)
    return torch.mean((delta[:-1] * delta[1:]).sum(1))


# ---- contrastive representation distillation: Tian, Krishnan, Isola 2020 ----
def philox(counter, key):
    mask = 0xFFFFFFFF
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & mask, (p0 >> 32) ^ c[3] ^ k[1], p0 & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c


def negatives(samples):
    """[rows, NEGATIVES]: word n % 4 of block n / 4 of a row, scaled to the other samples."""
    key = (SEED & 0xFFFFFFFF, SEED >> 32)
    draws = np.zeros((len(samples), NEGATIVES), np.int64)
    for row, own in enumerate(samples):
        for n in range(NEGATIVES):
            counter = (n // 4, row, STEP & 0xFFFFFFFF, NEGATIVE_PURPOSE | (STEP >> 32) << 8 & 0xFFFFFFFF)
            other = philox(counter, key)[n % 4] * (SAMPLES - 1) >> 32
            draws[row, n] = other + (other >= own)
    return draws


def contrast(out, eps=1e-7):
    m, noise = out.shape[1] - 1, 1 / SAMPLES
    positive, negative = out[:, 0], out[:, 1:]
    log_d1 = torch.log(positive / (positive + m * noise + eps))
    log_d0 = torch.log(m * noise / (negative + m * noise + eps))
    return -(log_d1.sum() + log_d0.sum()) / len(out)


def normalised(x):
    return x / x.pow(2).sum(1, keepdim=True).sqrt()


def crd(x_s, x_t, samples, memory_s, memory_t, normaliser):
    """The value, and what the batch's rows of the memories and the normalisers are afterwards."""
    index = torch.from_numpy(np.concatenate([samples[:, None], negatives(samples)], axis=1))
    v_s, v_t = normalised(x_s), normalised(x_t)
    out_t = torch.exp(torch.einsum("nkd,nd->nk", memory_s[index], v_t) / TEMPERATURE)
    out_s = torch.exp(torch.einsum("nkd,nd->nk", memory_t[index], v_s) / TEMPERATURE)
    z = [z if z > 0 else (out.mean() * SAMPLES).item() for z, out in zip(normaliser, (out_s, out_t))]
    after = []
    for memory, v in ((memory_s, v_s), (memory_t, v_t)):
        after.append(normalised(MOMENTUM * memory[samples] + (1 - MOMENTUM) * v.detach()))
    return contrast(out_s / z[0]) + contrast(out_t / z[1]), after, z


def main(path):
    random = np.random.default_rng(20261122)
    bound = np.sqrt(3 / EMBEDDING)
    inputs = {
        "student_feature": random.normal(0.3, 1, (ROWS, STUDENT)),
        "teacher_feature": random.normal(0.2, 1, (ROWS, TEACHER)),
        "student_embedding": random.normal(0, 1, (ROWS, EMBEDDING)),
        "weight": random.normal(0, 0.2, (EMBEDDING, TEACHER)),
        "bias": random.normal(0, 0.2, EMBEDDING),
        "memory_student": random.uniform(-bound, bound, (SAMPLES, EMBEDDING)),
        "memory_teacher": random.uniform(-bound, bound, (SAMPLES, EMBEDDING)),
        "normaliser": np.array([61.5, 83.25]),
    }
    inputs = {name: value.astype(np.float32) for name, value in inputs.items()}
    inputs["samples"] = random.permutation(SAMPLES)[:ROWS].astype(np.int64)
    with h5py.File(path, "w", track_order=False) as file:
        for name, value in inputs.items():
            file.create_dataset(f"inputs/{name}", data=value, track_times=False)

        def entry(name, names, value):
            leaves = {n: torch.from_numpy(inputs[n]).double().requires_grad_() for n in names}
            result = value(*leaves.values())
            loss, state = result if isinstance(result, tuple) else (result, {})
            loss.backward()
            file.create_dataset(f"{name}/f64/value", data=loss.item(), track_times=False)
            for n, leaf in leaves.items():
                file.create_dataset(f"{name}/f64/grad/{n}", data=leaf.grad.numpy(), track_times=False)
            for n, after in state.items():
                file.create_dataset(f"{name}/f64/state/{n}", data=after, track_times=False)

        teacher = torch.from_numpy(inputs["teacher_feature"]).double()
        memory_s = torch.from_numpy(inputs["memory_student"]).double()
        memory_t = torch.from_numpy(inputs["memory_teacher"]).double()

        def crd_from(normaliser):
            def run(x_s, w, b):
                value, (m_s, m_t), z = crd(x_s, teacher @ w.t() + b, inputs["samples"], memory_s, memory_t, normaliser)
                return value, {"memory_student": m_s.numpy(), "memory_teacher": m_t.numpy(), "normaliser": z}
            return run

        on_rows = {
            "rkd_distance": rkd_distance,
            "rkd_distance_mse": lambda s, t: F.mse_loss(pdist(s), pdist(t)),
            "rkd_angle": rkd_angle,
            "rkd_angle_mse": lambda s, t: F.mse_loss(plain_angles(s), plain_angles(t)),
            "sp": sp,
            "pkt": pkt,
        }
        for name, formula in on_rows.items():
            entry(name, ["student_feature"], lambda s, formula=formula: formula(s, teacher))
        learned = ["student_embedding", "weight", "bias"]
        entry("cc", learned, lambda x_s, w, b: cc(x_s, teacher @ w.t() + b))
        entry("crd", learned, crd_from([float(z) for z in inputs["normaliser"]]))
        entry("crd_first", learned, crd_from([0.0, 0.0]))


if __name__ == "__main__":
    main(sys.argv[1])
