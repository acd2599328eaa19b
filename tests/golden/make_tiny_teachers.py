#!/usr/bin/env python3
"""Makes tests/golden/teachers/*.onnx: tiny untrained classifiers of 32x32 images into 10 classes, for test_teacher_dump.

needs: numpy, onnx."""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "teachers")


def teacher(seed, ending=()):
    random = np.random.default_rng(seed)
    weights = {
        "w0": random.normal(0, 0.4, (8, 3, 3, 3)),
        "b0": random.normal(0, 0.1, 8),
        "w1": random.normal(0, 0.3, (12, 8, 3, 3)),
        "b1": random.normal(0, 0.1, 12),
        "w2": random.normal(0, 1.0, (10, 12)),
        "b2": random.normal(0, 0.1, 10),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w0", "b0"], ["conv0"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["conv0"], ["map0"]),
        helper.make_node("Conv", ["map0", "w1", "b1"], ["conv1"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Relu", ["conv1"], ["map1"]),
        helper.make_node("GlobalAveragePool", ["map1"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "w2", "b2"], ["logits"], transB=1),
    ]
    output = "logits"
    for op in ending:
        nodes.append(helper.make_node(op, [output], ["after_" + op]))
        output = "after_" + op
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="")
    onnx.checker.check_model(model)
    return model


os.makedirs(FOLDER, exist_ok=True)
for name, model in {
    "tiny": teacher(1),
    "other": teacher(2),
    "softmax": teacher(1, ["Softmax"]),
    "unsupported": teacher(1, ["Erf"]),
}.items():
    onnx.save(model, os.path.join(FOLDER, name + ".onnx"))
