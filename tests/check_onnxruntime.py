"""Teachers that onnxruntime runs, and several teachers at once: teacher_dump's logits and features against Python's
onnxruntime on the same pictures. Prints one line a check; part of tests/test_onnxruntime.sh.

usage: check_onnxruntime.py BUILD FOLDER"""
import json
import os
import resource
import subprocess
import sys

import h5py
import hdf5plugin  # noqa: F401 (registers the filter)
import numpy as np
import onnx
import onnx.parser
import onnxruntime
from onnx import numpy_helper

BUILD, FOLDER = sys.argv[1:]
DUMP = os.path.join(BUILD, "teacher_dump")
TRAIN, TEST, CLASSES = 37, 11, 10
onnxruntime.set_default_logger_severity(4)


# ---- data and models ----
def write_cifar(folder):
    """Two files of CIFAR-10's binary format; returns the pictures, [split][n, h, w, c] uint8."""
    os.makedirs(folder)
    draw = np.random.default_rng(1)
    pictures = {}
    for name, split, count in (("data_batch_1.bin", "train", TRAIN), ("test_batch.bin", "val", TEST)):
        planes = draw.integers(0, 256, (count, 3, 32, 32), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % CLASSES
        with open(os.path.join(folder, name), "wb") as file:
            for label, plane in zip(labels, planes):
                file.write(bytes([label]) + plane.tobytes())
        pictures[split] = planes.transpose(0, 2, 3, 1)
    return pictures


def write_model(name, text, weights, seed, external=False):
    """Weights are drawn at random; integers are taken as they are."""
    draw = np.random.default_rng(seed)
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>' + text)
    half = "float16" in text.split("=>")[0]
    for weight, shape in weights.items():
        if isinstance(shape, np.ndarray):
            values = shape
        else:
            values = draw.normal(0, 1 / max(1, np.prod(shape[1:])) ** 0.5, shape).astype(np.float16 if half else np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, weight))
    path = os.path.join(FOLDER, name + ".onnx")
    if external:
        onnx.save(model, path, save_as_external_data=True, location=name + ".data", size_threshold=100)
    else:
        onnx.save(model, path)
    return path


ATTENTION = """
    patches = Conv <strides = [8, 8]> (input, cw, cb)
    rows = Reshape (patches, rowshape)
    tokens = Transpose <perm = [0, 2, 1]> (rows)
    normed = LayerNormalization <axis = -1> (tokens, g, z)
    q = MatMul (normed, qw)
    k = MatMul (normed, kw)
    kt = Transpose <perm = [0, 2, 1]> (k)
    scores = MatMul (q, kt)
    shares = Softmax <axis = -1> (scores)
    mixed = MatMul (shares, normed)
    mean = ReduceMean <axes = [1], keepdims = 0> (mixed)
"""
ATTENTION_WEIGHTS = {"cw": (16, 3, 8, 8), "cb": (16,), "rowshape": np.array([0, 16, -1]), "g": (16,), "z": (16,), "qw": (16, 16),
                     "kw": (16, 16), "fw": (CLASSES, 16), "fb": (CLASSES,)}
HEAD = "logits = Gemm <transB = 1> (mean, fw, fb)"


def transformer(name, seed, **how):
    text = "agraph (float[N,3,32,32] input) => (float[N,10] logits) {" + ATTENTION + HEAD + "}"
    return write_model(name, text, ATTENTION_WEIGHTS, seed, **how)


CONVOLUTION = """
    a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (%s, cw, cb)
    b = Mish (a)
    mean0 = GlobalAveragePool (b)
    mean = Flatten (mean0)
"""
CONVOLUTION_WEIGHTS = {"cw": (8, 3, 3, 3), "cb": (8,), "fw": (CLASSES, 8), "fb": (CLASSES,)}


def convolution(name, header, before="", source="input", after="", **more):
    text = "agraph " + header + "{" + before + CONVOLUTION % source + HEAD + after + "}"
    text = text.replace("Mish (a)", "Softplus (a)")
    return write_model(name, text, {**CONVOLUTION_WEIGHTS, **more}, 5)


# ---- what is compared ----
def expected(path, pictures, outputs=("logits",)):
    """One by one: what a batch gives may differ in the last bits."""
    if outputs != ("logits",):
        model = onnx.load(path)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        path = os.path.join(FOLDER, "more-outputs.onnx")
        onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    x = (pictures.astype(np.float32) / 255 - 0.5) / 0.5
    x = x if given.shape[3] == 3 else x.transpose(0, 3, 1, 2)
    x = x.astype(np.float16 if given.type == "tensor(float16)" else np.float32)
    size = given.shape[0] if isinstance(given.shape[0], int) else 1
    rows = []
    for i in range(0, len(x), size):
        part = np.zeros((size,) + x.shape[1:], x.dtype)
        part[: len(x[i : i + size])] = x[i : i + size]
        rows.append([value[: len(x) - i] for value in session.run(list(outputs), {given.name: part})])
    return [np.concatenate(column).astype(np.float64) for column in zip(*rows)]


def run(*arguments, code=0, env=None):
    done = subprocess.run([DUMP, *arguments], capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode != code:
        raise AssertionError(f"exit {done.returncode}, wanted {code}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def dump(out, *teachers, more=(), code=0):
    options = ["--size", "32", "--base", "0", "--views", "1", "--augment", "none", "--teacher-check", "off"]
    given = [part for teacher in teachers for part in ("--teacher", teacher)]
    return run("run", "--data", DATA, "--out", os.path.join(FOLDER, out), *given, *options, *more, code=code)


def stored(out, split, name="logits"):
    with h5py.File(os.path.join(FOLDER, out, f"{split}-00000.h5")) as file:
        return file[name][:].astype(np.float64)


def manifest(out):
    return json.load(open(os.path.join(FOLDER, out, "cache.json")))


def close(found, wanted, what, tolerance=1.5e-3):
    """float16 keeps 11 bits."""
    found, wanted = found.reshape(len(found), -1), wanted.reshape(len(wanted), -1)
    assert found.shape == wanted.shape, f"{what}: shapes {found.shape} and {wanted.shape}"
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert error < tolerance, f"{what}: relative error {error:.2g}"


def same_shards(a, b):
    for name in sorted(os.listdir(os.path.join(FOLDER, a))):
        if name.endswith(".h5"):
            one, other = (open(os.path.join(FOLDER, folder, name), "rb").read() for folder in (a, b))
            assert one == other, f"{name} of {a} and {b} differ"


def check_logits(out, wanted):
    for split in ("train", "val"):
        close(stored(out, split), wanted(PICTURES[split]), f"{out} {split}")


# ---- checks ----
def transformers():
    path = transformer("vit", 1)
    text = dump("vit-cache", path, more=["--feature", "tokens", "--feature", "tokens:pooled", "--feature", "patches:at"])
    assert "engine: onnxruntime" in text and "softcache's own does not know the model" in text, text
    check_logits("vit-cache", lambda x: expected(path, x)[0])
    tokens, = expected(path, PICTURES["train"], ["tokens"])
    close(stored("vit-cache", "train", "feature_0"), tokens.transpose(0, 2, 1), "tokens as 16x4x4")
    assert stored("vit-cache", "train", "feature_0").shape == (TRAIN, 1, 16, 4, 4)
    close(stored("vit-cache", "train", "feature_1"), tokens.mean(1), "pooled tokens")
    teacher = manifest("vit-cache")["teacher"]
    assert teacher["engine"] == "onnxruntime" and teacher["engine_version"] == onnxruntime.__version__, teacher
    text = run("recheck", os.path.join(FOLDER, "vit-cache"), "--teacher", path, "-n", "20")
    assert "20 identical bit for bit" in text, text
    assert "16x4x4" in run("inspect", path)
    assert "onnxruntime " + onnxruntime.__version__ in run("inspect", os.path.join(FOLDER, "vit-cache"))
    assert "views/s" in dump("never", path, more=["--dry-run"]) and not os.path.exists(os.path.join(FOLDER, "never"))


def neither_threads_nor_batch():
    path = transformer("vit2", 2)
    dump("one", path)
    dump("other", path, more=["--threads", "1", "--batch", "5"])
    same_shards("one", "other")


def external_weights():
    path = transformer("big", 3, external=True)
    dump("external-cache", path)
    check_logits("external-cache", lambda x: expected(path, x)[0])


def large_weights():
    """More than protobuf's 2 GiB, in a file with a hole."""
    path = os.path.join(FOLDER, "large.onnx")
    count = (5 << 29) // 4 // CLASSES * CLASSES
    with open(os.path.join(FOLDER, "large.data"), "wb") as file:
        file.truncate(count * 4)
        file.seek(4 * (count - CLASSES))
        file.write(np.arange(CLASSES, dtype=np.float32).tobytes())
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        agraph (float[N,3,32,32] input) => (float[N,10] logits) {
            mean0 = GlobalAveragePool (input)
            mean = ReduceMean <axes = [1, 2, 3], keepdims = 0> (mean0)
            column = Reshape (mean, shape)
            row = Gather <axis = 0> (large, last)
            logits = Add (column, row)
        }""")
    large = model.graph.initializer.add(name="large", data_type=onnx.TensorProto.FLOAT, dims=[count // CLASSES, CLASSES],
                                        data_location=onnx.TensorProto.EXTERNAL)
    large.external_data.add(key="location", value="large.data")
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1]), "shape"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(count // CLASSES - 1), "last"))
    onnx.save(model, path)
    dump("large-cache", path)
    x = (PICTURES["val"].astype(np.float64) / 255 - 0.5) / 0.5
    close(stored("large-cache", "val"), x.mean((1, 2, 3))[:, None] + np.arange(CLASSES), "large")
    assert "2 GiB" in dump("never", path, more=["--teacher-engine", "native"], code=78)
    os.remove(os.path.join(FOLDER, "large.data"))


def layouts():
    nhwc = convolution("nhwc", "(float[N,32,32,3] input) => (float[N,10] logits)", "x = Transpose <perm = [0, 3, 1, 2]> (input)", "x")
    dynamic = convolution("dynamic", "(float[N,C,H,W] input) => (float[N,10] logits)")
    half = convolution("half", "(float16[N,3,32,32] input) => (float16[N,10] logits)")
    flat = convolution("flat", "(float[N,3,32,32] input) => (float[N,10] logits)", after="", source="input")
    for path in (nhwc, dynamic, half, flat):
        out = os.path.basename(path) + "-cache"
        dump(out, path, more=["--teacher-engine", "onnxruntime", "--feature", "b"])
        check_logits(out, lambda x: expected(path, x)[0])
        close(stored(out, "train", "feature_0"), expected(path, PICTURES["train"], ["b"])[0], out + " feature")


def quantised():
    """8-bit integers as QDQ, with weights so large that pairs of products leave 16 bits: on processors without VNNI, onnxruntime
    saturates them unless it is told not to. Its nodes one by one compute in floats."""
    path = write_model("quantised", """agraph (float[N,3,32,32] input) => (float[N,10] logits) {
        q = QuantizeLinear (input, xs, xz)
        x = DequantizeLinear (q, xs, xz)
        w = DequantizeLinear (wq, ws, wz)
        c = Conv <pads = [1, 1, 1, 1]> (x, w)
        cq = QuantizeLinear (c, cs, cz)
        a = DequantizeLinear (cq, cs, cz)
        mean0 = GlobalAveragePool (a)
        mean = Flatten (mean0)""" + HEAD + "}", {
            "xs": np.array(2 / 255, np.float32), "xz": np.array(128, np.uint8), "ws": np.array(1 / 127, np.float32),
            "wz": np.array(0, np.int8), "wq": np.where(np.arange(16 * 27).reshape(16, 3, 3, 3) % 16 < 12, 127, -127).astype(np.int8),
            "cs": np.array(0.25, np.float32), "cz": np.array(128, np.uint8), "fw": (CLASSES, 16), "fb": (CLASSES,)}, 8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    dump("quantised-cache", path)
    for split in ("train", "val"):
        x = ((PICTURES[split].astype(np.float32) / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2)
        close(stored("quantised-cache", split), session.run(None, {"input": x})[0], "quantised " + split, 1e-2)


def fixed_batches():
    one = convolution("one", "(float[1,3,32,32] input) => (float[1,10] logits)")
    three = convolution("three", "(float[3,3,32,32] input) => (float[3,10] logits)")
    inner = convolution("inner", "(float[N,3,32,32] input) => (float[N,10] logits)", "x = Reshape (input, frozen)", "x",
                        frozen=np.array([1, 3, 32, 32]))
    for path in (one, three, inner):
        out = os.path.basename(path) + "-cache"
        dump(out, path, more=["--teacher-engine", "onnxruntime", "--batch", "7"])
        check_logits(out, lambda x: expected(path, x)[0])
        dump(out + "2", path, more=["--teacher-engine", "onnxruntime", "--batch", "9", "--threads", "1"])
        same_shards(out, out + "2")


def outputs():
    two = transformer("two", 4)
    model = onnx.load(two)
    model.graph.output.insert(0, onnx.helper.make_tensor_value_info("mean", onnx.TensorProto.FLOAT, None))
    onnx.save(model, two)
    dump("two-cache", two)  # the output called logits, though it is not the first
    check_logits("two-cache", lambda x: expected(two, x)[0])
    for operator, name in (("Softmax", "softmax"), ("Sigmoid", "sigmoid")):
        model = onnx.load(transformer("ends", 4))
        model.graph.node.append(onnx.helper.make_node(operator, ["logits"], ["shares_out"]))
        model.graph.node.append(onnx.helper.make_node("Identity", ["shares_out"], ["out"]))
        del model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["N", CLASSES]))
        path = os.path.join(FOLDER, name + ".onnx")
        onnx.save(model, path)
        assert f"is a {name}: distillation" in dump("never", path, code=78)


def probabilities_in_our_own_engine():
    """A softmax or a sigmoid, and nodes behind it that change no number."""
    for operators, name in ((["Softmax", "Dropout"], "softmax"), (["Softmax", "Flatten"], "softmax"), (["Sigmoid"], "sigmoid")):
        model = onnx.load("tests/golden/teachers/tiny.onnx")
        value = model.graph.output[0].name
        for operator in operators:
            model.graph.node.append(onnx.helper.make_node(operator, [value], [value + "_"]))
            value += "_"
        del model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, ["N", CLASSES]))
        path = os.path.join(FOLDER, "probable.onnx")
        onnx.save(model, path)
        for engine in ("native", "onnxruntime"):
            text = dump("never", path, more=["--teacher-engine", engine], code=78)
            assert f"is a {name}: distillation" in text, text


def refusals():
    path = transformer("vit3", 5)
    text = dump("never", path, more=["--teacher-engine", "native"], code=78)
    assert "is not supported" in text or "are supported" in text, text
    text = dump("never", path, more=["--feature", "tokes"], code=78)
    assert "did you mean 'tokens'" in text, text
    text = dump("never", path, more=["--feature", "rowshape"], code=78)
    assert "has no tensor" in text, text
    bytes_in = write_model("bytes", "agraph (uint8[N,3,32,32] input) => (float[N,10] logits) { x = Cast <to = 1> (input)"
                           + CONVOLUTION % "x" + HEAD + "}", CONVOLUTION_WEIGHTS, 1)
    assert "takes bytes" in dump("never", bytes_in, more=["--teacher-engine", "onnxruntime"], code=78)
    pair = write_model("pair", "agraph (float[N,3,32,32] input, float[N,3,32,32] other) => (float[N,10] logits) { x = Add (input, other)"
                       + CONVOLUTION % "x" + HEAD + "}", CONVOLUTION_WEIGHTS, 1)
    assert "more than one input" in dump("never", pair, more=["--teacher-engine", "onnxruntime"], code=78)
    nowhere = {"SOFTCACHE_PYTHON": "/bin/false", "SOFTCACHE_ONNXRUNTIME": ""}
    done = subprocess.run([DUMP, "run", "--data", DATA, "--out", os.path.join(FOLDER, "never"), "--teacher", path],
                          capture_output=True, text=True, env={**os.environ, **nowhere})
    if done.returncode == 0:
        return  # the loader's path has a library
    for words in ("not supported", "a transformer", "pip install onnxruntime"):
        assert words in done.stderr or words == "not supported" and "are supported" in done.stderr, done.stderr


def mean_of(logits, weights, ensemble):
    if ensemble == "logits":
        return sum(w * z for w, z in zip(weights, logits))
    shares = [np.exp(z - z.max(1, keepdims=True)) for z in logits]
    return np.log(sum(w * s / s.sum(1, keepdims=True) for w, s in zip(weights, shares)))


def ensembles():
    a, b = transformer("a", 6), convolution("b", "(float[N,3,32,32] input) => (float[N,10] logits)")
    tiny = "tests/golden/teachers/tiny.onnx"
    for ensemble in ("logits", "probabilities"):
        out = "both-" + ensemble
        more = ["--ensemble", ensemble, "--feature", "tokens:pooled"]
        dump(out, a + "@3", b, tiny + "@0.5", more=more)
        weights = [3 / 4.5, 1 / 4.5, 0.5 / 4.5]
        check_logits(out, lambda x: mean_of([expected(p, x)[0] for p in (a, b, tiny)], weights, ensemble))
        close(stored(out, "train", "feature_0"), expected(a, PICTURES["train"], ["tokens"])[0].mean(1), "first teacher's feature")
        assert "every shard verified" in dump(out, a + "@6", b + "@2", tiny, more=more)  # the same shares: resumed
        assert "sha256" in dump(out, a, b, tiny, more=more, code=78)  # other shares
        cache = os.path.join(FOLDER, out)
        text = run("recheck", cache, "--teacher", a, "--teacher", b, "--teacher", tiny, "-n", "20")
        assert "20 identical bit for bit" in text, text
        assert "made with 3 teachers" in run("recheck", cache, "--teacher", a, code=78)
        assert "is not the teacher" in run("recheck", cache, "--teacher", b, "--teacher", a, "--teacher", tiny, code=78)
        assert "mean of " + ensemble in run("inspect", cache)
        members = manifest(out)["teacher"]["members"]
        assert [m["file"] for m in members] == ["a.onnx", "b.onnx", "tiny.onnx"] and "engine" not in members[2], members
        assert abs(members[0]["weight"] - 2 / 3) < 1e-6
    assert "weight, a number above 0" in dump("never", a + "@x", code=64)


def mirrored():
    path = transformer("m", 7)
    dump("mirrored", path, more=["--teacher-tta", "hflip", "--feature", "tokens:pooled"])
    check_logits("mirrored", lambda x: (expected(path, x)[0] + expected(path, x[:, :, ::-1])[0]) / 2)
    close(stored("mirrored", "train", "feature_0"), expected(path, PICTURES["train"], ["tokens"])[0].mean(1), "the view's feature")
    text = run("recheck", os.path.join(FOLDER, "mirrored"), "--teacher", path, "-n", "20")
    assert "20 identical bit for bit" in text, text
    assert "sha256" in dump("mirrored", path, more=["--feature", "tokens:pooled"], code=78)


def bombs():
    """A few hundred bytes that ask for gigabytes, when they are loaded or when they run: refused before they get them."""
    head = "bomb (float[n, 3, 32, 32] input) => (float[n, 10] logits) { e = Einsum <equation = \"nchw->nchw\"> (input)\n"
    tail = """m = ReduceMean <axes = [1, 2, 3], keepdims = 0> (t)
        u = Unsqueeze (m, one)
        logits = Concat <axis = 1> (u, u, u, u, u, u, u, u, u, u) }"""
    whole = {name: np.array(values, np.int64) for name, values in
             (("one", [1]), ("shape", [1, 3, 30000, 30000]), ("pads", [0, 0, 15000, 15000] * 2), ("times", [1, 1, 500, 500]))}
    number = {"a": np.float32(0), "b": np.float32(4e9), "d": np.float32(1)}
    bodies = {
        "expand": "r = ReduceMean <axes = [1, 2, 3], keepdims = 1> (e)\n t = Expand (r, shape)",
        "constant": "c = ConstantOfShape (shape)\n s = ReduceSum <keepdims = 0> (c)\n t = Add (e, s)",
        "range": "c = Range (a, b, d)\n s = ReduceSum <keepdims = 0> (c)\n t = Add (e, s)",
        "pad": "t = Pad (e, pads)",
        "tile": "t = Tile (e, times)",
    }
    for name, body in bodies.items():
        path = write_model("bomb-" + name, head + body + "\n" + tail, {**whole, **{k: np.array(v) for k, v in number.items()}}, 1)
        text = dump("never", path, more=["--max-memory", "512M"], code=78)
        assert "needs more memory" in text, (name, text)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert most < 2**30, f"{most} bytes were taken"
    path = write_model("harmless", head + "t = Identity (e)\n" + tail, {"one": whole["one"]}, 1)
    dump("harmless", path, more=["--max-memory", "512M"])


DATA = os.path.join(FOLDER, "data")
PICTURES = write_cifar(DATA)
for check in (bombs, transformers, neither_threads_nor_batch, external_weights, large_weights, layouts, quantised, fixed_batches, outputs, probabilities_in_our_own_engine,
              refusals, ensembles, mirrored):
    try:
        check()
        print(f"ok onnxruntime {check.__name__}", flush=True)
    except Exception as problem:  # noqa: BLE001 (the next check still runs)
        print(f"not ok onnxruntime {check.__name__}: {type(problem).__name__}: {str(problem)[:1500]}", flush=True)
