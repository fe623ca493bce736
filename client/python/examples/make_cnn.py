"""A small convolutional network for 8 x 8 images as an ONNX file, made with onnx.helper alone."""

from __future__ import annotations

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = 10


def make_cnn(seed: int = 0) -> onnx.ModelProto:
    """image [batch, 1, 8, 8] -> logits [batch, 10], with He's initial weights."""
    random = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        fan_in = int(np.prod(shape[1:]))
        values = random.normal(scale=np.sqrt(2 / fan_in), size=shape)
        return numpy_helper.from_array(values.astype(np.float32), name)

    def zeros(name: str, extent: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.zeros(extent, np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "conv1.weight", "conv1.bias"], ["a"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "conv2.weight", "conv2.bias"], ["c"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["e"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["e"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "fc1.weight", "fc1.bias"], ["g"], "fc1", transB=1),
        helper.make_node("Relu", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "fc2.weight", "fc2.bias"], ["logits"], "fc2", transB=1),
    ]
    initializers = [
        weight("conv1.weight", 16, 1, 3, 3),
        zeros("conv1.bias", 16),
        weight("conv2.weight", 32, 16, 3, 3),
        zeros("conv2.bias", 32),
        weight("fc1.weight", 64, 32 * 4 * 4),
        zeros("fc1.bias", 64),
        weight("fc2.weight", CLASSES, 64),
        zeros("fc2.bias", CLASSES),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    onnx.save(make_cnn(), sys.argv[1])
