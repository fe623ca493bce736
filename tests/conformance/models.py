"""Whole models as ONNX files, made with onnx.helper alone: ResNet-50, a BERT-shaped transformer, an LSTM classifier.

Each ends in the loss of a classification, besides its logits. Sizes, element type and seed of the weights are
parameters; the same parameters give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
_IR_VERSION = 9


class _Graph:
    """Nodes and weights under construction. Methods that add a node return the name of its (first) output."""

    def __init__(self, dtype: npt.DTypeLike, seed: int, training: bool = False) -> None:
        self.dtype = np.dtype(dtype)
        self.training = training
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def weight(self, name: str, shape: Sequence[int], scale: float = 1.0, mean: float = 0.0) -> str:
        """Normal numbers."""
        return self.constant(name, (mean + scale * self.rng.standard_normal(tuple(shape))).astype(self.dtype))

    def constant(self, name: str, array: npt.ArrayLike) -> str:
        """An initializer."""
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str] = (), **attributes: object) -> str:
        """A node with one output, or those named."""
        made = list(outputs) or [f"{op}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(op, list(inputs), made, f"node_{len(self.nodes)}", **attributes))
        return made[0]

    def linear(self, name: str, x: str, fan_in: int, fan_out: int) -> str:
        """x W + b over the last axis."""
        w = self.weight(f"{name}.weight", (fan_in, fan_out), fan_in**-0.5)
        product = self.node("MatMul", [x, w])
        return self.node("Add", [product, self.weight(f"{name}.bias", (fan_out,), 0.1)])

    def model(self, name: str, inputs: dict[str, tuple[int, Sequence[int]]], logits: Sequence[int]) -> onnx.ModelProto:
        """The model of the node outputs "logits" and "loss". `inputs`: element types and shapes by name."""
        code = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.node("SoftmaxCrossEntropyLoss", ["logits", "labels"], ["loss"])
        labels = {"labels": (TensorProto.INT64, [logits[0]])}
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(key, *entry) for key, entry in {**inputs, **labels}.items()],
            [
                helper.make_tensor_value_info("logits", code, logits),
                helper.make_tensor_value_info("loss", code, []),
            ],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
        onnx.checker.check_model(model)
        return model


def _conv_norm(
    g: _Graph, name: str, x: str, channels: tuple[int, int], kernel: int, stride: int = 1, gain: float = 1.0
) -> str:
    """A convolution without a bias, and batch normalisation."""
    into, out = channels
    pads = [(kernel - 1) // 2] * 4
    w = g.weight(f"{name}.weight", (out, into, kernel, kernel), (2 / (into * kernel**2)) ** 0.5)
    y = g.node("Conv", [x, w], kernel_shape=[kernel, kernel], strides=[stride, stride], pads=pads)
    statistics = [
        g.weight(f"{name}.norm.scale", (out,), 0.05, gain),
        g.weight(f"{name}.norm.bias", (out,), 0.05),
        g.weight(f"{name}.norm.mean", (out,), 0.05),
        g.constant(f"{name}.norm.variance", g.rng.uniform(0.8, 1.2, out).astype(g.dtype)),
    ]
    made = [f"{name}.norm.{what}" for what in ("y", "new_mean", "new_variance")] if g.training else []
    return g.node("BatchNormalization", [y, *statistics], made, epsilon=1e-5, training_mode=int(g.training))


def _bottleneck(g: _Graph, name: str, x: str, channels: tuple[int, int], stride: int) -> str:
    into, out = channels
    narrow = out // 4
    y = g.node("Relu", [_conv_norm(g, f"{name}.1", x, (into, narrow), 1)])
    y = g.node("Relu", [_conv_norm(g, f"{name}.2", y, (narrow, narrow), 3, stride)])
    y = _conv_norm(g, f"{name}.3", y, (narrow, out), 1, gain=0.25)
    short = x if into == out and stride == 1 else _conv_norm(g, f"{name}.short", x, (into, out), 1, stride)
    return g.node("Relu", [g.node("Add", [y, short])])


def resnet50(
    batch: int = 2,
    size: int = 64,
    classes: int = 1000,
    width: int = 64,
    training: bool = False,
    dtype: npt.DTypeLike = np.float32,
    seed: int = 0,
) -> onnx.ModelProto:
    """image [batch, 3, size, size], labels [batch] -> logits, loss (He et al., 2015; stride in the 3 x 3 convolution).

    `training`: batches are normalised by their own statistics, otherwise by stored ones.
    """
    g = _Graph(dtype, seed, training)
    x = g.node("Relu", [_conv_norm(g, "stem", "image", (3, width), 7, 2)])
    x = g.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    into = width
    for stage, blocks in enumerate((3, 4, 6, 3)):
        out = 4 * width << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = _bottleneck(g, f"stage{stage + 1}.{block}", x, (into, out), stride)
            into = out
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x])], axis=1)
    w = g.weight("head.weight", (classes, into), into**-0.5)
    g.node("Gemm", [x, w, g.weight("head.bias", (classes,), 0.1)], ["logits"], transB=1)
    image = {"image": (helper.np_dtype_to_tensor_dtype(g.dtype), [batch, 3, size, size])}
    return g.model("resnet50", image, [batch, classes])


def _norm(g: _Graph, name: str, x: str, hidden: int) -> str:
    scale = g.weight(f"{name}.scale", (hidden,), 0.1, 1.0)
    return g.node("LayerNormalization", [x, scale, g.weight(f"{name}.bias", (hidden,), 0.1)], axis=-1, epsilon=1e-5)


def _attention(g: _Graph, name: str, x: str, hidden: int, heads: int) -> str:
    """Every position attends to those that the mask leaves."""
    split = g.constant(f"{name}.split", np.array([0, 0, heads, hidden // heads]))
    query, key, value = (
        g.node("Reshape", [g.linear(f"{name}.{part}", x, hidden, hidden), split]) for part in ("query", "key", "value")
    )
    query, value = (g.node("Transpose", [part], perm=[0, 2, 1, 3]) for part in (query, value))
    scores = g.node("MatMul", [query, g.node("Transpose", [key], perm=[0, 2, 3, 1])])
    root = g.constant(f"{name}.root", np.array((hidden // heads) ** 0.5, g.dtype))
    weights = g.node("Softmax", [g.node("Add", [g.node("Div", [scores, root]), "mask"])], axis=-1)
    mixed = g.node("Transpose", [g.node("MatMul", [weights, value])], perm=[0, 2, 1, 3])
    joined = g.node("Reshape", [mixed, g.constant(f"{name}.join", np.array([0, 0, hidden]))])
    return g.linear(f"{name}.out", joined, hidden, hidden)


def transformer(
    batch: int = 2,
    length: int = 32,
    layers: int = 4,
    hidden: int = 128,
    heads: int = 4,
    vocabulary: int = 1000,
    classes: int = 10,
    dtype: npt.DTypeLike = np.float32,
    seed: int = 0,
) -> onnx.ModelProto:
    """tokens [batch, length], mask [batch, 1, 1, length] (added to scores), labels [batch] -> logits, loss.

    An encoder as BERT's (Devlin et al., 2018): learned positions, normalisation after each part, the first position
    classified.
    """
    g = _Graph(dtype, seed)
    x = g.node("Gather", [g.weight("embedding", (vocabulary, hidden), 0.5), "tokens"])
    x = _norm(g, "embedding.norm", g.node("Add", [x, g.weight("positions", (length, hidden), 0.5)]), hidden)
    for layer in range(layers):
        name = f"layer{layer}"
        attended = _attention(g, f"{name}.attention", x, hidden, heads)
        x = _norm(g, f"{name}.attention.norm", g.node("Add", [x, attended]), hidden)
        wide = g.node("Gelu", [g.linear(f"{name}.wide", x, hidden, 4 * hidden)])
        x = _norm(g, f"{name}.norm", g.node("Add", [x, g.linear(f"{name}.narrow", wide, 4 * hidden, hidden)]), hidden)
    first = g.node("Gather", [x, g.constant("first", np.array(0))], axis=1)
    pooled = g.node("Tanh", [g.linear("pooler", first, hidden, hidden)])
    w = g.weight("head.weight", (hidden, classes), hidden**-0.5)
    g.node("Gemm", [pooled, w, g.weight("head.bias", (classes,), 0.1)], ["logits"])
    floating = helper.np_dtype_to_tensor_dtype(g.dtype)
    inputs = {"tokens": (TensorProto.INT64, [batch, length]), "mask": (floating, [batch, 1, 1, length])}
    return g.model("transformer", inputs, [batch, classes])


def lstm(
    batch: int = 4,
    length: int = 20,
    layers: int = 2,
    width: int = 32,
    hidden: int = 64,
    classes: int = 10,
    dtype: npt.DTypeLike = np.float32,
    seed: int = 0,
) -> onnx.ModelProto:
    """sequence [length, batch, width], labels [batch] -> logits, loss: the last hidden state is classified."""
    g = _Graph(dtype, seed)
    x, into, last = "sequence", width, ""
    for layer in range(layers):
        weights = [
            g.weight(f"lstm{layer}.w", (1, 4 * hidden, into), into**-0.5),
            g.weight(f"lstm{layer}.r", (1, 4 * hidden, hidden), hidden**-0.5),
            g.weight(f"lstm{layer}.b", (1, 8 * hidden), 0.1),
        ]
        y, last = f"y{layer}", f"h{layer}"
        g.node("LSTM", [x, *weights], [y, last], hidden_size=hidden)
        x, into = g.node("Squeeze", [y, g.constant(f"lstm{layer}.direction", np.array([1]))]), hidden
    state = g.node("Squeeze", [last, g.constant("direction", np.array([0]))])
    w = g.weight("head.weight", (hidden, classes), hidden**-0.5)
    g.node("Gemm", [state, w, g.weight("head.bias", (classes,), 0.1)], ["logits"])
    sequence = {"sequence": (helper.np_dtype_to_tensor_dtype(g.dtype), [length, batch, width])}
    return g.model("lstm", sequence, [batch, classes])


def inputs_of(model: onnx.ModelProto, seed: int = 0) -> dict[str, npt.NDArray[np.generic]]:
    """Random arrays for a model's inputs: labels and tokens below 10; a mask that hides the last positions."""
    rng = np.random.default_rng(seed)
    made: dict[str, npt.NDArray[np.generic]] = {}
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if dtype.kind == "i":
            made[value.name] = rng.integers(0, 10, shape)
        elif value.name == "mask":
            hidden = np.arange(shape[-1]) >= shape[-1] - rng.integers(1, 5, [shape[0], 1, 1, 1])
            made[value.name] = np.where(hidden, -1e4, 0).astype(dtype)
        else:
            made[value.name] = rng.standard_normal(shape).astype(dtype)
    return made


def set_batch(model: onnx.ModelProto, batch: int) -> None:
    """Makes an image model of one of the same for several images: its Reshapes of [1, ...] keep the first extent."""
    graph = model.graph
    constants = {initializer.name: initializer for initializer in graph.initializer}
    for value in (*graph.input, *graph.output):
        if value.name not in constants and value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.dim[0].dim_value = batch
    del graph.value_info[:]
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        shape = numpy_helper.to_array(constants[node.input[1]]).copy()
        if shape[0] == 1:
            shape[0] = 0
            constants[node.input[1]].CopyFrom(numpy_helper.from_array(shape, node.input[1]))
