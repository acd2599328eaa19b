"""Training steps of students, batch 128: forward, loss, backward, clipping, Adam. The peer is PyTorch with the same net, which softcache
writes as a module; its images are decoded and in memory, and so are the teacher's logits."""
import re
import sys

from .measure import KEEP_BLOCKS, Row, Subject, Worker, output_of

STUDENTS = ["speed:224:3", "dwpw:224:3", "dwpw-small:32:3", "res5:112:3"]
BATCH = 128
OURS = re.compile(r": ([\d.]+) images/s, ([\d.]+) images/processor second, ([\d.]+) GFLOP/image, ([\d.]+) MB/image; "
                  r"forward ([\d.]+), ([\d.]+); backward ([\d.]+), ([\d.]+)")
AS_INSTALLED = "as installed: eager nchw fp32"


def processor_has_bf16():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return re.search(r"^(flags|Features)\b.*bf16", file.read(), re.MULTILINE) is not None


class Steps(Subject):
    needs = ("torch",)
    installed = (AS_INSTALLED,)

    def __init__(self, options, student, folder):
        super().__init__(options)
        self.student, self.size, channels = student.split(":")
        self.name, self.rows = f"step of {self.student} at {self.size}", {}
        for part in ("forward", "backward", "step"):
            self.rows[f"{part} fp32"] = Row(f"`{self.student}` at {self.size}, {part}, fp32")
        self.rows["step bf16"] = Row(f"`{self.student}` at {self.size}, step, bf16")
        self.module = f"{folder}/{self.student.replace('/', '_')}_{self.size}.py"
        self.shape = ["--size", self.size, "--channels", channels, "--batch", str(BATCH), "--threads", str(options.threads),
                      "--seconds", str(options.seconds)]
        self.forms = [AS_INSTALLED, "eager nchw fp32", "eager nhwc fp32"]
        if processor_has_bf16():  # elsewhere PyTorch is ten times slower with it
            self.forms += ["eager nhwc bf16"]
        self.workers = {}

    def more_forms(self, values):
        """Compiling takes long: in the layout that is the faster one without it, and in bf16 only where that is faster than fp32."""
        rates = {form: value["step bf16"] for form, value in values.items() if form.startswith("eager")}
        best = max((form for form in rates if form.endswith("fp32")), key=rates.get)
        faster = [form for form in rates if form.endswith("bf16") and rates[form] > rates[best]]
        return [] if self.options.no_compile else [form.replace("eager", "compiled") for form in [best, *faster]]

    def ours(self):
        values = {}
        for precision in ("fp32", "bf16"):
            text = output_of([f"{self.options.build}/tests/bench_train", "--student", self.student, "--precision", precision,
                              "--pytorch", self.module, *self.shape])
            step, step_processor, gflop, megabytes, *passes = (float(x) for x in OURS.search(text).groups())
            pick = (lambda pair: pair[1]) if self.options.cpu_seconds else (lambda pair: pair[0])
            self.rows[f"step {precision}"].cost = gflop, megabytes / 1000
            values[f"step {precision}"] = pick((step, step_processor))
            if precision == "fp32":
                values.update({"forward fp32": pick(passes[:2]), "backward fp32": pick(passes[2:])})
        return values

    def theirs(self, form):
        kind = form == AS_INSTALLED
        if kind not in self.workers:
            self.workers[kind] = Worker([sys.executable, "scripts/bench/pytorch_steps.py", self.module, *self.shape],
                                        **({} if kind else KEEP_BLOCKS))
        answer = self.workers[kind].ask(form.rpartition(": ")[2])
        values = {"step bf16": self.rate(answer["step"])}  # bf16 may be slower there than fp32: its row takes the best of all
        if form.endswith("fp32"):
            values.update({f"{part} fp32": self.rate(rates) for part, rates in answer.items()})
        return values

    def close(self):
        for worker in self.workers.values():
            worker.close()
