"""The time of a training step on a GPU, estimated layer by layer from machine code: count_sass.py --step.

Of each kernel that is modelled, the ways through its loops (Kernel.ways in count_sass.py) are multiplied by how often a
launch runs them, which follows from the layer's shape by the formulas of the .cu file; they are repeated here in one
place, for bfloat16. The time of a kernel is that of its instructions or that of the bytes that it must move, whichever
is longer. Other kernels get the time of their bytes.

Counted are whole warps and every tile in full. Not counted: what comes after a block's last tile but for its straight
code, waiting at barriers, multiprocessors without a block, and the time of shared memory and of tensor cores. Guesses:
the issue rate, the cost of a launch, and that a kernel's bytes move at the memory's full rate.
"""
import re
from collections import namedtuple

THREADS = 256  # of a block, in all kernels that are modelled
ELEMENT = 2    # bytes of a stored value
GOAL_MS = 1.5  # of dwpw at 224, batch 128, on an H100

Shape = namedtuple("Shape", "c h w")
Layer = namedtuple("Layer", "kind name batch source shape is_first")
# What a launch does: the kernel's readable name, how often its loops run, thread instructions. None: not modelled.
Work = namedtuple("Work", "kernel runs instructions")


def ceil(a, b):
    return -(-a // b)


def whole_warps(threads):
    return ceil(threads, 32) * 32


def size(shape):
    return shape.c * shape.h * shape.w


# ---- the plan, as `student_train inspect --device-limits` prints it ----
Plan = namedtuple("Plan", "layers input parameters batch launches")
STEP = re.compile(r"^(\w+) +(\S+) +(\d+)x(\d+)x(\d+)(?: \+\w+)*  reads (.*?)  value at", re.M)


def plan_of(text):
    source = Shape(*map(int, re.search(r"input (\d+)x(\d+)x(\d+)", text).groups()))
    batch = int(re.search(r"^batch (\d+)", text, re.M)[1])
    shapes, layers = {}, []
    for kind, name, c, h, w, reads in STEP.findall(text):
        shapes[name] = Shape(int(c), int(h), int(w))
        inputs = [word for word in reads.split() if not word.startswith("(") and word != "last)"]
        for reader in inputs:
            layers.append(Layer(kind, name, batch, shapes.get(reader, source), shapes[name], reader not in shapes))
    parameters = int(re.search(r"(\d+) parameters", text)[1])
    launches = int(re.search(r"makes (\d+) launches", text)[1])
    return Plan(layers, source, parameters, batch, launches)


# ---- the loops of a kernel ----
def merit_of_readers(way):
    """The way of threads that only read what a single one leaves in shared memory: where a tile lies."""
    return way.loads + way.stores, way.matrices, way.shared - 2 * way.shared_stores, -way.count


def merit_of_writers(way):
    """The way that reads no more of shared memory than it must: without a bias's gradient, which layers before a batch
    norm do not have, and without looking at an image's edges."""
    return way.loads + way.stores, way.matrices, way.shared_stores, -way.count


class Body:
    """The loop over tiles (the longest one), the loops in it, and those before and after it."""

    def __init__(self, kernel):
        (_, _, _, self.whole), *loops = kernel.ways()
        outer = [loop for loop in loops if loop[2] == 1]
        first, last, _, self.tile = max(outer, key=lambda loop: loop[1] - loop[0])
        self.inner = [way for a, b, depth, way in loops if depth == 2 and first <= a and b <= last]
        self.before = [way for a, b, _, way in outer if b < first]
        self.after = [way for a, b, _, way in outer if a > last]
        self.of_readers, self.of_writers = (way for merit in (merit_of_readers, merit_of_writers)
                                            for a, b, _, way in kernel.ways(merit) if (a, b) == (first, last))

    def fill(self):
        return max((way for way in self.inner if not way.stores), key=lambda way: way.loads).count

    def jobs(self):
        return max(self.inner, key=lambda way: way.stores).count

    def per_matrix(self):
        return min(way.count / way.matrices for way in self.inner if way.matrices)

    def tile_without_matrices(self):
        """The rest of an unrolled loop of products stands in the loop over tiles: it is counted with the products."""
        return self.of_writers.count - self.per_matrix() * self.of_writers.matrices

    def tile_with_corner(self):
        """Thread instructions of the loop over tiles if one thread, hence one warp, computes where each lies."""
        return self.tile.count * 32 + self.of_readers.count * (THREADS - 32)

    def once(self):
        return self.whole.count + sum(way.count for way in self.before)


class Bodies(dict):
    """By readable names, taken apart as they are asked for."""

    def __init__(self, kernels):
        super().__init__()
        self.kernels = kernels

    def __missing__(self, name):
        if name not in self.kernels:
            raise SystemExit(f"count_sass: the files lack the kernel {name}")
        self[name] = Body(self.kernels[name])
        return self[name]


# ---- the kernels: (layer, bodies by readable name) -> Work. Constants have the names of the .cu files ----
def tiling(c, h, w, batch, run, beside, edge, step, image):
    """tiling_of in depthwise_tile.cuh, of h x w units; image: elements of an image."""
    tile_channels, tile_edge, tile_positions, place_most, width = 32, 18, 504, 63, 4
    wide = 8 if c % 8 == 0 else 4
    chunks = ceil(c // wide, tile_channels // wide)
    vectors = ceil(c // wide, chunks) * (wide // width)
    most = min(tile_edge * tile_edge * tile_channels // (vectors * width), tile_positions)
    down, across = ceil(h, (tile_edge - edge) // step + 1), ceil(w, (most // tile_edge - edge) // step + 1)
    height, across_units = ceil(ceil(h, down), run) * run, ceil(ceil(w, across), beside) * beside
    down, across = ceil(h, height), ceil(w, across_units)
    positions = (edge + (height - 1) * step) * (edge + (across_units - 1) * step)
    jobs = height // run * (across_units // beside)
    samples = max(1, min(most // positions, 2 * (THREADS // vectors) // jobs, batch, place_most, (2**31 - 1) // image))
    return {"vectors": vectors, "fillers": vectors * width // wide, "chunks": ceil(c // width, vectors), "wide": wide,
            "positions": positions * samples, "jobs": jobs * samples, "tiles": ceil(batch, samples) * down * across}


def even_blocks(tiles, most):
    return ceil(tiles, ceil(tiles, most))


def tiles_work(kernel, body, t, loads):
    tile = (body.tile_with_corner() + whole_warps(t["positions"] * t["fillers"]) / loads * body.fill() +
            whole_warps(t["jobs"] * t["vectors"]) * body.jobs())
    blocks = even_blocks(t["tiles"], 256) * t["chunks"]
    runs = f"{t['tiles'] * t['chunks']} tiles of {t['positions']} positions, {t['jobs']} jobs"
    return Work(kernel, runs, t["tiles"] * t["chunks"] * tile + blocks * THREADS * body.once())


def stride_of(layer):
    return ceil(layer.source.h, layer.shape.h)


def depthwise_forward(layer, bodies):
    c, h, w = layer.shape
    stride = stride_of(layer)
    t = tiling(c, h, w, layer.batch, 2, 2 if stride == 1 else 1, 3, stride, size(layer.source))
    kernel = f"forward_tiles<bfloat16, 4, {t['wide']}, {stride}>"
    return tiles_work(kernel, bodies[kernel], t, 6)


def depthwise_backward(layer, bodies):
    c, h, w = layer.source
    stride = stride_of(layer)
    t = tiling(c, ceil(h, stride), ceil(w, stride), layer.batch, 2 // stride, 1, 4 - stride, 1, size(layer.source))
    kernel = f"backward_tiles<bfloat16, 4, {t['wide']}, {stride}, {stride - 1}>"
    return tiles_work(kernel, bodies[kernel], t, 2 if stride == 1 else 1)


def pointwise_side(layer):
    most = max(layer.source.c, layer.shape.c)
    return 32 if most <= 32 else 64 if most <= 64 else 128


def pointwise_work(kernel, body, tiles, blocks, matrices, stored_quads, weights):
    """matrices: MMAs of a warp in a tile; weights: instructions of a block for loading and storing them."""
    products = body.tile_without_matrices() + matrices * body.per_matrix()
    tile = products * THREADS + whole_warps(stored_quads) / 2 * body.jobs()
    return Work(kernel, f"{tiles} tiles, {matrices} MMAs, {stored_quads} quads stored",
                tiles * tile + blocks * (body.whole.count * THREADS + weights))


def matrices_of(rows, columns, depth):
    """MMAs of each of the 8 warps of a block: 16 x 8 results, 16 of depth."""
    return rows * columns // (16 * 8 * 8) * ceil(depth, 16)


def load_weights(body, side):
    return side * side / 4 * max(way.count for way in body.before)


def pointwise_forward(layer, bodies):
    side, pixels_of = pointwise_side(layer), layer.batch * layer.shape.h * layer.shape.w
    kernel, pixels = f"pointwise_forward_kernel<bfloat16, {side}>", 16384 // side // ELEMENT
    body, tiles = bodies[kernel], ceil(pixels_of, pixels)
    return pointwise_work(kernel, body, tiles, even_blocks(tiles, 256), matrices_of(pixels, side, layer.source.c),
                          pixels * layer.shape.c // 4, load_weights(body, side))


def pointwise_backward_blocks(layer):
    pixels_of, weights = layer.batch * layer.shape.h * layer.shape.w, layer.source.c * layer.shape.c
    side = pointwise_side(layer)
    pixels = (16384 if side == 128 else 8192) // side // ELEMENT
    tiles = ceil(pixels_of, pixels)
    return side, pixels, tiles, even_blocks(tiles, min(max(2**21 // weights, 128), 1024))


def pointwise_backward(layer, bodies):
    side, pixels, tiles, blocks = pointwise_backward_blocks(layer)
    kernel = f"pointwise_backward_kernel<bfloat16, {side}>"
    body = bodies[kernel]
    matrices = matrices_of(side, side, pixels) + matrices_of(pixels, side, layer.shape.c)
    store_weights = side * side / 4 * max(way.count for way in body.after if way.stores == 16)
    return pointwise_work(kernel, body, tiles, blocks, matrices, pixels * layer.source.c // 4,
                          load_weights(body, side) + store_weights)


def stem_tiling(layer, kernel=3):
    """stem_tiling_of in stem.cuh: tiles, pixels of a tile."""
    most, stride, (_, h, w), best = 64, stride_of(layer), layer.shape, None
    for width in range(1, w + 1):
        if (width - 1) * stride + kernel > most:
            break
        rows = min(1152 // ((width - 1) * stride + kernel), most)
        height = min((rows - kernel) // stride + 1, 256 // width) if rows >= kernel else 0
        if height < 1:
            continue
        down, across = ceil(h, height), ceil(w, width)
        tile_h, tile_w = ceil(h, down), ceil(w, across)
        positions = ((tile_h - 1) * stride + kernel) * ((tile_w - 1) * stride + kernel)
        cut = (layer.batch * down * across, positions, tile_h * tile_w)
        if best is None or cut[:2] <= best[:2]:
            best = cut
    return best[0], best[2]


def stem_work(layer, bodies, kernel):
    """The loop over rows of 16 pixels is the only one in that over tiles: a warp has every eighth row. Where the next
    tile lies is counted for all threads, although one warp computes it: its stores look like those of the patch."""
    groups = 1 if layer.shape.c <= 16 else 2
    kernel, (tiles, pixels) = f"{kernel}<bfloat16, 3, {groups}>", stem_tiling(layer)
    body, chunks = bodies[kernel], ceil(layer.shape.c, groups * 16)
    rows, blocks = ceil(pixels, 16), even_blocks(tiles, 256) * chunks
    tile = body.of_writers.count * THREADS + rows * 32 * max(way.count for way in body.inner)
    return Work(kernel, f"{tiles * chunks} tiles, {rows} rows of 16 pixels",
                tiles * chunks * tile + blocks * THREADS * body.once())


def stem_forward(layer, bodies):
    return stem_work(layer, bodies, "stem_forward_kernel")


def stem_backward(layer, bodies):
    return stem_work(layer, bodies, "stem_weights_kernel")


def is_modelled(layer):
    if layer.kind == "pointwise":
        return max(layer.source.c, layer.shape.c) <= 128 and layer.source.c % 4 == layer.shape.c % 4 == 0
    if layer.kind == "depthwise":  # presumed to be 3 x 3, and so is the first convolution: the plan does not say
        return stride_of(layer) <= 2 and layer.shape.c % 4 == 0
    return layer.kind == "conv" and layer.is_first and layer.source.c <= 4


MODELS = {"depthwise": (depthwise_forward, depthwise_backward), "pointwise": (pointwise_forward, pointwise_backward),
          "conv": (stem_forward, stem_backward)}


# ---- bytes at least: the plan's six values an activation, and what is not of the plan ----
def layer_bytes(layer):
    source, made = size(layer.source), size(layer.shape)
    backward = 2 * made + (1 if layer.is_first else 2) * source
    return [layer.batch * ELEMENT * values for values in (source + made, backward)]


def partial_bytes(layer):
    """Partial gradients of weights that cuda_reduce adds: written and read, if they did not stay in the L2 cache."""
    weights = layer.source.c * layer.shape.c
    if layer.kind != "pointwise" or not is_modelled(layer) or weights <= 2048:
        return 0
    return 2 * 4 * weights * pointwise_backward_blocks(layer)[3]


def other_bytes(plan):
    """Views: the input is written, and as many bytes of photos read as it has values. The optimiser: weights and two
    moments are read and written, gradients read, in float."""
    views = plan.batch * size(plan.input) * (ELEMENT + 1)
    sums = sum(map(partial_bytes, plan.layers))
    return {"views": views, "optimiser": plan.parameters * 4 * 7, "sums of weights": sums}


# ---- the table ----
Row = namedtuple("Row", "kind name direction work bytes")


def rows_of(plan, bodies):
    rows = []
    for layer in plan.layers:
        for i, direction in enumerate(("forward", "backward")):
            work = MODELS[layer.kind][i](layer, bodies) if is_modelled(layer) else None
            rows.append(Row(layer.kind, layer.name, direction, work, layer_bytes(layer)[i]))
    return rows + [Row(kind, kind, "", None, moved) for kind, moved in other_bytes(plan).items()]


class Rates:
    def __init__(self, processors, ghz, issue, memory):
        self.instructions, self.memory = processors * 4 * 32 * ghz * 1e9 * issue, memory

    def times(self, row):
        """Microseconds of instructions, of bytes."""
        return 1e6 * (row.work.instructions if row.work else 0) / self.instructions, 1e6 * row.bytes / self.memory


def print_line(*cells):
    print("| " + " | ".join(cells) + " |")


def print_header(*cells):
    print_line(*cells)
    print("|---" * len(cells) + "|")


def print_layers(rows, rates):
    print_header("layer", "", "kernel", "its loops", "million instructions", "us of them", "MB", "us of them", "us")
    for row in rows:
        issue, move = rates.times(row)
        work = ("not modelled", "", "", "")
        if row.work:
            work = (row.work.kernel, row.work.runs, f"{1e-6 * row.work.instructions:.0f}", f"{issue:.0f}")
        print_line(row.name, row.direction, *work, f"{1e-6 * row.bytes:.1f}", f"{move:.1f}", f"{max(issue, move):.0f}")


def print_sums(rows, rates, plan, launch_us):
    sums, moved = {}, {}
    for row in rows:
        key = (row.kind, row.direction)
        sums[key] = sums.get(key, 0) + max(rates.times(row))
        moved[key] = moved.get(key, 0) + rates.times(row)[1]
    print()
    print_header("sum", "", "us", "us of bytes alone")
    for kind, direction in sorted(sums, key=sums.get, reverse=True):
        print_line(kind, direction, f"{sums[kind, direction]:.0f}", f"{moved[kind, direction]:.0f}")
    launches = plan.launches * launch_us
    print_line(f"{plan.launches} launches of {launch_us:g} us", "", f"{launches:.0f}", "")
    total = sum(sums.values()) + launches
    print(f"\nA step: {1e-3 * total:.2f} ms, {1e6 * plan.batch / total:.0f} images/s; by bytes alone "
          f"{1e-3 * sum(moved.values()):.2f} ms. The goal for dwpw at 224, batch 128, is {GOAL_MS} ms.")


def print_step(plan, bodies, rates, issue, launch_us):
    rows = rows_of(plan, bodies)
    print_layers(rows, rates)
    print_sums(rows, rates, plan, launch_us)
    print(f"""
Guesses: schedulers issue in {issue} of their cycles, a launch costs {launch_us:g} us, bytes move at the memory's full
rate. Presumed: depthwise and first convolutions are 3x3. Not modelled: what has no count of instructions and gets the
time of its bytes; the sums after a block's last tile; waiting; the rates of shared memory and of tensor cores.""")
