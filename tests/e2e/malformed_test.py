"""Malformed models get an error that names what is wrong; nothing is left behind."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import gradwire
from gradwire import Session, errors

X = np.array([[1, 2, 3], [0, 1, 0]], np.float32)


def net() -> onnx.ModelProto:
    """y = relu(x @ w + b), with a name for each node."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["p"], "mm"),
            helper.make_node("Add", ["p", "b"], ["q"], "add"),
            helper.make_node("Relu", ["q"], ["y"], "act"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [
            numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2) - 2, "w"),
            numpy_helper.from_array(np.array([0.5, -0.5], np.float32), "b"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


Change = Callable[[onnx.ModelProto], None]
BREAKS: list[tuple[str, Change, str]] = []


def breaks(name: str, message: str) -> Callable[[Change], Change]:
    """Notes down a change to `net()` and the error that it must get."""

    def note(change: Change) -> Change:
        BREAKS.append((name, change, message))
        return change

    return note


def renamed(name: str, message: str, node: int, field: str, value: str) -> None:
    """A break that renames the first input or output of a node."""

    def change(m: onnx.ModelProto) -> None:
        getattr(m.graph.node[node], field)[0] = value

    breaks(name, message)(change)


renamed("undefined", r"node 1 'add' \(Add\) reads 'nowhere', which nothing makes", 1, "input", "nowhere")
renamed("cycle of one", r"node 1 'add' \(Add\) reads 'q', which it makes itself", 1, "input", "q")
renamed("cycle", r"node 0 'mm' \(MatMul\) reads 'y' before node 2 'act' \(Relu\) makes it", 0, "input", "y")
renamed("two makers", r"node 1 'add' \(Add\) makes 'p', which is made by node 0", 1, "output", "p")
renamed("makes an input", r"node 1 'add' \(Add\) makes 'x', which is an input", 1, "output", "x")
renamed("makes an initializer", r"node 1 'add' \(Add\) makes 'w', which is an initializer", 1, "output", "w")


@breaks("not sorted", r"node 0 'act' \(Relu\) reads 'q' before node 1 'add' \(Add\) makes it: nodes come after")
def _(m: onnx.ModelProto) -> None:
    nodes = list(m.graph.node)
    del m.graph.node[:]
    m.graph.node.extend([nodes[2], nodes[1], nodes[0]])


@breaks("output not made", "nothing makes the output 'z'")
def _(m: onnx.ModelProto) -> None:
    m.graph.output[0].name = "z"


@breaks("two inputs", "two inputs 'x'")
def _(m: onnx.ModelProto) -> None:
    m.graph.input.append(m.graph.input[0])


@breaks("two initializers", "two initializers 'w'")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer.append(m.graph.initializer[0])


@breaks("input without a name", "input 0 has no name")
def _(m: onnx.ModelProto) -> None:
    m.graph.input[0].name = ""


@breaks("initializer without a name", "an initializer has no name")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].name = ""


@breaks("no operator", r"node 1 'add' \(\) has no op_type")
def _(m: onnx.ModelProto) -> None:
    m.graph.node[1].op_type = ""


@breaks("unknown domain", r"node 1 'add' \(Add\) is of domain com.example, which is not imported")
def _(m: onnx.ModelProto) -> None:
    m.graph.node[1].domain = "com.example"


@breaks("nothing imported", r"node 0 'mm' \(MatMul\) is of domain ai.onnx, which is not imported")
def _(m: onnx.ModelProto) -> None:
    del m.opset_import[:]


@breaks("two opsets of a domain", "opsets 21 and 20 of domain ai.onnx are imported")
def _(m: onnx.ModelProto) -> None:
    m.opset_import.append(helper.make_opsetid("ai.onnx", 20))


@breaks("IR version too new", "IR version 14 is not one that this server knows: 1 to 13")
def _(m: onnx.ModelProto) -> None:
    m.ir_version = 14


@breaks("no IR version", "IR version 0 is not one that this server knows")
def _(m: onnx.ModelProto) -> None:
    m.ClearField("ir_version")


@breaks("opset too new", "opset 28 of domain ai.onnx is newer than 27")
def _(m: onnx.ModelProto) -> None:
    m.opset_import[0].version = 28


@breaks("training opset too new", "opset 2 of domain ai.onnx.preview.training is newer than 1")
def _(m: onnx.ModelProto) -> None:
    m.opset_import.append(helper.make_opsetid("ai.onnx.preview.training", 2))


@breaks("negative opset", "opset -1 of domain ai.onnx does not exist")
def _(m: onnx.ModelProto) -> None:
    m.opset_import[0].version = -1


@breaks("too few bytes", "tensor 'w': .*float32.3,2. takes 24 bytes, raw_data holds 23")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].raw_data = m.graph.initializer[0].raw_data[:-1]


@breaks("too many bytes", "tensor 'w': .*takes 24 bytes, raw_data holds 28")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].raw_data += bytes(4)


@breaks("too few entries", "tensor 'w': .*takes 24 bytes, float_data holds 20")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].ClearField("raw_data")
    m.graph.initializer[0].float_data.extend([1.0] * 5)


@breaks("no bytes for much", "tensor 'w': .*takes 4294967296 bytes")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].ClearField("raw_data")
    m.graph.initializer[0].dims[:] = [1 << 30]


@breaks("absurd extent", "tensor 'w': shape .* is larger than 2.48 bytes")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].dims[:] = [1 << 62]


@breaks("absurd product", "tensor 'w': shape .* is larger than 2.48 bytes")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].dims[:] = [1 << 31, 1 << 31, 0]


@breaks("negative extent", "tensor 'w': shape .* has a negative extent")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].dims[:] = [-3, -2]


@breaks("rank of a hundred", "tensor 'w': a shape has at most 64 dimensions, got 100")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].dims[:] = [1] * 100


@breaks("unknown element type", "tensor 'w': data_type 77 is not an ONNX element type")
def _(m: onnx.ModelProto) -> None:
    m.graph.initializer[0].data_type = 77


@breaks("input of an unknown type", "input 'x': data_type 99 is not an ONNX element type")
def _(m: onnx.ModelProto) -> None:
    m.graph.input[0].type.tensor_type.elem_type = 99


@breaks("input of a negative extent", "input 'x': shape .* has a negative extent")
def _(m: onnx.ModelProto) -> None:
    m.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -2


@breaks("output of an absurd extent", "output 'y': shape .* is larger than 2.48 bytes")
def _(m: onnx.ModelProto) -> None:
    m.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1 << 60


@breaks("two attributes of a name", r"node 2 'act' \(Relu\) has two attributes 'alpha'")
def _(m: onnx.ModelProto) -> None:
    m.graph.node[2].attribute.extend([helper.make_attribute("alpha", 1.0)] * 2)


@breaks("attribute without a name", r"node 2 'act' \(Relu\) has an attribute without a name")
def _(m: onnx.ModelProto) -> None:
    m.graph.node[2].attribute.append(helper.make_attribute("", 1.0))


@breaks("attribute with a broken array", r"node 2 'act' \(Relu\): attribute 'value': .*takes 8 bytes, raw_data holds 3")
def _(m: onnx.ModelProto) -> None:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[2], raw_data=b"abc")
    m.graph.node[2].attribute.append(helper.make_attribute("value", tensor))


@breaks("no graph", "the model has no graph")
def _(m: onnx.ModelProto) -> None:
    m.ClearField("graph")


def untouched(session: Session) -> bool:
    """Whether the session is as the tests below leave it before they load."""
    names = [info.name for info in session.list_tensors()]
    return names == ["kept"] and session.list_programs() == [] and session.fetch(["kept"])[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("change, message", [row[1:] for row in BREAKS], ids=[row[0] for row in BREAKS])
def test_what_is_wrong_is_named(session: Session, change: Change, message: str) -> None:
    session.put({"kept": np.arange(3)})
    used = session.describe().used_bytes
    broken = net()
    change(broken)
    with pytest.raises(errors.InvalidModel, match=message):
        session.load_program("m", broken.SerializeToString())
    assert untouched(session)
    assert session.describe().used_bytes == used


def test_wrong_types_are_named_when_the_program_runs(session: Session) -> None:
    broken = net()
    broken.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.array([1, 2]), "b"))
    session.load_program("m", broken.SerializeToString())
    with pytest.raises(errors.DtypeMismatch, match=r"program 'm': node 1 'add' \(Add\): .*float32.*int64"):
        session.forward(program="m", feeds={"x": X}, fetch=["y"])


def sparse_model(values: object, indices: object, dims: list[int]) -> bytes:
    """y = Identity(s) of a sparse initializer."""
    model = net()
    model.graph.node.append(helper.make_node("Identity", ["s"], ["z"]))
    stored = numpy_helper.from_array(np.asarray(values), "s")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(stored, numpy_helper.from_array(np.asarray(indices, np.int64)), dims)
    )
    model.graph.output.append(helper.make_empty_tensor_value_info("z"))
    return model.SerializeToString()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.bool_, np.complex64])
def test_sparse_initializers_become_dense_parameters(session: Session, dtype: type) -> None:
    values = np.array([1, 1, 0]).astype(dtype)
    dense = np.zeros((2, 3), dtype)
    dense[0, 1], dense[1, 0], dense[1, 2] = values
    for indices in ([1, 3, 5], [[0, 1], [1, 0], [1, 2]]):
        info = session.load_program("sparse", sparse_model(values, indices, [2, 3]))
        assert "sparse/s" in info.parameters
        np.testing.assert_array_equal(session.fetch(["sparse/s"])[0], dense)
        _, (z,) = session.forward(program="sparse", feeds={"x": X}, fetch=["z"])
        np.testing.assert_array_equal(z, dense)


def test_an_empty_sparse_initializer(session: Session) -> None:
    session.load_program("sparse", sparse_model(np.empty(0, np.float32), [], [2, 0]))
    assert session.fetch(["sparse/s"])[0].shape == (2, 0)


@pytest.mark.parametrize(
    ("values", "indices", "dims", "message"),
    [
        ([1.0], [4], [4], r"index 4 is outside \[0, 4\)"),
        ([1.0], [-1], [4], r"index -1 is outside"),
        ([1.0, 2.0], [2, 1], [4], "indices must ascend"),
        ([1.0, 2.0], [1, 1], [4], "indices must ascend"),
        ([1.0], [[0, 0, 0]], [2, 2], r"indices are int64\[1,3\]"),
        ([[1.0]], [0], [4], "values are float64\\[1,1\\], one dimension"),
        ([1.0], [0], [1 << 60], "bytes|2\\^48|elements"),
        ([1.0], [0], [-4], "-4"),
        (np.array(["a"], object), [0], [4], "a sparse array of string is not supported"),
    ],
)
def test_malformed_sparse_initializers(
    session: Session, values: object, indices: object, dims: list[int], message: str
) -> None:
    with pytest.raises(errors.GradwireError, match=f"'s'.*({message})"):
        session.load_program("broken", sparse_model(values, indices, dims))
    assert session.list_tensors() == [] and session.list_programs() == []


def test_a_sparse_initializer_is_booked(client: gradwire.Client) -> None:
    with client.session(max_bytes=1 << 20) as session:
        with pytest.raises(errors.QuotaExceeded):
            session.load_program("large", sparse_model(np.ones(1, np.float32), [0], [1 << 30]))
        assert session.describe().used_bytes == 0


def test_a_program_is_booked(client: gradwire.Client) -> None:
    with client.session(max_bytes=1 << 20) as session:
        model = net()
        value = numpy_helper.from_array(np.zeros(1 << 16, np.float32))
        model.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))
        session.load_program("p", model.SerializeToString())
        assert session.describe().used_bytes >= 2 * (4 << 16)  # the text, and what was made of it
        session.unload_program("p")
        session.delete(["p/w", "p/b"])
        assert session.describe().used_bytes == 0
        model.doc_string = "x" * (2 << 20)
        with pytest.raises(errors.QuotaExceeded):
            session.load_program("p", model.SerializeToString())
        assert session.describe().used_bytes == 0 and session.list_programs() == []

def test_an_operator_that_is_not_there_is_listed_and_refused_by_name(session: Session) -> None:
    model = net()
    model.graph.node[2].op_type, model.graph.node[2].domain = "Sparkle", "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 7))
    info = session.load_program("m", model.SerializeToString())
    assert list(info.unsupported) == ["com.example::Sparkle"]
    assert "com.example::Sparkle" in info.operators
    with pytest.raises(errors.OpUnsupported, match=r"node 2 'act' \(Sparkle\): operator com.example::Sparkle is not supported"):
        session.forward(program="m", feeds={"x": X}, fetch=["y"])


def test_a_failed_load_keeps_the_program_of_that_name(session: Session) -> None:
    gradwire.load_model(session, net(), name="m")
    broken = net()
    broken.graph.initializer[0].raw_data = bytes(24)
    broken.graph.output[0].name = "z"
    with pytest.raises(errors.InvalidModel):
        session.load_program("m", broken.SerializeToString())
    w = numpy_helper.to_array(net().graph.initializer[0])
    np.testing.assert_array_equal(session.fetch(["m/w"])[0], w)
    assert session.forward(program="m", feeds={"x": X}, fetch=["y"])[1][0].shape == (2, 2)


@pytest.mark.parametrize("keep", [0, 1, 7, 0.5, 0.9, -1])
def test_truncated_files(session: Session, keep: float) -> None:
    session.put({"kept": np.arange(3)})
    data = net().SerializeToString()
    cut = data[: int(len(data) * keep)] if isinstance(keep, float) else data[:keep]
    with pytest.raises(errors.InvalidModel):
        session.load_program("m", cut)
    assert untouched(session)


@pytest.mark.parametrize("part", ["operator", "domain", "node", "value", "input", "weight", "dim"])
def test_names_are_utf_8(session: Session, part: str) -> None:
    """Whatever comes back in an answer: a client could not read it."""
    model = net()
    model.opset_import.append(helper.make_opsetid("domain", 1))
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "value"
    model.graph.input[0].name = model.graph.node[0].input[0] = "input"
    model.graph.initializer[0].name = model.graph.node[0].input[1] = "weight"
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "dim"
    model.graph.node.append(helper.make_node("operator", ["value"], ["z"], "node", domain="domain"))
    good = model.SerializeToString()
    session.load_program("good", good)
    with pytest.raises(errors.InvalidModel, match="is not UTF-8"):
        session.load_program("m", good.replace(part.encode(), b"\xff" * len(part)))
    assert [program.program for program in session.list_programs()] == ["good"]


def test_garbage_is_no_model(session: Session) -> None:
    session.put({"kept": np.arange(3)})
    for data in (b"\xff\xffnot a model", b"\x00" * 100, b"PK\x03\x04", random.Random(0).randbytes(4096)):
        with pytest.raises(errors.InvalidModel):
            session.load_program("m", data)
    assert untouched(session)
