"""One golden ONNX model whose outputs are what exporters write for layers of convolutional networks: values in every
layout, channel shuffles, splits and slices, activations and norms in pieces, broadcasts, pads, resizes. Expected values
are onnxruntime's. The output `logits` depends on all of them. Writes patterns.onnx and patterns.safetensors into
tests/golden/onnx_models. Needs onnx, onnxruntime, safetensors, numpy."""
import os

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onnx_models")
random = numpy.random.default_rng(7)
C, H, W = 8, 6, 4


def golden_input(shape):  # as in make_onnx_models.py
    i = numpy.arange(numpy.prod(shape), dtype=numpy.uint64)
    noise, bands = (((k * 2654435761 + 12345) & 0xFFFFFFFF) / 2.0**31 - 1 for k in (i, i // 777))
    return (noise + bands).astype(numpy.float32).reshape(shape)


class Patterns:
    def __init__(self):
        self.nodes, self.initialisers, self.outputs, self.count = [], {}, [], 0

    def constant(self, value, dtype=numpy.float32):
        array = numpy.asarray(value, dtype)
        name = f"k{len(self.initialisers)}"
        self.initialisers[name] = numpy_helper.from_array(array, name)
        return name

    def ints(self, *value):
        return self.constant(value, numpy.int64)

    def random(self, *shape):
        return self.constant(random.uniform(0.2, 1.5, shape) * random.choice([-1, 1], shape))

    def op(self, op, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"t{self.count}_{i}" for i in range(outputs)]
        inputs = [self.constant(i) if isinstance(i, float) else i for i in inputs]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"node_{self.count}", **attributes))
        return names[0] if outputs == 1 else names

    def output(self, name, value):
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(name)


def layouts(p, x):
    last = p.op("Transpose", x, perm=[0, 2, 3, 1])
    p.output("last_then_conv", p.op("Conv", p.op("Transpose", p.op("Add", p.op("Mul", last, p.random(C)), p.random(1, 1, C)),
                                                  perm=[0, 3, 1, 2]), p.random(5, C, 3, 3), pads=[1, 1, 1, 1]))
    p.output("last_flatten", p.op("Gemm", p.op("Flatten", last), p.random(7, C * H * W), transB=1))
    p.output("last_pad", p.op("Transpose", p.op("Pad", last, p.ints(0, 1, 2, 0, 0, 0, 1, 0)), perm=[0, 3, 1, 2]))
    p.output("last_concat", p.op("Transpose", p.op("Concat", last, p.op("Relu", last), axis=3), perm=[0, 3, 1, 2]))
    p.output("last_mean", p.op("ReduceMean", last, p.ints(1, 2), keepdims=0))
    p.output("last_gate", p.op("Transpose", p.op("Mul", last, p.op("Sigmoid", p.op("ReduceMean", last, p.ints(1, 2)))),
                               perm=[0, 3, 1, 2]))
    p.output("last_matmul", p.op("Transpose", p.op("Add", p.op("MatMul", last, p.random(C, 5)), p.random(5)),
                                 perm=[0, 3, 1, 2]))
    shuffled = p.op("Reshape", p.op("Transpose", p.op("Reshape", x, p.ints(0, 2, C // 2, H, W)), perm=[0, 2, 1, 3, 4]),
                    p.ints(0, C, H, W))
    p.output("shuffle", p.op("Conv", shuffled, p.random(4, C, 1, 1)))
    p.output("shuffle_scale", p.op("Mul", shuffled, p.random(C, 1, 1)))
    p.output("shuffle_add", p.op("Add", shuffled, x))
    p.output("spatial_scale", p.op("Mul", x, p.random(1, 1, H, W)))
    p.output("value_shift", p.op("Add", x, p.random(1, C, H, W)))
    rows = p.op("Reshape", x, p.ints(0, C, H * W))
    p.output("mean_of_rows", p.op("ReduceMean", rows, p.ints(2), keepdims=0))
    p.output("max_of_rows", p.op("ReduceMax", rows, p.ints(-1), keepdims=0))
    p.output("tokens", p.op("MatMul", p.op("ReduceMean", p.op("Transpose", rows, perm=[0, 2, 1]), p.ints(1), keepdims=0),
                            p.random(C, 3)))
    p.output("two_steps", p.op("ReduceMean", p.op("ReduceMean", x, p.ints(3), keepdims=0), p.ints(2), keepdims=0))
    p.output("sum_of_places", p.op("ReduceSum", x, p.ints(2, 3), keepdims=1))
    p.output("mean_of_channels", p.op("ReduceMean", x, p.ints(1)))
    p.output("spatial_gate", p.op("Mul", x, p.op("Sigmoid", p.op("ReduceMean", x, p.ints(1)))))
    p.output("unflatten", p.op("Relu", p.op("Reshape", p.op("Flatten", x), p.ints(-1, C, H, W))))
    p.output("expand", p.op("Add", p.op("Expand", p.op("GlobalAveragePool", x), p.ints(1, 1, H, W)), x))
    p.output("add_vector", p.op("Add", p.op("GlobalMaxPool", x), x))


def parts(p, x):
    a, b = p.op("Split", x, p.ints(3, 5), outputs=2, axis=1)
    p.output("split", p.op("Concat", p.op("Relu", b), a, axis=1))
    halves = p.op("Split", x, outputs=2, axis=1, num_outputs=2)
    p.output("halves", p.op("Mul", halves[0], p.op("Sigmoid", halves[1])))
    p.output("slice_channels", p.op("Slice", x, p.ints(1), p.ints(7), p.ints(1), p.ints(2)))
    p.output("slice_reversed", p.op("Slice", x, p.ints(-1), p.ints(-100), p.ints(1), p.ints(-1)))
    p.output("slice_places", p.op("Slice", x, p.ints(1, 0), p.ints(6, 2**31), p.ints(2, 3), p.ints(2, 2)))
    p.output("gather", p.op("Gather", x, p.ints(2, 0, 1), axis=1))
    one = [p.op("Unsqueeze", p.op("Gather", x, p.constant(i, numpy.int64), axis=1), p.ints(1)) for i in (1, 0)]
    p.output("transform_input", p.op("Concat", p.op("Add", p.op("Mul", one[0], 0.5), -0.25), one[1], axis=1))
    p.output("stack", p.op("ReduceSum", p.op("Reshape", p.op("Concat", p.op("Unsqueeze", x, p.ints(1)),
             p.op("Unsqueeze", p.op("Relu", x), p.ints(1)), axis=1), p.ints(0, 2 * C, H, W)), p.ints(2, 3)))
    p.output("pad_channels", p.op("Pad", x, p.ints(0, 2, 0, 0, 0, 3, 0, 0)))
    p.output("pad_reflect", p.op("Pad", x, p.ints(0, 0, 2, 1, 0, 0, 1, 2), mode="reflect"))
    p.output("pad_edge", p.op("Pad", x, p.ints(0, 0, 2, 1, 0, 0, 0, 2), mode="edge"))
    p.output("pad_value", p.op("Pad", x, p.ints(0, 0, 1, 1, 0, 0, -1, 0), 0.75))


def activations(p, x):
    for op in ("Elu", "Selu", "Celu", "Mish", "Tanh", "Softplus", "Softsign", "Abs", "Gelu", "HardSwish"):
        p.output("op_" + op, p.op(op, x))
    p.output("op_gelu_tanh", p.op("Gelu", x, approximate="tanh"))
    p.output("op_prelu", p.op("PRelu", x, p.random(C, 1, 1)))
    root = float(numpy.sqrt(2))
    for i, order in enumerate(("x*0.5 * p", "x * (0.5*p)", "(x * p) * 0.5", "0.5 * (p * x)")):
        piece = p.op("Add", p.op("Erf", p.op("Div", x, root) if i % 2 else p.op("Mul", x, 1 / root)), 1.0)
        p.output(f"gelu_{i}", [lambda: p.op("Mul", p.op("Mul", x, 0.5), piece), lambda: p.op("Mul", x, p.op("Mul", 0.5, piece)),
                               lambda: p.op("Mul", p.op("Mul", x, piece), 0.5), lambda: p.op("Mul", 0.5, p.op("Mul", piece, x))][i]())
    cube = p.op("Mul", p.op("Pow", x, 3.0), 0.044715)
    inner = p.op("Tanh", p.op("Mul", p.op("Add", x, cube), float(numpy.sqrt(2 / numpy.pi))))
    p.output("gelu_tanh", p.op("Mul", p.op("Mul", x, p.op("Add", inner, 1.0)), 0.5))
    p.output("silu", p.op("Mul", p.op("Sigmoid", x), x))
    p.output("silu_1702", p.op("Mul", x, p.op("Sigmoid", p.op("Mul", x, 1.702))))
    p.output("silu_exp", p.op("Div", x, p.op("Add", p.op("Exp", p.op("Neg", x)), 1.0)))
    p.output("mish", p.op("Mul", x, p.op("Tanh", p.op("Softplus", x))))
    p.output("mish_log", p.op("Mul", x, p.op("Tanh", p.op("Log", p.op("Add", p.op("Exp", x), 1.0)))))
    p.output("hard_swish", p.op("Div", p.op("Mul", x, p.op("Clip", p.op("Add", x, 3.0), 0.0, 6.0)), 6.0))
    p.output("hard_swish_op", p.op("Mul", x, p.op("HardSigmoid", x, alpha=1 / 6)))
    p.output("relu6", p.op("Min", p.op("Max", x, 0.0), 6.0))
    p.output("not_gelu", p.op("Mul", x, p.op("Add", p.op("Tanh", x), 1.0)))
    p.output("squared_relu", p.op("Mul", p.op("Relu", x), p.op("Relu", x)))


def norms(p, x):
    last = p.op("Transpose", x, perm=[0, 2, 3, 1])
    p.output("layer_norm", p.op("Transpose", p.op("LayerNormalization", last, p.random(C), p.random(C), axis=-1, epsilon=1e-3),
                                perm=[0, 3, 1, 2]))
    p.output("layer_norm_whole", p.op("LayerNormalization", x, p.random(C, H, W), p.random(C, H, W), axis=1))
    for name, value, axis, shape in (("first", x, 1, (C, 1, 1)), ("last", last, 3, (C,))):
        centred = p.op("Sub", value, p.op("ReduceMean", value, p.ints(axis)))
        square = p.op("Pow", centred, 2.0) if axis == 1 else p.op("Mul", centred, centred)
        root = p.op("Sqrt", p.op("Add", p.op("ReduceMean", square, p.ints(axis)), 1e-2))
        normed = p.op("Div", centred, root) if axis == 1 else p.op("Mul", centred, p.op("Reciprocal", root))
        out = p.op("Add", p.op("Mul", normed, p.random(*shape)), p.random(*shape))
        p.output("layer_norm_pieces_" + name, out if axis == 1 else p.op("Transpose", out, perm=[0, 3, 1, 2]))
    groups = p.op("InstanceNormalization", p.op("Reshape", x, p.ints(0, 2, -1)), p.constant([1, 1]), p.constant([0, 0]),
                  epsilon=1e-2)
    p.output("group_norm_pieces", p.op("Add", p.op("Mul", p.op("Reshape", groups, p.ints(0, C, H, W)), p.random(C, 1, 1)),
                                       p.random(C, 1, 1)))
    p.output("group_norm", p.op("GroupNormalization", x, p.random(C), p.random(C), num_groups=4))
    p.output("instance_norm", p.op("InstanceNormalization", x, p.random(C), p.random(C)))
    p.output("lp_norm", p.op("LpNormalization", x, axis=1, p=1))
    vector = p.op("Flatten", p.op("GlobalAveragePool", x))
    length = p.op("Expand", p.op("Clip", p.op("ReduceL2", vector, p.ints(1)), 1e-12), p.op("Shape", vector))
    p.output("normalize", p.op("Div", vector, length))


def values(p, x):
    v = [p.op("Flatten", p.op(op, x)) for op in ("GlobalAveragePool", "GlobalMaxPool")]
    p.output("sub", p.op("Sub", v[0], v[1]))
    p.output("mean", p.op("Mean", v[0], v[1], p.op("Relu", v[0])))
    p.output("from_constant", p.op("Sub", 1.0, x))
    p.output("minus_vector", p.op("Sub", p.random(C, 1, 1), x))
    p.output("by_vector", p.op("Div", x, p.random(C, 1, 1)))
    p.output("log_softmax", p.op("LogSoftmax", p.op("Reshape", v[0], p.ints(-1, C)), axis=-1))
    sizes, scales = p.constant([1, 1, 1.5, 1.25]), p.constant([1, 1, 2, 1.5])
    none = ""
    p.output("resize_linear", p.op("Resize", x, none, sizes, mode="linear"))
    p.output("resize_corners", p.op("Resize", x, none, sizes, mode="linear",
                                    coordinate_transformation_mode="align_corners"))
    p.output("resize_pytorch", p.op("Resize", x, none, scales, mode="linear",
                                    coordinate_transformation_mode="pytorch_half_pixel"))
    p.output("resize_nearest", p.op("Resize", x, none, scales, mode="nearest", nearest_mode="floor",
                                    coordinate_transformation_mode="asymmetric"))
    matrix = p.op("Reshape", p.random(5, C, 1, 1), p.ints(1, 5, -1))
    normed = p.op("BatchNormalization", matrix, p.random(5), p.random(5), p.constant(numpy.zeros(5)), p.constant(numpy.ones(5)),
                  outputs=3, training_mode=1)[0]
    p.output("standardised_weights", p.op("Conv", x, p.op("Reshape", normed, p.ints(5, C, 1, 1))))


def strided(p, x):
    """Samples that are taken by their places in one row of all of them, as PyTorch's dynamo exporter writes as_strided."""
    batch = p.op("Squeeze", p.op("Shape", x, start=0, end=1))
    counted = p.op("Range", p.constant(0, numpy.int64), batch, p.constant(1, numpy.int64))

    def rows(value, *shape):
        size = int(numpy.prod(shape))
        places = p.constant(numpy.arange(size).reshape(1, *shape), numpy.int64)
        starts = p.op("Unsqueeze", p.op("Mul", counted, p.constant(size, numpy.int64)), p.ints(*range(1, len(shape) + 1)))
        return p.op("Gather", p.op("Reshape", value, p.ints(-1)), p.op("Add", starts, places), axis=0)

    mean = rows(p.op("ReduceMean", x, p.ints(2, 3), keepdims=1), C, 1, 1)
    p.output("strided_mean", p.op("Gemm", p.op("Reshape", mean, p.ints(-1, C)), p.random(3, C), transB=1))
    p.output("strided_map", p.op("Conv", rows(p.op("Relu", x), C, H, W), p.random(5, C, 1, 1)))


def sequences(p, x):
    """A split whose pieces are read by number, as PyTorch's dynamo exporter writes it without its optimiser."""
    sizes = p.op("SplitToSequence", x, p.ints(3, 1, 4), axis=1)
    p.output("sequence_sizes", p.op("Concat", p.op("SequenceAt", sizes, p.constant(2, numpy.int64)),
                                    p.op("SequenceAt", sizes, p.constant(-3, numpy.int64)), axis=1))
    parts = p.op("SplitToSequence", x, p.constant(3, numpy.int64), axis=1)
    p.output("sequence_parts", p.op("Conv", p.op("SequenceAt", parts, p.constant(2, numpy.int64)), p.random(4, 2, 1, 1)))


def main():
    p = Patterns()
    for part in (layouts, parts, activations, norms, values, strided, sequences):
        part(p, "x")
    means = [p.op("GlobalAveragePool", name) for name in p.outputs if name not in
             ("last_flatten", "last_mean", "mean_of_rows", "max_of_rows", "tokens", "two_steps", "normalize", "sub", "mean",
              "log_softmax", "strided_mean")]
    p.output("logits", p.op("Flatten", p.op("Concat", *means[:60], axis=1)))
    info = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", C, H, W])]
    outs = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in p.outputs]
    graph = helper.make_graph(p.nodes, "patterns", info, outs, list(p.initialisers.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    path = os.path.join(FOLDER, "patterns.onnx")
    onnx.save(model, path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    images = golden_input((2, C, H, W)) * 2
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    results = session.run(p.outputs, {"x": images})
    save_file({name: r.copy() for name, r in zip(p.outputs, results)}, path.replace(".onnx", ".safetensors"))
    print(len(p.outputs), "patterns", os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
