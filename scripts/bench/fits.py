"""Rows of whole programs: an epoch of `student_train fit`, what comes before its first step, peak memory, and the whole way from photos to a
trained student. Peers are PyTorch loops (pytorch_fit.py): with decoded images and cached logits in memory, and, for the whole way, the loop
of a notebook, which decodes, augments and asks the teacher in every epoch."""
import json
import math
import os
import subprocess
import sys
import time

from .measure import KEEP_BLOCKS, Row, Subject, output_of

EPOCHS = 30  # of the row of the whole way
MEASURED = 4  # epochs of ours that are measured: their time beyond that of a run of one epoch
BATCH = 64
TEACHER = "resnet18"
CACHED, NOTEBOOK = "cached logits: ", "notebook: "


class Run:
    """What a command took: seconds or processor seconds, also until a file was there; peak memory in MiB."""

    def __init__(self, command, processor, awaited=None):
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            self.start = None
            while awaited and self.start is None and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                if os.path.exists(awaited):
                    self.start = processor_seconds(process.pid) if processor else time.perf_counter() - begin
                time.sleep(0.002)
            errors = process.stderr.read()
            _, code, use = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}: {errors.decode(errors='replace').strip()[-800:]}")
        self.seconds = use.ru_utime + use.ru_stime if processor else time.perf_counter() - begin
        self.megabytes = use.ru_maxrss / 1024


def processor_seconds(process):
    with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:13]) / os.sysconf("SC_CLK_TCK")


class Fits(Subject):
    name, needs, essential = "fit", ("torch", "torchvision", "onnx", "PIL"), True
    installed = (CACHED + "PIL eager nchw", NOTEBOOK + "PIL eager nchw")

    def __init__(self, options, photos, folder):
        super().__init__(options)
        self.photos, self.folder, self.number = photos, folder, 0
        self.module, self.cache = f"{folder}/fit_student.py", f"{folder}/fit-cache"
        student = f"`{options.fit_student}` at {options.size}"
        self.rows = {
            "epoch": Row(f"`fit`: an epoch of {options.photos} photos, {student}, batch {BATCH}", "s", lower=True),
            "start": Row("`fit`: from start to first step", "s", lower=True),
            "fit memory": Row("`fit`: peak memory", "MiB", lower=True),
            "dump": Row(f"`teacher_dump run`: {TEACHER}, {options.views} views of each photo", "s", lower=True),
            "dump memory": Row("`teacher_dump run`: peak memory", "MiB", lower=True),
            "loop": Row(f"decode, augment, teacher, student: {EPOCHS} epochs", "s", lower=True)}
        forms = ["PIL eager nchw", "tensors eager nhwc"] + ([] if options.no_compile else ["tensors compiled nhwc"])
        self.forms = [CACHED + form for form in forms] + [NOTEBOOK + form for form in forms[:2]]

    def open(self):
        output_of([sys.executable, "scripts/bench/export_teachers.py", self.folder, TEACHER, "--size", str(self.options.size)])
        output_of([f"{self.options.build}/tests/bench_train", "--student", self.options.fit_student, "--size", str(self.options.size), "--batch",
                   "2", "--seconds", "0", "--pytorch", self.module])

    def dump(self):
        output_of(["rm", "-rf", self.cache])
        return Run([f"{self.options.build}/teacher_dump", "run", "--data", self.photos, "--teacher", f"{self.folder}/{TEACHER}.onnx", "--views",
                    str(self.options.views), "--augment", "food11-strong", "--teacher-check", "off", "--device", "cpu", "--threads",
                    str(self.options.threads), "--quiet", "--out", self.cache], self.options.cpu_seconds)

    def fit(self, epochs):
        self.number += 1
        out = f"{self.folder}/run-{self.number}"
        return Run([f"{self.options.build}/student_train", "fit", "--cache", self.cache, "--student", self.options.fit_student, "--loss",
                    "0.5*ce + 0.5*kd(T=4)", "--epochs", str(epochs), "--eval-every", "1000", "--batch", str(BATCH), "--max-params", "0",
                    "--size", str(self.options.size), "--device", "cpu", "--threads", str(self.options.threads), "--quiet", "--out", out],
                   self.options.cpu_seconds, awaited=f"{out}/checkpoint")  # written just before the first step

    def ours(self):
        dump, short, long = self.dump(), self.fit(1), self.fit(1 + MEASURED)
        epoch = (long.seconds - short.seconds) / MEASURED
        return {"epoch": epoch, "start": short.start, "fit memory": long.megabytes, "dump": dump.seconds, "dump memory": dump.megabytes,
                "loop": dump.seconds + short.seconds + (EPOCHS - 1) * epoch}

    def theirs(self, form):
        kind, _, words = form.rpartition(": ")
        with open(f"{self.cache}/cache.json", encoding="utf-8") as file:
            base = json.load(file)["preprocessing"]["base"]
        notebook = kind + ": " == NOTEBOOK
        text = output_of([sys.executable, "scripts/bench/pytorch_fit.py", "--photos", self.photos, "--student", self.module, "--form", words,
                          "--size", str(self.options.size), "--base", str(base), "--batch", str(BATCH), "--threads", str(self.options.threads),
                          "--started", str(time.time()), *(["--teacher", TEACHER] if notebook else [])],
                         **({} if form in self.installed else KEEP_BLOCKS))
        answer = json.loads(text.splitlines()[-1])
        start, epoch = (answer[key][1 if self.options.cpu_seconds else 0] for key in ("start", "epoch"))
        if notebook:
            return {"loop": start + EPOCHS * epoch, "dump memory": answer["memory"]}
        return {"epoch": epoch, "start": start, "fit memory": answer["memory"]}

    def paid(self):
        """The first epoch after which dump and fit together have taken less time than the notebook's loop at its best; None: none."""
        epoch, start, dump = (self.rows[key].medians()[0] for key in ("epoch", "start", "dump"))
        loop = self.rows["loop"].medians()[2]
        gain = None if loop is None else loop / EPOCHS - epoch
        return None if gain is None or gain <= 0 else max(1, math.ceil((dump + start) / gain))
