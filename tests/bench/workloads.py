"""Models to train, each twice: as ONNX nodes for gradwire and as PyTorch, with the same weights and batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from gradwire import commands
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from measure import floor_of

Array = np.ndarray[Any, Any]
FLOAT = onnx_pb2.TensorProto.FLOAT


class Graph:
    """ONNX nodes with weights, built call by call; values are names."""

    def __init__(self, module: nn.Module) -> None:
        self.nodes: list[onnx_pb2.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.weights = {name: weight.detach().numpy().copy() for name, weight in module.named_parameters()}

    def __call__(self, op_type: str, *inputs: str | None, outputs: int = 1, **attributes: Any) -> str:
        made = [f"{op_type}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(commands.node(op_type, inputs, made, attributes))
        return made[0]

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def linear(self, x: str, name: str) -> str:
        """y = x W^T + b for an x of any rank."""
        weight = self("Transpose", f"{name}.weight", perm=[1, 0])
        return self("Add", self("MatMul", x, weight), f"{name}.bias")


@dataclass
class Workload:
    """A model with its loss, what it is fed, and its optimizer, for both sides."""

    module: nn.Module
    build: Callable[[Graph], str]  # makes the nodes, returns the loss; reads inputs "x" and "y"
    loss: Callable[[Any, Any, Any], Any]  # of (module, x, y) in PyTorch
    batch: tuple[Array, Array]
    optimizer: dict[str, Any]  # of StepRequest: {"adam": pb.Adam(...)}
    torch_optimizer: Callable[[Any], Any]
    flops: float  # multiply-adds of a step, times two: forward, and twice that backward
    states: int  # arrays that the optimizer keeps of each weight
    graph: Graph = field(init=False)
    output: str = field(init=False)

    def __post_init__(self) -> None:
        self.graph = Graph(self.module)
        self.output = self.build(self.graph)

    @property
    def floor(self) -> str:
        """Of a step: weights and the optimizer's states are read and written, the batch is read."""
        weights = sum(weight.nbytes for weight in self.graph.weights.values())
        return floor_of(self.flops, 2 * (1 + self.states) * weights + sum(array.nbytes for array in self.batch))


def cross_entropy(module: Any, x: Any, y: Any) -> Any:
    return nn.functional.cross_entropy(module(x), y)


def mlp() -> Workload:
    sizes = [784, 512, 512, 10]
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    module = nn.Sequential(*layers[:-1])

    def build(g: Graph) -> str:
        x = "x"
        for i in (0, 2, 4):
            x = g("Gemm", x, f"{i}.weight", f"{i}.bias", transB=1)
            x = g("Relu", x) if i < 4 else x
        return g("SoftmaxCrossEntropyLoss", x, "y")

    random = np.random.default_rng(0)
    batch = (random.standard_normal((64, 784), np.float32), random.integers(0, 10, 64))
    weights = sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
    return Workload(
        module, build, cross_entropy, batch, {"adam": pb.Adam(lr=1e-3)},
        lambda p: torch.optim.Adam(p, lr=1e-3), 6.0 * 64 * weights, 2,
    )  # fmt: skip


class Residual(nn.Module):
    """Convolutions of so many channels in and out, extent and stride, each normalised, and a way around them."""

    def __init__(self, *layers: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convolution(*layer) for layer in layers)
        self.norms = nn.ModuleList(nn.BatchNorm2d(layer[1]) for layer in layers)
        first, last, stride = layers[0][0], layers[-1][1], max(layer[3] for layer in layers)
        same = first == last and stride == 1
        self.around = None if same else nn.Sequential(convolution(first, last, 1, stride), nn.BatchNorm2d(last))

    def forward(self, x: Any) -> Any:
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(nn.functional.relu(y) if i else y))
        return nn.functional.relu(y + (x if self.around is None else self.around(x)))


def convolution(channels_in: int, channels: int, extent: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, extent, stride, extent // 2, bias=False)


class ResNet(nn.Module):
    """A stem, blocks, and a classifier (He et al., 2015)."""

    def __init__(self, stem: nn.Conv2d, pools: bool, blocks: list[Residual], classes: int) -> None:
        super().__init__()
        self.stem = stem
        self.norm = nn.BatchNorm2d(stem.out_channels)
        self.pools = pools
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(blocks[-1].convs[-1].out_channels, classes)

    def forward(self, x: Any) -> Any:
        x = nn.functional.relu(self.norm(self.stem(x)))
        x = self.blocks(nn.functional.max_pool2d(x, 3, 2, 1) if self.pools else x)
        return self.head(x.mean((2, 3)))


def normalised(g: Graph, x: str, conv: nn.Conv2d, name: str, norm: str) -> str:
    """What a convolution gives, normalised over the batch."""
    pads = [extent for extent in conv.padding for _ in range(2)]
    x = g("Conv", x, f"{name}.weight", pads=pads, strides=list(conv.stride))
    mean, variance = (g.constant(np.full(conv.out_channels, value), np.float32) for value in (0, 1))
    return g("BatchNormalization", x, f"{norm}.weight", f"{norm}.bias", mean, variance, outputs=3, training_mode=1)


def residual(g: Graph, x: str, block: Residual, name: str) -> str:
    y = x
    for i, conv in enumerate(block.convs):
        y = normalised(g, g("Relu", y) if i else y, conv, f"{name}.convs.{i}", f"{name}.norms.{i}")
    if block.around is not None:
        x = normalised(g, x, block.around[0], f"{name}.around.0", f"{name}.around.1")
    return g("Relu", g("Add", y, x))


def image_classifier(module: ResNet, size: int, extent: int) -> Workload:
    """Trained by SGD with momentum on so many random pictures."""

    def build(g: Graph) -> str:
        x = g("Relu", normalised(g, "x", module.stem, "stem", "norm"))
        if module.pools:
            x = g("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        for i, block in enumerate(module.blocks):
            x = residual(g, x, block, f"blocks.{i}")
        pooled = g("ReduceMean", x, g.constant([2, 3]), keepdims=0)
        return g("SoftmaxCrossEntropyLoss", g.linear(pooled, "head"), "y")

    random = np.random.default_rng(0)
    x = random.standard_normal((size, 3, extent, extent), np.float32)
    return Workload(
        module, build, cross_entropy, (x, random.integers(0, module.head.out_features, size)),
        {"momentum": pb.Momentum(lr=0.01, momentum=0.9)}, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        6.0 * size * macs(module, x[:1]), 1,
    )  # fmt: skip


def macs(module: nn.Module, x: Array) -> int:
    """Multiply-adds of a module's convolutions and products on x."""
    total = 0

    def count(layer: Any, _: Any, out: Any) -> None:
        nonlocal total
        total += out.numel() * layer.weight[0].numel()

    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        module.eval()(torch.from_numpy(x))
    module.train()
    for hook in hooks:
        hook.remove()
    return total


def resnet(size: int = 32) -> Workload:
    """Three stages of two blocks for pictures of 32x32."""
    stages = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    blocks = [Residual((before, after, 3, stride), (after, after, 3, 1)) for before, after, stride in stages]
    return image_classifier(ResNet(convolution(3, 16, 3, 1), False, blocks, 10), size, 32)


def resnet50(size: int = 32) -> Workload:
    """ResNet-50, its stride in the 3x3 convolutions, for pictures of 224x224."""
    blocks, before = [], 64
    for narrow, count, first_stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for stride in (first_stride, *[1] * (count - 1)):
            blocks.append(Residual((before, narrow, 1, 1), (narrow, narrow, 3, stride), (narrow, 4 * narrow, 1, 1)))
            before = 4 * narrow
    return image_classifier(ResNet(convolution(3, 64, 7, 2), True, blocks, 1000), size, 224)


def transformer() -> Workload:
    d, heads, ff, length, size = 256, 4, 1024, 128, 8
    module = nn.TransformerEncoderLayer(d, heads, ff, dropout=0.0, activation="gelu", batch_first=True)

    def split(g: Graph, x: str, part: int) -> str:
        """[size, length, d] of q, k or v as [size, heads, length, d / heads]."""
        starts, ends = g.constant([part * d]), g.constant([(part + 1) * d])
        piece = g("Slice", x, starts, ends, g.constant([2]))
        return g("Transpose", g("Reshape", piece, g.constant([size, length, heads, d // heads])), perm=[0, 2, 1, 3])

    def build(g: Graph) -> str:
        weight = g("Transpose", "self_attn.in_proj_weight", perm=[1, 0])
        qkv = g("Add", g("MatMul", "x", weight), "self_attn.in_proj_bias")
        attended = g("Attention", *(split(g, qkv, part) for part in range(3)))
        merged = g("Reshape", g("Transpose", attended, perm=[0, 2, 1, 3]), g.constant([size, length, d]))
        x = g("Add", "x", g.linear(merged, "self_attn.out_proj"))
        x = g("LayerNormalization", x, "norm1.weight", "norm1.bias")
        y = g.linear(g("Gelu", g.linear(x, "linear1")), "linear2")
        x = g("LayerNormalization", g("Add", x, y), "norm2.weight", "norm2.bias")
        error = g("Sub", x, "y")
        return g("ReduceMean", g("Mul", error, error), keepdims=0)

    random = np.random.default_rng(0)
    batch = (random.standard_normal((size, length, d), np.float32), random.standard_normal((size, length, d), np.float32))
    macs = size * length * (4 * d * d + 2 * d * ff + 2 * length * d)
    return Workload(
        module, build, lambda m, x, y: nn.functional.mse_loss(m(x), y), batch, {"adamw": pb.AdamW(lr=1e-3)},
        lambda p: torch.optim.AdamW(p, lr=1e-3), 6.0 * macs, 2,
    )  # fmt: skip


def lstm() -> Workload:
    features, hidden, length, size = 64, 128, 64, 32
    module = nn.LSTM(features, hidden)

    def reordered(g: Graph, name: str) -> str:
        """PyTorch's gates i, f, c, o in ONNX's order i, o, f, c."""
        parts = g("Reshape", name, g.constant([4, hidden, -1] if "weight" in name else [4, hidden]))
        gates = g("Gather", parts, g.constant([0, 3, 1, 2]), axis=0)
        return g("Reshape", gates, g.constant([1, 4 * hidden, -1] if "weight" in name else [1, 4 * hidden]))

    def build(g: Graph) -> str:
        bias = g("Concat", reordered(g, "bias_ih_l0"), reordered(g, "bias_hh_l0"), axis=1)
        y = g("LSTM", "x", reordered(g, "weight_ih_l0"), reordered(g, "weight_hh_l0"), bias, hidden_size=hidden)
        error = g("Sub", g("Squeeze", y, g.constant([1])), "y")
        return g("ReduceMean", g("Mul", error, error), keepdims=0)

    random = np.random.default_rng(0)
    shapes = ((length, size, features), (length, size, hidden))
    batch = (random.standard_normal(shapes[0], np.float32), random.standard_normal(shapes[1], np.float32))
    return Workload(
        module, build, lambda m, x, y: nn.functional.mse_loss(m(x)[0], y), batch, {"adam": pb.Adam(lr=1e-3)},
        lambda p: torch.optim.Adam(p, lr=1e-3), 6.0 * length * size * 4 * hidden * (features + hidden), 2,
    )  # fmt: skip


def logistic() -> Workload:
    module = nn.Linear(16, 1)

    def build(g: Graph) -> str:
        logit = g("Gemm", "x", "weight", "bias", transB=1)
        return g("ReduceMean", g("Sub", g("Softplus", logit), g("Mul", logit, "y")), keepdims=0)

    def loss(model: Any, x: Any, y: Any) -> Any:
        return nn.functional.binary_cross_entropy_with_logits(model(x), y)

    random = np.random.default_rng(0)
    batch = (random.standard_normal((1, 16), np.float32), np.ones((1, 1), np.float32))
    return Workload(
        module, build, loss, batch, {"sgd": pb.Sgd(lr=0.01)}, lambda p: torch.optim.SGD(p, lr=0.01), 6.0 * 16, 0,
    )  # fmt: skip


TRAINED: dict[str, Callable[[], Workload]] = {
    "mlp": mlp, "resnet": resnet, "transformer": transformer, "lstm": lstm, "logistic": logistic,
}  # fmt: skip
