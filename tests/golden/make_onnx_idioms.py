"""Golden ONNX models of what exporters write around layers: shapes computed at run time, constants behind Identity, Cast
and Constant, normalisation in the graph, Keras's channels-last inputs and SAME padding, several outputs. Expected
values are onnxruntime's. Writes idioms_*.onnx and idioms_*.safetensors into tests/golden/onnx_models.
Needs onnx, onnxruntime, safetensors, numpy."""
import os

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onnx_models")
random = numpy.random.default_rng(1)


def golden_input(shape):  # as in make_onnx_models.py
    i = numpy.arange(numpy.prod(shape), dtype=numpy.uint64)
    noise, bands = (((k * 2654435761 + 12345) & 0xFFFFFFFF) / 2.0**31 - 1 for k in (i, i // 777))
    return (noise + bands).astype(numpy.float32).reshape(shape)


class Model:
    def __init__(self):
        self.nodes, self.initialisers = [], []

    def constant(self, name, value, dtype=numpy.float32):
        self.initialisers.append(numpy_helper.from_array(numpy.asarray(value, dtype), name))

    def weight(self, name, *shape, dtype=numpy.float32):
        self.constant(name, random.normal(0, 1 / numpy.sqrt(numpy.prod(shape[1:])), shape), dtype)

    def add(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs.split(" "), [output], name=f"node_{output}", **attributes))

    def save(self, name, opset, input_shape, outputs, channels_last=False):
        info = [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)]
        outs = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(self.nodes, name, info, outs, self.initialisers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
        path = os.path.join(FOLDER, name + ".onnx")
        onnx.save(model, path)
        images = golden_input((2, 3, 16, 16))
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        logits = session.run(["logits"], {"x": images.transpose(0, 2, 3, 1) if channels_last else images})[0]
        save_file({"logits": logits}, os.path.join(FOLDER, name + ".safetensors"))
        print(name, logits.shape, numpy.abs(logits).max())


def pytorch():
    m = Model()
    m.constant("mean", random.uniform(0.2, 0.6, (1, 3, 1, 1)))
    m.constant("std", random.uniform(0.5, 1.5, (3, 1, 1)))
    m.add("Sub", "x mean", "centred")
    m.add("Div", "centred std", "normalised")
    m.weight("half", 8, 3, 3, 3, dtype=numpy.float16)
    m.add("Cast", "half", "hidden", to=TensorProto.FLOAT)
    m.add("Identity", "hidden", "conv.weight")
    m.add("Conv", "normalised conv.weight", "conv", strides=[2, 2], pads=[1, 1, 1, 1])
    m.constant("conv.shift", random.uniform(-1, 1, (1, 8, 1, 1)))
    m.add("Add", "conv conv.shift", "conv_biased")
    m.nodes.append(helper.make_node("Constant", [], ["zero"], value_float=0.0))
    m.nodes.append(helper.make_node("Constant", [], ["six"],
                                    value=numpy_helper.from_array(numpy.array(0.75, numpy.float32))))
    m.add("Clip", "conv_biased zero six", "clipped")
    # x.view(x.size(0), -1)
    m.add("Shape", "clipped", "sizes")
    m.constant("index", 0, numpy.int64)
    m.add("Gather", "sizes index", "batch_size", axis=0)
    m.constant("axis", [0], numpy.int64)
    m.add("Unsqueeze", "batch_size axis", "batch_vector")
    m.constant("rest", [-1], numpy.int64)
    m.add("Concat", "batch_vector rest", "new_shape", axis=0)
    m.add("Reshape", "clipped new_shape", "flat")
    m.weight("fc", 512, 10)
    m.constant("fc.bias", random.uniform(-1, 1, 10))
    m.add("MatMul", "flat fc", "product")
    m.add("Add", "fc.bias product", "scores")
    m.constant("temperature", 0.5)
    m.add("Mul", "scores temperature", "scaled")
    m.constant("one", [1.0])
    m.add("Sub", "one scaled", "turned")
    m.add("Identity", "turned", "logits")
    m.save("idioms_pytorch", 13, ["batch", 3, 16, 16], ["logits"])


def keras():
    m = Model()
    m.add("Transpose", "x", "first", perm=[0, 3, 1, 2])
    m.constant("pads", [0, 0, 0, 0, 0, 0, 1, 1], numpy.int64)
    m.add("Pad", "first pads", "padded")
    m.weight("kernel", 6, 3, 3, 3)
    m.add("Conv", "padded kernel", "conv", strides=[2, 2], auto_pad="VALID", kernel_shape=[3, 3])
    for name in ("gamma", "beta", "mean", "variance"):
        m.constant(name, random.uniform(0.5, 1.5, 6))
    m.add("BatchNormalization", "conv gamma beta mean variance", "norm", epsilon=1e-3, momentum=0.99)
    m.add("Relu", "norm", "relu")
    m.weight("depthwise", 6, 1, 3, 3)
    m.add("Conv", "relu depthwise", "same_upper", auto_pad="SAME_UPPER", strides=[2, 2], group=6)
    m.add("AveragePool", "same_upper", "same_lower", auto_pad="SAME_LOWER", kernel_shape=[2, 2], strides=[1, 1])
    m.add("Transpose", "same_lower", "last", perm=[0, 2, 3, 1])
    m.add("ReduceMean", "last", "pooled", axes=[1, 2], keepdims=0)
    m.weight("dense", 6, 5, dtype=numpy.float64)
    m.add("Cast", "dense", "dense_float", to=TensorProto.FLOAT)
    m.constant("dense_bias", random.uniform(-1, 1, (1, 5)))
    m.add("Dropout", "pooled", "dropped")
    m.add("Gemm", "dropped dense_float dense_bias", "logits", alpha=0.5, beta=2.0)
    m.add("Softmax", "logits", "probabilities", axis=-1)
    m.add("ArgMax", "probabilities", "label")  # not on the way to the logits: not read
    m.nodes.append(helper.make_node("Cast", ["label"], ["label_float"], to=TensorProto.FLOAT))
    m.save("idioms_keras", 13, ["batch", 16, 16, 3], ["probabilities", "label_float", "logits"], channels_last=True)


def gates():
    """Operator set 11, image size left open."""
    m = Model()
    m.weight("w", 8, 3, 3, 3)
    m.add("Conv", "x w", "conv", dilations=[2, 2], pads=[0, 1, 2, 1])
    m.add("LeakyRelu", "conv", "leaky", alpha=0.2)
    m.add("GlobalAveragePool", "leaky", "average")
    m.add("GlobalMaxPool", "leaky", "maximum")
    m.add("Sum", "average maximum average", "both")
    m.add("Squeeze", "both", "vector", axes=[2, 3])
    m.weight("squeeze", 8, 8)
    m.add("Gemm", "vector squeeze", "squeezed", transB=1)
    m.add("HardSigmoid", "squeezed", "gate")
    m.add("Unsqueeze", "gate", "gate_map", axes=[2, 3])
    m.add("Mul", "gate_map leaky", "gated")
    m.add("Sigmoid", "gated", "sigmoid")
    m.add("Mul", "gated sigmoid", "swish")
    m.add("Concat", "swish leaky", "joined", axis=-3)
    m.add("MaxPool", "joined", "pooled", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    m.add("Clip", "pooled", "clipped")
    m.add("GlobalAveragePool", "clipped", "features")
    m.constant("shape", [0, -1], numpy.int64)
    m.add("Reshape", "features shape", "flat")
    m.weight("head", 4, 16)
    m.add("Gemm", "flat head", "logits", transB=1)
    m.save("idioms_gates", 11, ["batch", 3, "height", "width"], ["logits"])


pytorch()
keras()
gates()
