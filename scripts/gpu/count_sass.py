#!/usr/bin/env python3
"""Counts the instructions of CUDA kernels in machine code: what can be known of their speed without a GPU.

usage: count_sass.py [--kernels REGEX] [--arch sm_90] [--loops] [--megabytes 2291] [--gpu h100] [--issue 0.6] [--cuobjdump FILE] FILE...
       count_sass.py --step STUDENT [--size 224] [--batch 128] [--launch 2] [--student-train build/student_train] FILE...

FILE: softcache_cuda.so, or object files of nvcc. Needs cuobjdump and nvdisasm: of CUDA, or `pip install nvidia-cuda-cuobjdump
nvidia-cuda-nvdisasm`. Prints a row for each kernel and architecture:

  instructions   of the whole kernel
  loop           of its heaviest loop: the innermost one that moves most bytes of global memory or, if none moves any, multiplies most
                 matrices; of the whole kernel where there is none ("-")
  bytes          of global memory that a thread moves in one pass of the loop
  per 16 bytes   instructions of the loop for every 16 bytes
  MMA, per MMA   matrix instructions in the loop, and instructions for each of them
  ms             an estimate: how long a training step would take if all of its --megabytes (student_train inspect --device-limits)
                 went through this loop, and nothing but issuing instructions took time

Counts are exact, but static: branches that are not taken count (the code of every activation, edges of an image), a loop may be left
early, and a kernel spends time outside of it. **The estimate rests on a guess**: --issue, the
share of its cycles in which a scheduler issues an instruction; 0.6 is usual for kernels that wait for memory now and then.

--step prints the time of a whole training step of a student in bf16, layer by layer: step_estimate.py says how, and what is guessed.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys

import step_estimate

# Multiprocessors, GHz (boost) and bytes/s of memory, by the maker's data sheets. Each multiprocessor issues 4 instructions of 32 threads a cycle.
GPUS = {"h100": (132, 1.98, 3.35e12), "rtx4090": (128, 2.52, 1.008e12), "rtx3060": (28, 1.78, 0.36e12), "t4": (40, 1.59, 0.32e12)}
WIDTHS = {"128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}
FUNCTION = re.compile(r"Function : (\S+)")
CODE = re.compile(r"code for (sm_\d+)")
INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+ )?([A-Z][A-Z0-9_.]*)([^;]*);")


def global_bytes(opcode):
    parts = opcode.split(".")
    if parts[0] not in ("LDG", "STG", "LDGSTS", "RED", "ATOMG"):
        return 0
    return next((WIDTHS[part] for part in parts if part in WIDTHS), 4)


def is_double(opcode):
    """Of the units for doubles, of which a GeForce card has a 64th of those for floats: arithmetic, and conversions from and to them."""
    parts = opcode.split(".")
    return parts[0] in ("DADD", "DMUL", "DFMA", "DSETP", "DMNMX") or "F64" in parts or any(part.endswith("64H") for part in parts)


def is_matrix(opcode):
    return opcode.split(".")[0] in ("HMMA", "IMMA", "DMMA", "HGMMA", "QGMMA", "QMMA")


class Kernel:
    def __init__(self, name, arch):
        self.name, self.arch, self.code = name, arch, []  # [(address, opcode, operands)]
        self.sometimes = set()  # addresses of instructions with a predicate

    def loops(self):
        """[(first, last address)], from branches back; several to one address are one loop."""
        last = {}
        for address, opcode, operands in self.code:
            target = target_of(opcode, operands)
            if target is not None and target < address:
                last[target] = max(address, last.get(target, 0))
        return sorted(last.items())

    def heaviest_loop(self):
        """Instructions of the loop, and whether there is one."""
        loops = self.loops()
        loops = [loop for loop in loops if not any(loop != other and loop[0] <= other[0] and other[1] <= loop[1] for other in loops)]
        bodies = [[opcode for address, opcode, _ in self.code if first <= address <= last] for first, last in loops]
        bodies = [body for body in bodies if any(global_bytes(opcode) or is_matrix(opcode) for opcode in body)]
        if not bodies:
            return [opcode for _, opcode, _ in self.code], False
        return max(bodies, key=lambda body: (sum(map(global_bytes, body)), sum(map(is_matrix, body)))), True


    def way(self, first, last, inner, merit):
        """The way from address first to last, without the loops `inner`, of the highest merit: struct Way."""
        code = [line for line in self.code if first <= line[0] <= last]
        place = {address: i for i, (address, _, _) in enumerate(code)}
        skip = {place[a]: place[b] for a, b in inner}  # an inner loop is left behind its last branch
        best = {len(code): Way()}
        for i in reversed(range(len(code))):
            address, opcode, operands = code[i]
            if i in skip:
                best[i] = best.get(skip[i] + 1)
                continue
            own, name = Way.of(opcode), opcode.split(".")[0]
            target, ways = target_of(opcode, operands), []
            always = address not in self.sometimes and not re.match(r"\s*!?U?P\d", operands)
            if not (name in ("BRA", "EXIT", "RET", "BRX", "JMP") and always) or address == last:
                ways.append(best.get(i + 1))
            if target is not None and target > address and target in place:
                ways.append(best.get(place[target]))
            if name in ("EXIT", "RET") and first == self.code[0][0]:
                ways.append(Way())
            ways = [own.then(way) for way in ways if way is not None]
            best[i] = max(ways, key=merit) if ways else None
        return best.get(0) or Way()

    def ways(self, merit=None):
        """[(first, last, depth, Way)] of the loops, and of the code outside of them (depth 0): the ways that move most and of those the
        shortest; or those of another merit."""
        loops = self.loops()
        rows = []
        for first, last in [(self.code[0][0], self.code[-1][0])] + loops:
            inside = [l for l in loops if first <= l[0] and l[1] <= last and l != (first, last)]
            inside = [l for l in inside if not any(l != o and o[0] <= l[0] and l[1] <= o[1] for o in inside)]
            depth = sum(o[0] <= first and last <= o[1] for o in loops)
            rows.append((first, last, depth, self.way(first, last, inside, merit or Way.merit)))
        return rows


class Way:
    """What a thread does on a way through code."""

    def __init__(self, count=0, loads=0, stores=0, shared=0, matrices=0, shared_stores=0, doubles=0):
        self.count, self.loads, self.stores, self.shared, self.matrices = count, loads, stores, shared, matrices
        self.shared_stores = shared_stores  # of `shared`
        self.doubles = doubles

    @staticmethod
    def of(opcode):
        moved, store = global_bytes(opcode), opcode.startswith(("STG", "RED", "ATOMG"))
        return Way(1, 0 if store else moved, moved if store else 0, int(opcode.startswith(("LDS", "STS"))), int(is_matrix(opcode)),
                   int(opcode.startswith("STS")), int(is_double(opcode)))

    def then(self, way):
        return Way(self.count + way.count, self.loads + way.loads, self.stores + way.stores, self.shared + way.shared,
                   self.matrices + way.matrices, self.shared_stores + way.shared_stores, self.doubles + way.doubles)

    def merit(self):
        return (self.loads + self.stores, self.matrices, self.shared, -self.count)


def target_of(opcode, operands):
    target = re.search(r"0x([0-9a-f]+)", operands)
    return int(target[1], 16) if opcode.split(".")[0] == "BRA" and target else None


def print_loops(kernels, names, options):
    print("| kernel | arch | loop | instructions | bytes loaded | stored | of shared memory | MMA | doubles |\n|---|---|---|---|---|---|---|---|---|")
    for kernel, name in sorted(zip(kernels, names), key=lambda pair: (pair[1], pair[0].arch)):
        if not re.search(options.kernels, name) or not kernel.code:
            continue
        for first, last, depth, way in kernel.ways():
            if depth == 0 or way.loads or way.stores or way.matrices or way.shared:
                place = f"{'> ' * (depth - 1)}{first:x}-{last:x}" if depth else "(whole)"
                print(f"| {name} | {kernel.arch} | {place} | {way.count} | {way.loads} | {way.stores} | {way.shared} | {way.matrices} | {way.doubles} |")


def read(files, cuobjdump, arch):
    kernels = []
    for file in files:
        command = [cuobjdump, "-sass"] + (["-arch", arch] if arch else []) + [file]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"count_sass: {file}: {done.stderr.strip() or 'cuobjdump failed'}")
        code = None
        for line in done.stdout.splitlines():
            if found := CODE.search(line):
                code = found[1]
            elif found := FUNCTION.search(line):
                kernels.append(Kernel(found[1], code))
            elif (found := INSTRUCTION.search(line)) and found[3] != "NOP":
                kernels[-1].code.append((int(found[1], 16), found[3], found[4]))
                if found[2] and found[2] != "@PT ":
                    kernels[-1].sometimes.add(int(found[1], 16))
    return kernels


def readable(names):
    """C++ names without parameters: backward<float, 4>."""
    filt = shutil.which("c++filt")
    if not filt:
        return list(names)
    text = subprocess.run([filt], input="\n".join(names), capture_output=True, text=True).stdout
    return [re.sub(r"\(.*", "", re.sub(r"^void ", "", line)).replace("__nv_", "") for line in text.splitlines()]


def find_cuobjdump(given):
    for place in (given, shutil.which("cuobjdump"), "/usr/local/cuda/bin/cuobjdump"):
        if place and os.path.exists(place):
            # it calls nvdisasm, which lies beside it
            os.environ["PATH"] = os.path.dirname(os.path.abspath(place)) + os.pathsep + os.environ["PATH"]
            return place
    sys.exit("count_sass: needs cuobjdump and nvdisasm: pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm, and --cuobjdump FILE")


def row_of(kernel, name, options):
    body, is_loop = kernel.heaviest_loop()
    moved, matrices = sum(map(global_bytes, body)), sum(map(is_matrix, body))
    processors, clock, _ = GPUS[options.gpu]
    per16 = 16 * len(body) / moved if moved else None
    rate = processors * 4 * 32 * clock * 1e9 * options.issue  # instructions of threads a second
    milliseconds = 1e3 * options.megabytes * 1e6 / 16 * per16 / rate if moved else None
    return [name, kernel.arch, str(len(kernel.code)), str(len(body)) if is_loop else "-", str(moved), f"{per16:.1f}" if moved else "-",
            str(matrices), f"{len(body) / matrices:.1f}" if matrices else "-", f"{milliseconds:.2f}" if moved else "-"]


def print_step(kernels, names, options):
    command = [options.student_train, "inspect", "--student", options.step, "--size", str(options.size), "--batch", str(options.batch),
               "--device-limits"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"count_sass: {done.stderr.strip()}")
    arches = sorted({kernel.arch for kernel in kernels})
    if len(arches) != 1:
        sys.exit(f"count_sass: the files have code for {', '.join(arches)}: choose one with --arch")
    bodies = step_estimate.Bodies(dict(zip(names, kernels)))
    processors, clock, memory = GPUS[options.gpu]
    print(f"{options.step} at {options.size}, batch {options.batch}, bf16, {options.gpu}, code for {arches[0]}\n")
    step_estimate.print_step(step_estimate.plan_of(done.stdout), bodies, step_estimate.Rates(processors, clock, options.issue, memory),
                             options.issue, options.launch)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kernels", default=".", help="of readable names")
    parser.add_argument("--arch")
    parser.add_argument("--loops", action="store_true")
    parser.add_argument("--megabytes", type=float, default=2291)
    parser.add_argument("--gpu", choices=sorted(GPUS), default="h100")
    parser.add_argument("--issue", type=float, default=0.6)
    parser.add_argument("--step", metavar="STUDENT")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--launch", type=float, default=2, help="microseconds")
    parser.add_argument("--student-train", default="build/student_train")
    parser.add_argument("--cuobjdump")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    kernels = read(options.files, find_cuobjdump(options.cuobjdump), options.arch)
    names = readable([kernel.name for kernel in kernels])
    if options.step:
        print_step(kernels, names, options)
        return
    if options.loops:
        print_loops(kernels, names, options)
        return
    print(f"| kernel | arch | instructions | loop | bytes | per 16 bytes | MMA | per MMA | ms for {options.megabytes:.0f} MB ({options.gpu}, issue {options.issue}) |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kernel, name in sorted(zip(kernels, names), key=lambda pair: (pair[1], pair[0].arch)):
        if re.search(options.kernels, name):
            print("| " + " | ".join(row_of(kernel, name, options)) + " |")


if __name__ == "__main__":
    main()
