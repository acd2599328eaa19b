"""Checks of the Python package, run by test_python.sh: prints "ok NAME" or "not ok NAME: why".
usage: check_python.py BUILD WORK     BUILD: the programs; WORK: an empty folder

The teacher here is arithmetic that numpy repeats exactly: its logits are some pixels of its input, and its feature `input` is the
input itself. So what teacher_dump records tells every pixel that the teacher saw."""
import json
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import onnx
import softcache
from onnx import TensorProto, helper, numpy_helper

build, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
CLASSES = 10
PRESETS = ["none", "light", "photos", "photos-mix", "food11-strong", "cifar"]
MIXED = ["light+mixup(alpha=0.4,p=0.5)+cutmix", "food11-strong+color_jitter(0.4,contrast=0.4,saturation=0.3,hue=0.1)+erase+mixup",
         "random_crop(padding=4)+vflip+cutmix"]


def program(*arguments, code=0):
    arguments = [str(argument) for argument in arguments]
    result = subprocess.run([build / arguments[0], *arguments[1:]], capture_output=True, text=True)
    assert result.returncode == code, f"{' '.join(arguments)}: exit code {result.returncode}: {result.stdout}{result.stderr}"
    return result.stdout + result.stderr


def chosen_pixels(channels, size, classes):
    """Which of the input's values are the logits."""
    return np.random.default_rng(5).permutation(channels * size * size)[:classes]


def make_teacher(channels, size, classes=CLASSES):
    path = work / f"teacher-{channels}-{size}-{classes}.onnx"
    count = channels * size * size
    weight = np.zeros((classes, count), dtype=np.float32)
    weight[np.arange(classes), chosen_pixels(channels, size, classes)] = 1
    nodes = [helper.make_node("Flatten", ["input"], ["flat"]), helper.make_node("Gemm", ["flat", "weight"], ["logits"], transB=1)]
    graph = helper.make_graph(nodes, "pixels", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", channels, size, size])],
                              [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
                              [numpy_helper.from_array(weight, "weight")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def teacher_logits(inputs, classes=CLASSES):
    """What the teacher says about inputs [n, c, size, size]."""
    _, channels, size, _ = inputs.shape
    return inputs.reshape(len(inputs), -1)[:, chosen_pixels(channels, size, classes)]


def make_photos(kind):
    """A data set: photos, broken (photos, too), gray or color."""
    folder = work / kind
    if folder.exists():
        return folder
    random = np.random.default_rng(3)
    if kind == "photos":
        program("synthetic_images", "--out", folder, "--train", 30, "--val", 20, "--classes", CLASSES, "--width", 71, "--height", 55)
    elif kind == "broken":  # some photos are left out, so the ids of the others have gaps
        shutil.copytree(make_photos("photos"), folder)
        for path in sorted((folder / "train").rglob("*.jpg"))[2:9:3]:
            path.write_bytes(path.read_bytes()[:300])
    elif kind == "gray":
        folder.mkdir()
        for prefix, count in ("train", 40), ("t10k", 20):
            pixels = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = np.arange(count, dtype=np.uint8) % CLASSES
            (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + pixels.tobytes())
            (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())
    else:
        folder.mkdir()
        for name, count in ("data_batch_1", 40), ("test_batch", 20):
            records = random.integers(0, 256, (count, 3073), dtype=np.uint8)
            records[:, 0] = np.arange(count) % CLASSES
            (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def run_teacher(name, kind="photos", *options, recipe="light", views=3, size=32, features=("input",), classes=CLASSES):
    """A cache by `teacher_dump run`, whose teacher's input is pixel / 255."""
    out = work / name
    channels = 1 if kind == "gray" else 3
    shutil.rmtree(out, ignore_errors=True)
    program("teacher_dump", "run", "--data", make_photos(kind), "--teacher", make_teacher(channels, size, classes), "--out", out, "--views",
            views, "--augment", recipe, "--size", size, "--mean", "0,0,0", "--std", "1,1,1", "--device", "cpu", "--quiet",
            "--teacher-check", "off", *[word for feature in features for word in ("--feature", feature)], *options)
    return softcache.open(out)


def as_pixels(values):
    """[..., c, h, w] of pixel / 255 in float16 -> [..., h, w, c] uint8."""
    return np.moveaxis(np.rint(values * 255).astype(np.uint8), -3, -1)


def refused(what, text):
    try:
        what()
    except softcache.SoftcacheError as error:
        assert text in str(error), f"{str(error)!r} lacks {text!r}"
        return
    raise AssertionError(f"was not refused: {text}")


def check_cache_pixels(cache):
    train = cache["train"]
    seen = as_pixels(train.feature("input"))
    mixing = train.mixing(np.arange(len(train)))
    assert np.array_equal(train.pixels(np.arange(len(train))), seen), f"pixels of {cache.recipe}"
    assert (mixing["partner"] != np.arange(len(train))[:, None]).any() == ("mixup(" in cache.recipe or "cutmix(" in cache.recipe)
    assert np.array_equal(train.pixels([5, 3, 3], [0, 2, 1]), seen[[5, 3, 3], [0, 2, 1]])
    assert np.array_equal(train.pixels(4, 1), seen[4, 1])
    for batch in cache.batches(7):  # evaluation views, too, at the pixels that are logits
        inputs = np.moveaxis(batch.pixels, -1, 1).astype(np.float32) / np.float32(255)
        assert np.array_equal(teacher_logits(inputs).astype(np.float16), batch.split.logits(batch.samples, batch.views))
        assert np.array_equal(batch.input(), inputs)
        assert np.array_equal(batch.input(layout="NHWC"), np.moveaxis(inputs, 1, -1))
        assert np.array_equal(batch.labels, batch.split.labels[batch.samples])


def pixels_of_every_recipe():
    for recipe in PRESETS + MIXED:
        check_cache_pixels(run_teacher("cache", recipe=recipe))


def pixels_of_every_kind_of_images():
    for recipe in MIXED[:2]:
        for kind, *options in ("photos", "--images", "link"), ("gray", ), ("color", ), ("photos", "--seed", 2**63 + 5), \
                ("broken", "--on-bad-image", "skip"):
            check_cache_pixels(run_teacher("cache", kind, *options, recipe=recipe))


def pixels_of_every_size():
    for kind, size, base in ("photos", 32, 0), ("photos", 48, 36), ("photos", 17, 61), ("gray", 20, 24), ("gray", 36, 0):
        check_cache_pixels(run_teacher("cache", kind, "--base", base, size=size, recipe=MIXED[0]))
    cache = softcache.open(work / "cache")
    assert cache["train"].pixels(0, 0, size=20).shape == (20, 20, 1)


def parameters_are_those_of_inspect():
    cache = run_teacher("cache", recipe=MIXED[1], views=4)
    lines = program("teacher_dump", "inspect", cache.path, "--views", 4, "--sample", 7).splitlines()[-4:]
    for view, line in enumerate(lines):
        assert line.split(maxsplit=1)[1] == cache.renderer().describe(cache["train"], 7, view), line


def samples_are_those_of_the_data():
    cache = run_teacher("cache")
    for split in (cache[name] for name in cache):
        files = sorted(str(path.relative_to(work / "photos")) for path in (work / "photos" / split.name).rglob("*.jpg"))
        assert split.names == files and len(split) == len(files)
        assert [cache.classes[label] for label in split.labels] == [name.split("/")[1] for name in files]
        assert split.image(3) == (work / "photos" / files[3]).read_bytes()
        assert split.base_image(2).shape == (256, 330, 3)
    assert list(cache["train"].ids) == list(range(30)) and list(cache) == ["train", "val"]
    gray = run_teacher("gray-cache", "gray", size=28)
    assert np.array_equal(gray["val"].image(4), gray["val"].base_image(4)) and gray["val"].image(4).shape == (28, 28, 1)
    refused(lambda: gray["test"], "has no split 'test'")
    refused(lambda: gray.feature("middle"), "has no feature 'middle': it has 'input'")
    for bad in (lambda: gray["val"].pixels(20, 0), lambda: gray["val"].pixels(0, 1), lambda: gray["val"].logits(-1)):
        try:
            bad()
            raise AssertionError("an index that is out of range was accepted")
        except IndexError:
            pass


def forms_of_features():
    cache = run_teacher("cache", features=("input:views=2", "input:int8:views=1", "input:pooled", "input:at:views=2"))
    raw = np.moveaxis(cache["train"].pixels(np.arange(30)), -1, 2).astype(np.float64) / 255
    train, forms = cache["train"], [feature.form for feature in cache.features]
    assert forms == ["fp16", "int8", "pooled", "at"] and [feature.views for feature in cache.features] == [2, 1, 3, 2]
    assert np.array_equal(train.feature(0), raw[:, :2].astype(np.float16))
    assert np.abs(train.feature(1) - raw[:, :1]).max() <= 0.5 / 127 + 1e-6
    assert np.abs(train.feature(2)[..., 0, 0] - raw.mean((3, 4))).max() < 1e-3
    squares = (raw[:, :2]**2).mean(2, keepdims=True)
    assert np.abs(train.feature(3) - squares / np.sqrt((squares**2).sum((3, 4), keepdims=True))).max() < 1e-4
    assert np.array_equal(train.feature(2, [4, 1], [2, 0]), train.feature(2)[[4, 1], [2, 0]])


def logits_of_many_classes():
    program("synthetic_images", "--out", work / "many", "--train", 300, "--val", 300, "--classes", 300, "--width", 40, "--height", 40)
    out = work / "many-cache"
    program("teacher_dump", "run", "--data", work / "many", "--teacher", make_teacher(3, 16, 300), "--out", out, "--views", 1, "--size", 16,
            "--mean", "0,0,0", "--std", "0.1,0.1,0.1", "--device", "cpu", "--quiet", "--teacher-check", "off")
    val = softcache.open(out)["val"]
    inputs = np.moveaxis(val.pixels(np.arange(20), 0), -1, 1).astype(np.float64) / 255 / 0.1
    exact, logits = teacher_logits(inputs, 300), val.logits(np.arange(20), 0)
    order = np.argsort(-exact, axis=1)
    top, rest = np.take_along_axis(exact, order, 1)[:, :32], np.take_along_axis(exact, order, 1)[:, 32:]
    assert np.abs(np.sort(logits, 1)[:, ::-1][:, :32] - top).max() < 1e-2
    assert np.abs(logits.min(1) - np.log(np.exp(rest).mean(1))).max() < 1e-2 and logits.shape == (20, 300)
    assert np.array_equal(val.logits(None, 0), val.logits()[:, 0])


def damage_is_found():
    cache = run_teacher("cache")
    softcache.open(cache.path, verify=True)
    shard = cache.path / "val-00000.h5"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    refused(lambda: softcache.open(cache.path, verify=True), "val-00000.h5: is damaged")
    text = (cache.path / "cache.json").read_text()
    for wrong, why in (text[:-9], "is damaged"), (text.replace('"recipe"', '"r"'), "is damaged (KeyError: 'recipe')"), \
            (text.replace('"format_version":\t3', '"format_version":\t4'), "is 'softcache' of version 4, but this package reads"):
        (cache.path / "cache.json").write_text(wrong)
        refused(lambda: softcache.open(cache.path), why)
    (cache.path / "cache.json").unlink()
    refused(lambda: softcache.open(cache.path), "cache.json is missing")
    (cache.path / "partial").mkdir()
    refused(lambda: softcache.open(cache.path), "is an unfinished cache")
    refused(lambda: softcache.open(work / "nowhere"), "there is no such folder")


def linked_photos_that_moved():
    cache = run_teacher("cache", "photos", "--images", "link")
    moved = work / "moved"
    shutil.copytree(work / "photos", moved)
    shutil.move(work / "photos", work / "away")
    try:
        refused(lambda: cache["train"].pixels(0, 0), "if the photos have moved, pass softcache.open(..., data=FOLDER)")
        assert np.array_equal(softcache.open(cache.path, data=moved)["train"].pixels(1), as_pixels(cache["train"].feature("input", 1)))
        name = cache["train"].names[2]
        (moved / name).write_bytes((moved / cache["train"].names[3]).read_bytes())
        refused(lambda: softcache.open(cache.path, data=moved)["train"].pixels(2, 0), "is not the file that the teacher saw")
    finally:
        shutil.move(work / "away", work / "photos")


def little_memory_and_other_processes():
    whole = run_teacher("cache", recipe=MIXED[0])
    wanted = whole["train"].pixels(np.arange(30))
    small = softcache.open(whole.path, memory=100_000, threads=1)
    assert np.array_equal(small["train"].pixels(np.arange(30)), wanted)
    assert np.array_equal(small["train"].feature("input", [3, 1, 3]), whole["train"].feature("input")[[3, 1, 3]])
    assert np.array_equal(pickle.loads(pickle.dumps(whole))["train"].pixels(np.arange(30)), wanted)
    child = os.fork()  # whose parent has opened the library, with threads
    if child == 0:
        os._exit(0 if np.array_equal(whole["train"].pixels(np.arange(30)), wanted) else 1)
    deadline = time.time() + 60
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if not done and time.time() > deadline:
            os.kill(child, signal.SIGKILL)
            raise AssertionError("a forked process hangs")
        if done:
            break
        time.sleep(0.01)
    assert status == 0


# ---- PyTorch ----
def torch_data_set():
    from softcache.torch import OneViewSampler, ViewDataset
    from torch.utils.data import DataLoader
    cache = run_teacher("cache", recipe=MIXED[0], features=("input:views=2", "input:pooled"))
    train, dataset = cache["train"], ViewDataset(cache, features=["input"])
    assert len(dataset) == 60  # two of three views have the feature
    for context, workers in (None, 0), ("fork", 2), ("spawn", 2):
        loader = DataLoader(dataset, batch_size=13, num_workers=workers, multiprocessing_context=context)
        first = 0
        for batch in loader:
            rows = np.arange(first, first + len(batch["label"]))
            samples, views = rows // 2, rows % 2
            first += len(rows)
            inputs = np.moveaxis(train.pixels(samples, views), -1, 1) / np.float32(255)
            mixing = train.mixing(samples, views)
            assert np.array_equal(batch["input"].numpy(), inputs) and np.array_equal(batch["logits"], train.logits(samples, views))
            assert np.array_equal(batch["label"], train.labels[samples])
            assert np.array_equal(batch["partner_label"], train.labels[mixing["partner"]])
            assert np.array_equal(batch["share"].numpy(), mixing["share"].astype(np.float32))
            assert np.array_equal(batch["features"]["input"], train.feature("input", samples, views))
        assert first == 60, first
    item = ViewDataset(cache, "val", normalise=False, size=20)[3]
    assert item["input"].shape == (3, 20, 20) and str(item["input"].dtype) == "torch.uint8" and "share" not in item
    sampler = OneViewSampler(dataset.preload(), seed=4)
    epochs = [list(sampler) for _ in range(2)]
    for epoch in epochs:
        assert sorted(index // 2 for index in epoch) == list(range(30))
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0] + epochs[1]) == list(range(60))  # two epochs show both views of every sample
    refused(lambda: ViewDataset(cache, "val", features=["input"]), "only the training split")
    refused(lambda: ViewDataset(cache, features=["input"], views=3), "there are 2 views")


# ---- answers ----
FEATURES = ["input:views=2", "input:int8:views=1", "input:pooled", "input:at:views=2"]


def answer(writer, batches, limit=None):
    for count, batch in enumerate(batches):
        if count == limit:
            return
        inputs = batch.input()
        writer.write(batch, teacher_logits(inputs), {"input": inputs} if batch.split.name == "train" and FEATURES else None)


def photos_cache(kind="photos", recipe=MIXED[0], size=32, options=()):
    out = work / "without-teacher"
    shutil.rmtree(out, ignore_errors=True)
    program("teacher_dump", "run", "--data", make_photos(kind), "--teacher", "none", "--out", out, "--views", 3, "--augment", recipe, "--size",
            size, "--mean", "0,0,0", "--std", "1,1,1", "--quiet", *options)
    return softcache.open(out)


def write_and_import(cache, out, **options):
    shutil.rmtree(work / "answers", ignore_errors=True)
    with softcache.Writer(work / "answers", cache, "numpy", features=FEATURES, **options) as writer:
        answer(writer, writer.missing(11))
        assert writer.missing_count == 0
    import_answers(cache, out)


def import_answers(cache, out):
    shutil.rmtree(out, ignore_errors=True)
    program("teacher_dump", "import", "--cache", cache.path, "--answers", work / "answers", "--out", out, "--quiet")


def same_shards(left, right):
    names = sorted(path.name for path in left.glob("*.h5"))
    assert names == sorted(path.name for path in right.glob("*.h5")) and names
    for name in names:
        assert (left / name).read_bytes() == (right / name).read_bytes(), f"{name} differs"


def imported_caches_are_those_of_run():
    for kind, size, *options in ("photos", 32), ("photos", 32, "--images", "link"), ("gray", 28), ("color", 32), \
            ("broken", 32, "--on-bad-image", "skip"):
        ran = run_teacher("cache", kind, *options, recipe=MIXED[0], size=size, features=FEATURES)
        write_and_import(photos_cache(kind, size=size, options=options), work / "imported")
        same_shards(ran.path, work / "imported")
        left, right = (json.loads((folder / "cache.json").read_text()) for folder in (ran.path, work / "imported"))
        assert right.pop("teacher")["device"] == "imported" and left.pop("teacher") and left.pop("file_sha256") != right.pop("file_sha256")
        assert left == right
    program("teacher_dump", "verify", work / "imported", "--quiet")
    assert "imported answers" in program("teacher_dump", "inspect", work / "imported")
    told = program("teacher_dump", "recheck", work / "imported", "--teacher", "x.onnx", code=78)
    assert "only the program that wrote them can run 'numpy' again" in told, told


def logits_of_a_cache_go_home():
    ran = run_teacher("cache", recipe=MIXED[0], features=("input",))
    shutil.rmtree(work / "answers", ignore_errors=True)
    with softcache.Writer(work / "answers", ran, "itself", features=["input"]) as writer:
        for batch in writer.missing(64):
            split, which = batch.split, (batch.samples, batch.views)
            writer.write(batch, split.logits(*which), {"input": split.feature("input", *which)} if split.name == "train" else None)
    import_answers(ran, work / "imported")
    same_shards(ran.path, work / "imported")


def students_train_from_them():
    ran = run_teacher("cache", recipe="light", features=FEATURES)
    write_and_import(photos_cache(recipe="light"), work / "imported")
    for cache, run in (ran.path, "a"), (work / "imported", "b"):
        program("student_train", "fit", "--cache", cache, "--student", "dwpw-small", "--loss", "ce + kd(T=4)", "--epochs", 2, "--batch", 8,
                "--out", work / run, "--overwrite", "--device", "cpu", "--quiet")
    for name in "summary.csv", "last.safetensors":
        assert (work / "a" / name).read_bytes() == (work / "b" / name).read_bytes(), name


KILLED = """
import os, signal, sys
sys.argv = ["check_python.py", {build!r}, {work!r}]
sys.path.insert(0, "tests")
import check_python as check, softcache
import softcache.writer
softcache.writer.BLOCK_ROWS = 20
with softcache.Writer({answers!r}, softcache.open({cache!r}), "numpy", features=check.FEATURES) as writer:
    print(writer.missing_count, flush=True)
    check.answer(writer, writer.missing(7), limit={limit})
    if {limit} is not None:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def a_killed_writer_goes_on():
    cache = photos_cache()
    write_and_import(cache, work / "wanted")
    shutil.rmtree(work / "answers")
    left = []
    for limit in 5, 1, 6, None:
        script = KILLED.format(build=str(build), work=str(work), answers=str(work / "answers"), cache=str(cache.path), limit=limit)
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert result.returncode == (0 if limit is None else -signal.SIGKILL), result.stderr
        left.append(int(result.stdout))
    assert left[0] == 110 and left[0] > left[1] >= left[2] > left[3] > 0, left
    (work / "answers" / "train-0000000000.rows.tmp-1").write_bytes(b"what a killed writer leaves")
    import_answers(cache, work / "imported")
    for name in "train-00000.h5", "val-00000.h5", "cache.json":
        assert (work / "wanted" / name).read_bytes() == (work / "imported" / name).read_bytes(), name


def parts_fill_one_folder():
    import softcache.writer as module
    cache, rows = photos_cache(), module.BLOCK_ROWS
    write_and_import(cache, work / "wanted")
    shutil.rmtree(work / "answers")
    module.BLOCK_ROWS = 20
    try:
        for part in "1/3", "3/3", "2/3":
            with softcache.Writer(work / "answers", cache, "numpy", features=FEATURES) as writer:
                answer(writer, writer.missing(16, part=part))
    finally:
        module.BLOCK_ROWS = rows
    import_answers(cache, work / "imported")
    same_shards(work / "wanted", work / "imported")
    refused(lambda: next(writer.missing(1, part="0/2")), "must be 'I/N'")


def batches_in_any_order():
    cache = photos_cache()
    write_and_import(cache, work / "wanted")
    shutil.rmtree(work / "answers")
    batches = list(cache.batches(8))
    with softcache.Writer(work / "answers", cache, "numpy", features=FEATURES) as writer:
        answer(writer, [batches[k] for k in (3, 4, 0, 7, 13)])
        assert writer.missing_count == 110 - 8 * 4 - len(batches[13])
    with softcache.Writer(work / "answers", cache, "numpy", features=FEATURES) as writer:
        answer(writer, writer.missing(5))
    import_answers(cache, work / "imported")
    same_shards(work / "wanted", work / "imported")


def mistakes_are_told_at_once():
    cache = photos_cache()
    shutil.rmtree(work / "answers", ignore_errors=True)
    refused(lambda: softcache.Writer(work / "answers", cache, ""), "needs a name")
    refused(lambda: softcache.Writer(work / "answers", cache, "x", features=["a:views=4"]), "a number from 1 to 3")
    with softcache.Writer(work / "answers", cache, "numpy", features=FEATURES) as writer:
        batch = next(iter(writer.missing(4)))
        logits, inputs = teacher_logits(batch.input()) + 2, batch.input()
        given = {"input": inputs}
        refused(lambda: writer.write(batch, logits[:3], given), "[3, 10], but must have [views of the batch, classes], which is [4, 10]")
        refused(lambda: writer.write(batch, logits), "the features are [], but Writer(features=...) says ['input']")
        refused(lambda: writer.write(batch, logits, {"input": inputs[:, 0]}), "the feature 'input' has the shape [4, 32, 32]")
        writer.write(batch, logits, given)
        refused(lambda: writer.write(batch, logits, given), "have been answered before")
        other = cache["train"].batches(4)
        next(other)
        batch = next(other)
        refused(lambda: writer.write(batch, np.where(logits > 2.5, np.nan, logits), given), "sample 1 of split train: the teacher's logit")
        refused(lambda: writer.write(batch, logits, {"input": inputs * np.inf}), "the teacher's input is")
        refused(lambda: writer.write(batch, logits, {"input": inputs[:, :, :30]}), "input: is 3x30x32, but it was 3x32x32")
        refused(lambda: writer.write(batch, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), given), "these are probabilities")
    refused(lambda: softcache.Writer(work / "answers", cache, "another", features=FEATURES),
            "belongs to other answers: teacher.file is 'numpy' there and 'another' here")
    refused(lambda: softcache.Writer(work / "answers", cache, "numpy", features=FEATURES[:2]), "outputs.features is")
    refused(lambda: softcache.Writer(work / "answers", photos_cache(options=("--seed", 7)), "numpy", features=FEATURES), "augmentation.seed")
    told = program("teacher_dump", "import", "--cache", cache.path, "--answers", work / "answers", "--out", work / "imported", code=78)
    assert 'augmentation.seed is "1" there and "7" in this cache' in told, told


def arrays_of_frameworks():
    import torch
    from softcache.writer import as_floats
    values = np.array([[1.5, -2.25]], dtype=np.float32)
    for tensor in torch.tensor(values, dtype=torch.bfloat16), torch.nn.Parameter(torch.tensor(values)), torch.tensor(values).half():
        assert np.array_equal(as_floats(tensor), values)
    for array in values.astype(np.float64), values[:, ::-1][:, ::-1], values.tolist():
        assert np.array_equal(as_floats(array), values) and as_floats(array).flags["C_CONTIGUOUS"]


def names_of_features():
    from softcache.writer import parse_feature
    assert parse_feature("a/b:0", 8) == ("a/b:0", "fp16", 8)
    assert parse_feature("a/b:0:views=2:int8", 8) == ("a/b:0", "int8", 2)
    assert parse_feature("x:at:at", 3) == ("x:at", "at", 3)
    refused(lambda: parse_feature(":int8", 3), "the name is missing")


def without_the_library():
    script = f"""
import softcache
cache = softcache.open({str(work / 'cache')!r})
print(cache['val'].samples)
cache['val'].logits(0)"""
    count = run_teacher("cache")["val"].samples
    for place, text in ("/nowhere.so", "Run `make` in a clone of softcache"), (__file__, "cannot be used"):
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "SOFTCACHE_LIBRARY": place})
        assert result.returncode == 1 and result.stdout == f"{count}\n" and text in result.stderr, result


# Of every version of the format, also those whose shards have no table; stored rows in any order, with little memory.
def caches_of_every_version():
    for version in 1, 2, 3:
        path = Path(__file__).parent / "golden/caches" / f"version_{version}"
        train, little = softcache.open(path, verify=True)["train"], softcache.open(path, memory=100)["train"]
        assert train.samples == 10 and list(train.labels) == list(range(10)) and train.names[1] == "train/class_001/000001.jpg"
        assert train.image(1)[:2] == b"\xff\xd8" and train.image(0)[:2] == (b"\xff\xd8" if version == 1 else b"\x89P")
        assert np.array_equal(little.logits([7, 2, 2, 5], [1, 0, 1, 1]), train.logits()[[7, 2, 2, 5], [1, 0, 1, 1]])
        assert train.pixels(3).shape == (2, 32, 32, 3) and train.feature("embedding").shape == (10, 2, 12, 1, 1)


# A shard that says that its data sets are elsewhere, with the right digest.
def hostile_shards():
    cache = run_teacher("hostile")
    path = cache.path / "val-00000.h5"
    data = path.read_bytes()
    at = data.index(b'"offsets":[', data.rindex(b'"name":"logits"')) + len(b'"offsets":[')
    path.write_bytes(data[:at] + b"9" + data[at + 1:])
    refused(lambda: softcache.open(cache.path)["val"].logits(0), "val-00000.h5")
    path.write_bytes(data[:-1])
    refused(lambda: softcache.open(cache.path)["val"].logits(0), "bytes, but the manifest says")


CHECKS = [pixels_of_every_recipe, pixels_of_every_kind_of_images, pixels_of_every_size, parameters_are_those_of_inspect,
          samples_are_those_of_the_data, forms_of_features, logits_of_many_classes, damage_is_found, linked_photos_that_moved,
          little_memory_and_other_processes, imported_caches_are_those_of_run, logits_of_a_cache_go_home, students_train_from_them,
          a_killed_writer_goes_on, parts_fill_one_folder, batches_in_any_order, mistakes_are_told_at_once, names_of_features,
          without_the_library, caches_of_every_version, hostile_shards]
TORCH_CHECKS = [torch_data_set, arrays_of_frameworks]

if __name__ == "__main__":
    try:
        import torch
    except ImportError:
        torch = None
    for check in CHECKS + TORCH_CHECKS:
        if check in TORCH_CHECKS and torch is None:
            print(f"ok {check.__name__} # SKIP this Python has no torch", flush=True)
            continue
        try:
            check()
            print(f"ok {check.__name__}", flush=True)
        except Exception as error:
            traceback.print_exc()
            print(f"not ok {check.__name__}: {str(error).splitlines()[0] if str(error) else type(error).__name__}", flush=True)
