#!/usr/bin/env python3
"""Classifiers of torchvision and timm as teachers: writes a table in Markdown (docs/teachers.md).

    teachers.py --build build [--model torchvision:resnet18 ...] [--exporter NAME ...] [--out docs/teachers.md] [--results FILE.jsonl]

Every model gets random weights with batch norm statistics that fit them, is exported by every exporter, and runs in teacher_dump's engine
and in onnxruntime on the same images: the logits are compared, and both are timed in turns, so that a busy machine hits both. Results are
appended to --results, and models that are there already are not run again. Needs torch, torchvision, timm, onnx, onnxscript, onnxruntime.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings

import numpy
import onnxruntime
import torch

TORCHVISION = """alexnet vgg11 vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 googlenet inception_v3 squeezenet1_1
mobilenet_v2 mobilenet_v3_large mobilenet_v3_small mnasnet1_0 shufflenet_v2_x1_0 efficientnet_b0 efficientnet_v2_s regnet_x_400mf regnet_y_400mf
convnext_tiny swin_t swin_v2_t vit_b_16 maxvit_t""".split()
TIMM = """resnet10t resnet26d resnet50d resnetv2_50 resnetaa50 seresnet50 skresnet18 ecaresnet26t res2net50_26w_4s resnest26d cspresnet50 cspdarknet53
darknet53 dla34 hrnet_w18_small vgg11_bn densenet121 dpn68 xception41 legacy_xception inception_v4 inception_next_tiny efficientnet_b0 efficientnet_lite0
tf_efficientnet_b0 tf_efficientnetv2_b0 mixnet_s mobilenetv2_100 mobilenetv3_large_100 mobilenetv4_conv_small ghostnet_100 lcnet_100 fbnetc_100
rexnet_100 repvgg_a0 mobileone_s0 regnety_004 nf_resnet26 dm_nfnet_f0 eca_nfnet_l0 gernet_s convnext_atto convnextv2_atto convmixer_768_32 poolformer_s12
edgenext_xx_small mobilevit_xs fastvit_t8 efficientformer_l1 levit_128s deit_tiny_patch16_224 vit_tiny_patch16_224 swin_tiny_patch4_window7_224
mixer_s32_224 beit_base_patch16_224 eva02_tiny_patch14_224 coat_tiny pvt_v2_b0 twins_svt_small volo_d1_224 xcit_nano_12_p16_224 maxvit_rmlp_pico_rw_256
tiny_vit_5m_224 repvit_m0_9 starnet_s1""".split()
CLASSES = 11


def make_model(name):
    kind, name = name.split(":")
    if kind == "timm":
        import timm

        return timm.create_model(name, pretrained=False, num_classes=CLASSES)
    import torchvision

    keywords = {"transform_input": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **keywords)


def image_size(name, model):
    config = getattr(model, "pretrained_cfg", None) or {}
    return config.get("input_size", (3, 299 if name.endswith("inception_v3") else 224))[-1]


def settle(model, size):
    """Weights that are not special, and the batch norm statistics of random images."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim <= 1:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = None
                module.reset_running_stats()
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model.train()
        model(torch.randn(4, 3, size, size, generator=generator))
    return model.eval()


def export(model, size, path, exporter):
    example = torch.randn(2, 3, size, size)
    if exporter == "dynamo":
        torch.onnx.export(model, (example,), path, dynamo=True, verbose=False, input_names=["input"], output_names=["logits"],
                          dynamic_shapes=({0: torch.export.Dim("batch")},))
    else:
        torch.onnx.export(model, (example,), path, dynamo=False, input_names=["input"], output_names=["logits"],
                          dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})


def time_onnxruntime(session, x, seconds):
    name, done, start = session.get_inputs()[0].name, 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        session.run(None, {name: x})
        done += len(x)
    return done / (time.perf_counter() - start)


def run_ours(options, model, size, x, seconds):
    """(logits, images/s, engine) of tests/bench_teacher."""
    folder = os.path.dirname(model)
    x.transpose(0, 2, 3, 1).tofile(f"{folder}/input")
    done = subprocess.run([f"{options.build}/tests/bench_teacher", "--teacher", model, "--size", str(size), "--engine", options.engine, "--seconds",
                           str(seconds), "--count", str(len(x)), "--input", f"{folder}/input", "--output", f"{folder}/output"],
                          capture_output=True, text=True,
                          env={**os.environ, "SOFTCACHE_ONNXRUNTIME": f"{os.path.dirname(onnxruntime.__file__)}/capi"})
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1].replace(model + ": ", ""))
    result = json.loads(done.stdout.splitlines()[-1])
    return numpy.fromfile(f"{folder}/output", numpy.float32).reshape(len(x), -1), result["images_per_second"], result["engine"]


def from_double(model, x, answers):
    """How far fp32 answers are from PyTorch's in double precision: random weights can make a deep net so sensitive that all of them are."""
    with torch.no_grad():
        right = model.double()(torch.from_numpy(x).double()).numpy()
        answers["pytorch"] = model.float()(torch.from_numpy(x)).numpy()
    return {who: float(abs(answer - right).max() / abs(right).max()) for who, answer in answers.items()}


def is_right(row):
    """Within 1e-4 of onnxruntime, or as near to double precision as PyTorch and onnxruntime are in fp32."""
    if row.get("difference", 1) < 1e-4:
        return True
    double = row.get("from_double")
    return bool(double) and double["ours"] < 2 * max(double["pytorch"], double["onnxruntime"])


def measure(options, name, exporter):
    torch.manual_seed(1)
    model = make_model(name)
    size = image_size(name, model)
    settle(model, size)
    row = {"model": name, "exporter": exporter, "size": size, "parameters": sum(p.numel() for p in model.parameters())}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/teacher.onnx"
        try:
            with torch.no_grad():
                export(model, size, path, exporter)
        except Exception as error:
            return {**row, "error": f"PyTorch does not export it ({type(error).__name__})"}
        x = numpy.random.default_rng(1).standard_normal((options.count, 3, size, size), numpy.float32)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        expected = session.run(None, {session.get_inputs()[0].name: x})[0]
        try:
            logits, _, engine = run_ours(options, path, size, x, 0)
            ours, theirs = [], []
            for _ in range(options.rounds):
                theirs.append(time_onnxruntime(session, x[:8], options.seconds))
                ours.append(run_ours(options, path, size, x, options.seconds)[1])
        except RuntimeError as error:
            return {**row, "error": str(error)}
        difference = float(abs(logits - expected).max() / abs(expected).max())
        row.update(engine=engine, difference=difference, ours=max(ours), onnxruntime=max(theirs))
        if difference >= 1e-4:
            row["from_double"] = from_double(model, x, {"ours": logits, "onnxruntime": expected})
        return row


def read_results(path):
    if not path or not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def table(rows):
    lines = ["| model | exporter | engine | difference | images/s | onnxruntime | ratio |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        start = f"| {row['model']} | {row['exporter']} | "
        if "error" in row:
            lines.append(start + f"{row['error'].replace('|', '/')[:200]} | | | | |")
        else:
            double = row.get("from_double")
            note = ", from double precision {ours:.1e} (onnxruntime {onnxruntime:.1e}, PyTorch {pytorch:.1e})".format(**double) if double else ""
            lines.append(start + f"{row['engine']} | {row['difference']:.1e}{note} | {row['ours']:.1f} | {row['onnxruntime']:.1f} | {row['ours'] / row['onnxruntime']:.2f} |")
    return "\n".join(lines)


PAGE = """# Teachers that were tried

Written by `scripts/zoo.sh teachers` with PyTorch {torch} and onnxruntime {onnxruntime}, on {machine}.
The weights are random, with fitting batch norm statistics. "difference" is the largest difference between the logits of the engine and those
of onnxruntime, relative to the largest logit. Images/s are the best of {rounds} rounds that take turns with onnxruntime's own loop in Python
(batch 8, its default threads).

{summary}

{table}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--model", action="append", help="torchvision:NAME or timm:NAME")
    parser.add_argument("--exporter", action="append", choices=["dynamo", "torchscript"])
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--machine", default="an unnamed machine")
    parser.add_argument("--results", help="a file of JSON lines that is continued")
    parser.add_argument("--out", help="a Markdown file")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = read_results(options.results)
    known = {(row["model"], row["exporter"]) for row in rows}
    names = [f"torchvision:{n}" for n in TORCHVISION] + [f"timm:{n}" for n in TIMM]
    for name in options.model or names:
        for exporter in options.exporter or ["dynamo", "torchscript"]:
            if (name, exporter) in known:
                continue
            row = measure(options, name, exporter)
            rows.append(row)
            print(table([row]).splitlines()[-1], flush=True)
            if options.results:
                with open(options.results, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    good = [r for r in rows if is_right(r)]
    native = [r for r in good if "onnxruntime" not in r["engine"]]
    bad = [r for r in rows if "difference" in r and not is_right(r)]
    summary = f"{len(good)} of {len(rows)} exports give onnxruntime's logits within 1e-4, or are as near to double precision ({len(native)} in our own engine), {len(bad)} are wrong, " \
              f"{len(rows) - len(good) - len(bad)} do not run."
    tried = {row["model"] for row in rows}
    if any(name not in tried for name in names):
        summary += f" Not tried yet: {', '.join(name for name in names if name not in tried)}."
    print(summary)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as out:
            out.write(PAGE.format(torch=torch.__version__, onnxruntime=onnxruntime.__version__, machine=options.machine, rounds=options.rounds,
                                  summary=summary, table=table(rows)))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
