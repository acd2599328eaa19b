"""What the benchmark of the CPU is made of: programs that measure when they are asked, rows of the table, and subjects, each of which
measures some rows at once, ours and others in turn."""
import importlib.util
import json
import os
import statistics
import subprocess
import time

# glibc gives freed blocks back to the system, and PyTorch's activations are touched anew in every step; this keeps them.
KEEP_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 26)}
ROUNDS_INSTALLED = 2
QUIET = 0.05  # share of the machine that others may take


def output_of(command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-800:]}")
    return done.stdout


def missing(modules):
    """Those of the modules that this Python does not have."""
    return [module for module in modules if importlib.util.find_spec(module) is None]


class Worker:
    """A program that stays, and answers each line with a line of JSON."""

    def __init__(self, command, **environment):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                        env={**os.environ, **environment})

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(self.command)}: ended at '{line}'")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def busy_seconds():
    """Processor seconds of everything on the machine, and of this program with its children, living and finished."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(field) for field in file.readline().split()[1:]]
    processes = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:  # it has ended
            continue
        processes[int(name)] = int(fields[1]), sum(int(field) for field in fields[11:15])
    family, grown = {os.getpid()}, True
    while grown:
        more = {process for process, (parent, _) in processes.items() if parent in family} - family
        family, grown = family | more, bool(more)
    own = sum(spent for process, (_, spent) in processes.items() if process in family)
    hertz = os.sysconf("SC_CLK_TCK")
    return (sum(ticks[:3]) + sum(ticks[5:8])) / hertz, own / hertz


class Row:
    """A line of the table. Without `lower`, more is better."""

    def __init__(self, name, unit="images/s", lower=False):
        self.name, self.unit, self.lower = name, unit, lower
        self.ours, self.installed, self.best = [], [], []
        self.form, self.installed_form, self.disturbed = None, None, 0.0
        self.cost = None  # GFLOP and GB an image, for the share of the limit

    def medians(self):
        """Ours, the others' as installed and at their best; None: not measured."""
        return tuple(statistics.median(values) if values else None for values in (self.ours, self.installed, self.best))

    def ratio(self, theirs):
        ours = self.medians()[0]
        return None if ours is None or theirs is None else theirs / ours if self.lower else ours / theirs


class Subject:
    """Measures some rows. A subject has `name`, `rows` {key: Row}, and `forms`, names of the ways in which others do the same, of which
    `installed` are what a person gets who installs them and writes the usual lines. Each form gives values for some of the keys. In the
    first round all forms are measured, and in the later ones, for each row, the one that was best, in turn with ours; those of `installed`,
    which are slow, in the first two rounds. Those of `unequal` do less than ours, and are never the best."""
    name, needs, forms, installed, unequal = "", (), (), (), ()
    essential = False  # open() itself needs `needs`

    def __init__(self, options):
        self.options, self.rows = options, {}

    def open(self):
        """Starts what measuring needs."""

    def close(self):
        """Ends it."""

    def ours(self):
        """{key: value}"""
        raise NotImplementedError

    def theirs(self, form):
        """{key: value}"""
        raise NotImplementedError

    def more_forms(self, values):
        """Forms that are only worth a measurement after {form: {key: value}} of all the others."""
        return ()

    def rate(self, answer):
        return answer["images_per_processor_second" if self.options.cpu_seconds else "images_per_second"]

    def choose(self, values):
        for key, row in self.rows.items():
            rates = {form: value[key] for form, value in values.items() if key in value}
            equal = {form: rate for form, rate in rates.items() if form not in self.unequal}
            if equal:
                row.form = (min if row.lower else max)(equal, key=equal.get)
                row.installed_form = next((form for form in self.installed if form in rates), None)
            print(f"   {row.name}: " + ", ".join(f"{form} {number(rate)}" for form, rate in rates.items()), flush=True)

    def measure_theirs(self):
        if not self.forms:
            return
        chosen = [row.form for row in self.rows.values() if row.form]
        chosen += [row.installed_form for row in self.rows.values() if row.installed_form and len(row.installed) < ROUNDS_INSTALLED]
        values = {form: self.theirs(form) for form in dict.fromkeys(chosen or self.forms)}
        if not chosen:
            values.update({form: self.theirs(form) for form in self.more_forms(values)})
            self.choose(values)
        for key, row in self.rows.items():
            if row.form:
                row.best.append(values[row.form][key])
            if row.installed_form in values:
                row.installed.append(values[row.installed_form][key])

    def round(self):
        before, start = busy_seconds(), time.perf_counter()
        for key, value in self.ours().items():
            self.rows[key].ours.append(value)
        self.measure_theirs()
        after = busy_seconds()
        others = (after[0] - before[0]) - (after[1] - before[1])
        for row in self.rows.values():
            row.disturbed = max(row.disturbed, others / ((time.perf_counter() - start) * os.cpu_count()))
            print(f"{row.name}: softcache {number(row.ours[-1:])}, as installed {number(row.installed[-1:])}, "
                  f"best {number(row.best[-1:])} {row.unit}", flush=True)
        print(f"   {self.name}: {time.perf_counter() - start:.0f} s", flush=True)


def number(value):
    """With three digits at least."""
    if isinstance(value, list):
        value = value[0] if value else None
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
