"""Rows of teachers: torchvision's networks with random weights, images in memory. Ours is the engine of teacher_dump
(tests/bench_teacher.c); the peer a bare loop of Python's onnxruntime over the same file."""
import json
import sys

from .measure import Row, Subject, Worker, output_of

NAMES = ["resnet18", "mobilenet_v2", "efficientnet_b0"]
BATCHES = (1, 4, 8, 32)


class Teacher(Subject):
    needs, essential = ("torch", "torchvision", "onnx", "onnxruntime"), True

    def __init__(self, options, teacher, folder):
        super().__init__(options)
        self.name, self.model, self.folder, self.teacher = f"teacher {teacher}", f"{folder}/{teacher}.onnx", folder, teacher
        self.rows = {"teacher": Row(f"teacher {teacher}")}
        # All threads in one session, or one session for each thread.
        ways = sorted({(1, options.threads), (options.threads, 1)})
        self.forms = [f"{sessions} x {threads} threads, batch {batch}" for sessions, threads in ways for batch in BATCHES]
        self.installed = (f"1 x {options.threads} threads, batch 32",)
        self.bench, self.peer = None, None

    def open(self):
        output_of([sys.executable, "scripts/bench/export_teachers.py", self.folder, self.teacher, "--size", str(self.options.size)])
        described = json.loads(output_of([f"{self.options.build}/teacher_dump", "inspect", "--json", self.model]))
        self.rows["teacher"].cost = 2e-9 * described["multiply_accumulates"], 0
        shared = ["--size", str(self.options.size), "--seconds", str(self.options.seconds)]
        self.bench = Worker([f"{self.options.build}/tests/bench_teacher", "--teacher", self.model, "--paced", "--threads",
                             str(self.options.threads), *shared])
        self.peer = Worker([sys.executable, "scripts/bench/onnxruntime_loop.py", self.model, *shared])

    def close(self):
        for worker in (self.bench, self.peer):
            if worker:
                worker.close()

    def ours(self):
        return {"teacher": self.rate(self.bench.ask(""))}

    def theirs(self, form):
        words = form.replace(",", "").split()
        return {"teacher": self.rate(self.peer.ask(f"{words[0]} {words[2]} {words[5]}"))}
