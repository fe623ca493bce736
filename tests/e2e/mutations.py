"""Broken requests: valid ones, made from the ONNX suite's node tests, with a few things changed at random."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
# Models larger than this, or with larger inputs, only cost time.
MAX_BYTES = 20_000

EXTENTS = (0, 1, 2, 3, 5, 7, 16, 100, 4097, 1 << 20, 1 << 31, 1 << 40, 1 << 59, 1 << 62, (1 << 63) - 1, -1, -2, -(1 << 63))
NUMBERS = (*EXTENTS, -3, -4, -100, 4, 6, 8, 10, 11, 13, 1 << 32, (1 << 32) + 1, -(1 << 31), (1 << 24) + 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, 3e38, math.inf, -math.inf, math.nan)
ATTRIBUTES = (
    "axis", "axes", "pads", "strides", "dilations", "group", "kernel_shape", "to", "keepdims", "perm", "shape", "k", "dtype",
    "mode", "auto_pad", "output_shape", "output_padding", "ceil_mode", "num_groups", "epsilon", "alpha", "value", "blocksize",
    "batch_dims", "num_outputs", "stash_type", "starts", "ends", "steps", "repeats", "storage_order", "largest", "count",
)  # fmt: skip
Attribute = onnx_pb2.AttributeProto
BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}


class Case:
    """A node test: its nodes, its opsets and its inputs."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.model = onnx_pb2.ModelProto.FromString((folder / "model.onnx").read_bytes())
        self.feeds: list[Any] = []
        for i, value in enumerate(self.model.graph.input):
            if not value.type.HasField("tensor_type"):
                continue
            path = folder / "test_data_set_0" / f"input_{i}.pb"
            if not path.exists():
                break
            tensor = onnx_pb2.TensorProto.FromString(path.read_bytes())
            tensor.name = value.name
            self.feeds.append(tensor)


def cases(names: Sequence[str]) -> list[Case]:
    """The cases of these names that are small."""
    found = []
    for name in names:
        folder = DATA / name
        files = [folder / "model.onnx", *folder.glob("test_data_set_0/input_*.pb")]
        if all(file.exists() and file.stat().st_size < MAX_BYTES for file in files):
            found.append(Case(folder))
    return found


def all_nodes(graph: Any) -> list[Any]:
    """The nodes of a graph, and of graphs among their attributes."""
    found = list(graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += all_nodes(attribute.g)
    return found


class Mutator:
    """Draws broken requests. The same seed gives the same ones."""

    def __init__(self, seed: int, corpus: Sequence[Case], operators: Sequence[tuple[str, str]]) -> None:
        self.random = random.Random(seed)
        self.corpus = corpus
        self.operators = operators

    def requests(self, session_id: str) -> Iterator[tuple[str, pb.RunRequest]]:
        """Requests without end, each with the name of the test behind it."""
        while True:
            case = self.random.choice(self.corpus)
            yield case.name, self._request(case, session_id)

    def _request(self, case: Case, session_id: str) -> pb.RunRequest:
        graph = onnx_pb2.GraphProto()
        graph.CopyFrom(case.model.graph)
        feeds = [onnx_pb2.TensorProto.FromString(feed.SerializeToString()) for feed in case.feeds]
        opsets = [pb_opset(opset) for opset in case.model.opset_import]
        for _ in range(self.random.choice((1, 1, 1, 2, 2, 4))):
            self._mutate(graph, feeds, opsets)
        request = pb.RunRequest(session_id=session_id)
        trained = self.random.random() < 0.5
        for feed in feeds:
            leaf = trained and feed.data_type in (1, 11)
            request.commands.add(put=pb.PutRequest(tensors=[feed], requires_grad=leaf))
        outputs = [output.name for output in graph.output]
        nodes = list(graph.node)
        if trained and outputs:
            nodes.append(onnx_pb2.NodeProto(op_type="Mul", input=[outputs[0]] * 2, output=["~square"]))
            attributes = [Attribute(name="keepdims", type=Attribute.INT, i=0)]
            nodes.append(onnx_pb2.NodeProto(op_type="ReduceSum", input=["~square"], output=["~loss"], attribute=attributes))
            outputs.append("~loss")
        request.commands.add(forward=pb.ForwardRequest(nodes=nodes, outputs=outputs, opset_import=opsets))
        if trained:
            second = self.random.random() < 0.3
            request.commands.add(backward=pb.BackwardRequest(roots=["~loss"], create_graph=second))
        request.commands.add(fetch=pb.FetchRequest(names=outputs[:1]))
        return request

    def _mutate(self, graph: Any, feeds: list[Any], opsets: list[Any]) -> None:
        changes: list[Callable[[], None]] = [lambda: self._attribute(self.random.choice(all_nodes(graph)))] * 4
        changes += [lambda: self._wiring(graph)]
        if feeds:
            changes += [lambda: self._dims(self.random.choice(feeds))] * 3
            changes += [lambda: self._dtype(self.random.choice(feeds))]
            changes += [lambda: self._payload(self.random.choice(feeds))] * 4
        if opsets:
            changes += [lambda: self._opset(self.random.choice(opsets))]
        if graph.node:
            self.random.choice(changes)()

    def _dims(self, tensor: Any) -> None:
        dims = list(tensor.dims)
        for _ in range(self.random.choice((1, 1, 2))):
            action = self.random.randrange(4)
            if action == 0:
                dims.insert(self.random.randint(0, len(dims)), self.random.choice(EXTENTS[:8]))
            elif dims and action == 1:
                dims.pop(self.random.randrange(len(dims)))
            elif dims:
                pool = EXTENTS if action == 2 else EXTENTS[:8]
                dims[self.random.randrange(len(dims))] = self.random.choice(pool)
        del tensor.dims[:]
        tensor.dims.extend(dims)
        self._fit(tensor)

    def _dtype(self, tensor: Any) -> None:
        tensor.data_type = self.random.choice(tuple(range(27)))
        self._fit(tensor)

    def _fit(self, tensor: Any) -> None:
        """Mostly makes the payload as long as it should be."""
        count = math.prod(tensor.dims)
        width = BYTES.get(tensor.data_type, 0)
        if not 0 <= count * width <= 1 << 18 or width == 0 or self.random.random() < 0.1:
            return
        raw = tensor.raw_data or bytes(8)
        tensor.raw_data = (raw * (count * width // len(raw) + 1))[: count * width]

    def _payload(self, tensor: Any) -> None:
        raw = bytearray(tensor.raw_data)
        width = BYTES.get(tensor.data_type, 1)
        if len(raw) < width:
            return
        for _ in range(self.random.choice((1, 1, 2, 8))):
            at = self.random.randrange(len(raw) // width) * width
            if tensor.data_type in (6, 7, 12, 13):
                number = self.random.choice(NUMBERS) & ((1 << 8 * width) - 1)
                raw[at : at + width] = number.to_bytes(width, "little")
            else:
                raw[at : at + width] = self.random.choice((b"\x00" * width, b"\xff" * width, self.random.randbytes(width)))
        tensor.raw_data = bytes(raw)

    def _attribute(self, node: Any) -> None:
        action = self.random.randrange(6)
        if action == 0 or not node.attribute:
            attribute = node.attribute.add(name=self.random.choice(ATTRIBUTES))
            self._retype(attribute)
        elif action == 1:
            del node.attribute[self.random.randrange(len(node.attribute))]
        elif action == 2:
            self._retype(self.random.choice(node.attribute))
        else:
            self._revalue(self.random.choice(node.attribute))

    def _revalue(self, attribute: Any) -> None:
        if attribute.type == Attribute.INTS:
            ints = list(attribute.ints)
            for _ in range(self.random.choice((1, 1, 2))):
                action = self.random.randrange(5)
                if action == 0 or not ints:
                    ints.append(self.random.choice(NUMBERS))
                elif action == 1:
                    ints.pop()
                else:
                    ints[self.random.randrange(len(ints))] = self.random.choice(NUMBERS)
            attribute.ClearField("ints")
            attribute.ints.extend(ints)
        elif attribute.type == Attribute.INT:
            attribute.i = self.random.choice(NUMBERS)
        elif attribute.type == Attribute.FLOAT:
            attribute.f = self.random.choice(FLOATS)
        elif attribute.type == Attribute.STRING:
            attribute.s = self.random.choice((b"", b"\xff\x00", b"SAME_UPPER", b"VALID", b"reflect", b"max", b"x" * 1000))
        elif attribute.type == Attribute.TENSOR:
            self.random.choice((self._dims, self._dtype, self._payload))(attribute.t)

    def _retype(self, attribute: Any) -> None:
        name = attribute.name
        attribute.Clear()
        attribute.name = name
        attribute.type = self.random.choice((1, 1, 2, 2, 2, 3, 4, 5, 6, 7, 7, 7, 8, 9))
        attribute.ints.extend(self.random.choices(NUMBERS, k=self.random.randrange(5)))
        attribute.floats.extend(self.random.choices(FLOATS, k=self.random.randrange(3)))
        attribute.i = self.random.choice(NUMBERS)
        attribute.t.data_type = self.random.choice((1, 7, 9))
        self._revalue(attribute)

    def _wiring(self, graph: Any) -> None:
        node = self.random.choice(all_nodes(graph))
        action = self.random.randrange(8)
        names = [*node.input, *node.output, "", "nothing", "\udcff".encode("utf-8", "replace").decode()]
        if action == 0 and node.input:
            del node.input[-1]
        elif action == 1:
            node.input.append(self.random.choice(names))
        elif action == 2 and node.input:
            node.input[self.random.randrange(len(node.input))] = self.random.choice(names)
        elif action == 3:
            node.output.append(self.random.choice([*names, "extra"]))
        elif action == 4 and node.output:
            node.output[0] = self.random.choice(names)
        elif action == 5:
            graph.node.append(node)
        elif action == 6:
            node.domain, node.op_type = self.random.choice(self.operators)
        else:
            node.op_type = self.random.choice(self.operators)[1]

    def _opset(self, opset: Any) -> None:
        opset.version = self.random.choice((*range(28), -1, 1 << 40))


def pb_opset(opset: Any) -> Any:
    """A copy."""
    return onnx_pb2.OperatorSetIdProto(domain=opset.domain, version=opset.version)
