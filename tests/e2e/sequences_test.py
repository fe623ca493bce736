"""Sequences and optionals: operators, the wire, session names, and gradients through them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
import pytest

from gradwire import Session, commands, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2

X = np.arange(6, dtype=np.float64).reshape(2, 3)
HEAD = '<ir_version: 10, opset_import: ["": 21]>'


def node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return commands.node(op, inputs, outputs, attributes)


def feed(session: Session, *nodes: Any, fetch: list[str], **feeds: Any) -> list[Any]:
    return session.forward(nodes, feeds=feeds, fetch=fetch)[1]


def bind(session: Session) -> None:
    """Binds the sequence `s` of the leaf `x` and its double."""
    session.put({"x": X}, requires_grad=True)
    session.forward(
        [node("Add", ["x", "x"], ["double"]), node("SequenceConstruct", ["x", "double"], ["s"])], outputs=["s"]
    )


# ---------------------------------------------------------------- operators


def test_operators_on_sequences(session: Session) -> None:
    a, b, c = (np.full(2, k, np.float32) for k in range(3))
    at = {name: np.array(k) for name, k in (("zero", 0), ("last", -1), ("first", -3), ("end", 2))}
    got = feed(
        session,
        node("SequenceConstruct", ["a", "b"], ["ab"]),
        node("SequenceInsert", ["ab", "c"], ["abc"]),
        node("SequenceInsert", ["ab", "c", "zero"], ["cab"]),
        node("SequenceInsert", ["ab", "c", "last"], ["acb"]),
        node("SequenceInsert", ["ab", "c", "end"], ["abc2"]),
        node("SequenceErase", ["abc"], ["erased"]),
        node("SequenceErase", ["abc", "zero"], ["bc"]),
        node("SequenceAt", ["abc", "last"], ["c2"]),
        node("SequenceAt", ["abc", "first"], ["a2"]),
        node("SequenceLength", ["abc"], ["length"]),
        node("ConcatFromSequence", ["cab"], ["joined"], axis=0),
        node("ConcatFromSequence", ["cab"], ["stacked"], axis=1, new_axis=1),
        fetch=["abc", "cab", "acb", "abc2", "erased", "bc", "c2", "a2", "length", "joined", "stacked"],
        **{"a": a, "b": b, "c": c, **at},
    )
    for expected in ([a, b, c], [c, a, b], [a, c, b], [a, b, c], [a, b], [b, c]):
        np.testing.assert_array_equal(got.pop(0), expected)
    np.testing.assert_array_equal(got[0], c)
    np.testing.assert_array_equal(got[1], a)
    assert got[2] == 3 and got[2].dtype == np.int64
    np.testing.assert_array_equal(got[3], np.concatenate([c, a, b]))
    np.testing.assert_array_equal(got[4], np.stack([c, a, b], 1))


@pytest.mark.parametrize(
    ("split", "attributes", "shapes"),
    [
        (None, {}, [(1, 3), (1, 3)]),
        (None, {"axis": -1, "keepdims": 0}, [(2,), (2,), (2,)]),
        (np.array(2), {"axis": 1}, [(2, 2), (2, 1)]),
        (np.array([1, 0, 2]), {"axis": 1, "keepdims": 0}, [(2, 1), (2, 0), (2, 2)]),
    ],
)
def test_split_to_sequence(session: Session, split: Any, attributes: Any, shapes: Any) -> None:
    feeds = {"x": X} if split is None else {"x": X, "split": split}
    (parts,) = feed(session, node("SplitToSequence", list(feeds), ["s"], **attributes), fetch=["s"], **feeds)
    assert [part.shape for part in parts] == shapes
    axis = attributes.get("axis", 0)
    whole = [part if part.ndim == 2 else np.expand_dims(part, axis) for part in parts]
    np.testing.assert_array_equal(np.concatenate(whole, axis), X)


def test_sequences_of_strings(session: Session) -> None:
    words = np.array(["a b", "", "ö"], object)
    got = feed(
        session,
        node("SplitToSequence", ["words"], ["s"], keepdims=0),
        node("SequenceAt", ["s", "at"], ["e"]),
        node("SequenceInsert", ["s", "e"], ["t"]),
        node("ConcatFromSequence", ["t"], ["all"], axis=0, new_axis=1),
        node("StringSplit", ["all"], ["parts", "counts"]),
        node("SequenceEmpty", [], ["none"], dtype=8),
        node("SequenceInsert", ["none", "parts"], ["u"]),
        node("Optional", ["u"], ["o"]),
        node("OptionalGetElement", ["o"], ["v"]),
        fetch=["s", "all", "counts", "v", "fed"],
        words=words,
        at=np.array(0),
        fed=[words, words[:0]],
    )
    assert [element.item() for element in got[0]] == ["a b", "", "ö"]
    assert got[1].tolist() == ["a b", "", "ö", "a b"]
    assert got[2].tolist() == [2, 0, 1, 2]
    assert got[3][0].tolist() == [["a", "b"], ["", ""], ["ö", ""], ["a", "b"]]
    assert [element.tolist() for element in got[4]] == [words.tolist(), []]
    with pytest.raises(errors.DtypeMismatch, match="a sequence of string cannot hold float64"):
        feed(session, node("SequenceConstruct", ["words", "x"], ["s"]), fetch=["s"], words=words, x=X)


def test_a_bound_sequence_of_strings(session: Session) -> None:
    words = np.array(["a", "bb"], object)
    for k in range(3):
        session.forward([node("SequenceConstruct", ["words", "more"], ["s"])], outputs=["s"],
                        feeds={"words": words, "more": np.array([str(k)], object)})  # fmt: skip
    s = session.fetch(["s"])[0]
    assert [element.tolist() for element in s] == [["a", "bb"], ["2"]]
    session.forward([node("SequenceErase", ["s"], ["s"])], outputs=["s"])
    assert [element.tolist() for element in session.fetch(["s"])[0]] == [["a", "bb"]]


def test_optionals(session: Session) -> None:
    kind = onnx_pb2.AttributeProto(name="type", type=onnx_pb2.AttributeProto.TYPE_PROTO)
    kind.tp.sequence_type.elem_type.tensor_type.elem_type = 1
    empty = onnx_pb2.NodeProto(op_type="Optional", output=["none"], attribute=[kind])
    got = feed(
        session,
        empty,
        node("Optional", ["x"], ["some"]),
        node("OptionalHasElement", ["none"], ["no"]),
        node("OptionalHasElement", ["some"], ["yes"]),
        node("OptionalHasElement", ["given"], ["neither"]),
        node("OptionalGetElement", ["some"], ["back"]),
        node("Identity", ["none"], ["still none"]),
        fetch=["none", "no", "yes", "neither", "back", "still none"],
        x=X,
        given=None,
    )
    assert got[0] is None and got[5] is None
    assert [bool(value) for value in got[1:4]] == [False, True, False]
    np.testing.assert_array_equal(got[4], X)
    with pytest.raises(errors.InvalidArgument, match=r"OptionalGetElement\): input 0 is an empty optional\(seq\(float32\)\)"):
        feed(session, empty, node("OptionalGetElement", ["none"], ["y"]), fetch=["y"])


@pytest.mark.parametrize(
    ("nodes", "error", "message"),
    [
        ([node("SequenceAt", ["s", "two"], ["y"])], errors.InvalidArgument, "position 2 of a sequence of 2"),
        ([node("SequenceInsert", ["s", "i"], ["y"])], errors.DtypeMismatch, "a sequence of float64 cannot hold int64"),
        ([node("SequenceConstruct", ["x", "i"], ["y"])], errors.DtypeMismatch, "cannot hold int64"),
        ([node("SequenceLength", ["x"], ["y"])], errors.InvalidArgument, r"input 0: takes a sequence, got float64\[2,3\]"),
        ([node("Add", ["x", "s"], ["y"])], errors.InvalidArgument, r"input 1: takes a tensor, got seq\(float64\) of 2"),
        ([node("SequenceAt", ["s"], ["y"])], errors.InvalidArgument, "takes 2 exactly inputs, got 1"),
        ([node("SequenceAt", ["s", "two"], ["y"], axis=1)], errors.InvalidArgument, "has no attribute 'axis'"),
        ([node("SequenceAt", ["s", "x"], ["y"])], errors.DtypeMismatch, "input 1 must hold integers"),
        ([node("SequenceErase", ["none"], ["y"])], errors.InvalidArgument, "position -1 of a sequence of 0"),
        ([node("Optional", [], ["y"])], errors.InvalidArgument, "takes an input or the attribute 'type'"),
        (
            [node("SequenceEmpty", [], ["e"]), node("ConcatFromSequence", ["e"], ["y"], axis=0)],
            errors.InvalidArgument,
            "the sequence is empty",
        ),
        ([node("SplitToSequence", ["wide"], ["y"], axis=0)], errors.QuotaExceeded, "at most 65536 elements"),
        ([node("SplitToSequence", ["x", "zero"], ["y"])], errors.InvalidArgument, "parts have a length of 0"),
    ],
)
def test_refusals(session: Session, nodes: list[Any], error: type[Exception], message: str) -> None:
    bind(session)
    feeds = {
        "i": np.array([1]),
        "two": np.array(2),
        "zero": np.array(0),
        "none": [],
        "wide": np.zeros((1 << 40, 0), np.float32),
    }
    with pytest.raises(error, match=message):
        session.forward(nodes, feeds=feeds, fetch=["y"])
    assert {info.name for info in session.list_tensors()} == {"s", "x"}


# ---------------------------------------------------------------- gradients


def test_gradients_flow_through_sequences(session: Session) -> None:
    """y = sum over parts of (row k of x)^(k+2), made through every operator that moves tensors."""
    session.put({"x": X + 1, "one": np.array(1)}, requires_grad=False)
    session.put({"x": X + 1}, requires_grad=True)
    session.forward(
        [
            node("SplitToSequence", ["x"], ["rows"], axis=0, keepdims=0),
            node("SequenceAt", ["rows", "one"], ["row"]),
            node("Mul", ["row", "row"], ["square"]),
            node("SequenceErase", ["rows", "one"], ["rest"]),
            node("SequenceInsert", ["rest", "square"], ["both"]),
            node("Optional", ["both"], ["maybe"]),
            node("OptionalGetElement", ["maybe"], ["sure"]),
            node("ConcatFromSequence", ["sure"], ["joined"], axis=0, new_axis=1),
            node("Mul", ["joined", "joined"], ["z"]),
            node("ReduceSum", ["z"], ["y"], keepdims=0),
        ],
        outputs=["y"],
    )
    session.gradients(["y"], ["x"], names=["d"], create_graph=True)
    x = X + 1
    np.testing.assert_allclose(session.fetch(["d"])[0], [2 * x[0], 4 * x[1] ** 3])
    session.forward([node("ReduceSum", ["d"], ["total"], keepdims=0)])
    session.gradients(["total"], ["x"], names=["dd"])
    np.testing.assert_allclose(session.fetch(["dd"])[0], [[2, 2, 2], 12 * x[1] ** 2])


def test_gradients_flow_through_a_bound_sequence(session: Session) -> None:
    bind(session)
    session.forward([node("ConcatFromSequence", ["s"], ["c"], axis=0), node("ReduceSum", ["c"], ["y"], keepdims=0)])
    session.backward(["y"])
    np.testing.assert_array_equal(session.fetch(["grad/x"])[0], np.full((2, 3), 3.0))


def test_a_checkpointed_span_may_read_and_make_sequences(session: Session) -> None:
    nodes = [
        node("SplitToSequence", ["x"], ["rows"], axis=0),
        node("SequenceConstruct", ["x"], ["one"]),
        node("SequenceInsert", ["rows", "e"], ["more"]),
        node("ConcatFromSequence", ["more"], ["c"], axis=0),
        node("Mul", ["c", "c"], ["z"]),
        node("ReduceSum", ["z"], ["y"], keepdims=0),
    ]
    for spans in (0, 1, 2, 6):
        session.put({"x": X}, requires_grad=True)
        session.put({"e": np.ones((1, 3))})
        session.forward(nodes, outputs=["y", "one"], checkpoint=spans)
        session.gradients(["y"], ["x"], names=["d"])
        np.testing.assert_array_equal(session.fetch(["d"])[0], 2 * X)


# ---------------------------------------------------------------- names and the wire


def test_a_name_may_stand_for_a_sequence(session: Session) -> None:
    bind(session)
    info = session.describe_tensor("s")
    assert (info.kind, info.spec.data_type, list(info.spec.dims)) == (pb.SEQUENCE, 11, [])
    assert [list(spec.dims) for spec in info.elements] == [[2, 3], [2, 3]]
    assert info.requires_grad and not info.is_leaf
    assert {i.name: i.kind for i in session.list_tensors()} == {"s": pb.SEQUENCE, "x": pb.TENSOR}
    session.copy("s", "t")
    session.delete(["s"])
    got = session.fetch(["x", "t", "x"])
    np.testing.assert_array_equal(got[1], [X, X + X])
    np.testing.assert_array_equal(got[2], X)
    session.forward([node("Optional", ["t"], ["u"])], outputs=["u"])
    assert session.describe_tensor("u").kind == pb.SEQUENCE
    session.delete(["t", "u"])
    assert session.describe().tensor_count == 1


def test_a_command_that_fails_leaves_nothing_in_a_sequence(session: Session) -> None:
    bind(session)
    session.forward([node("SequenceInsert", ["s", "x"], ["s"])], outputs=["s"])
    before = session.describe().used_bytes
    longer = [node("SequenceInsert", ["s", "y"], ["t"]), node("SequenceInsert", ["t", "y"], ["t2"])]
    for fails in (node("MatMul", ["y", "nowhere"], ["z"]), node("Gather", ["y", "at"], ["z"])):
        with pytest.raises(errors.GradwireError):
            feed(session, *longer, fails, fetch=["t2", "z"], y=np.ones(1 << 10), at=np.array([1 << 20]))
        assert session.describe().used_bytes == before
    assert len(feed(session, *longer, fetch=["t2"], y=np.ones(1))[0]) == 5
    assert session.describe_tensor("s").elements[2:] == session.describe_tensor("s").elements[:1]


def test_what_takes_tensors_refuses_a_sequence(session: Session, tmp_path: Path) -> None:
    bind(session)
    message = r"'s' is seq\(float64\) of 2, not a tensor"
    calls = [
        lambda: session.backward(["s"]),
        lambda: session.gradients(["s"], ["x"]),
        lambda: session.detach("s", "t"),
        lambda: session.step(pb.Sgd(lr=1), ["s"]),
        lambda: session.fetch_stream(["s"]),
        lambda: session.get_graph("s"),
        lambda: session.save(tmp_path),
    ]
    for call in calls:
        with pytest.raises(errors.InvalidArgument, match=message):
            call()
    session.save(tmp_path, names=["x"])
    np.testing.assert_array_equal(session.fetch(["s"])[0][0], X)


def test_a_run_and_a_pipeline_pass_sequences_on(session: Session) -> None:
    made = commands.forward([node("SequenceConstruct", ["x", "x"], ["s"])], feeds={"x": X})
    read = commands.forward([node("SequenceLength", ["s"], ["n"])], fetch=["n"])
    assert int(commands.fetched(read, session.run([made, read])[1])[0]) == 2
    longer = commands.forward([node("SequenceInsert", ["s", "x"], ["s"])], feeds={"x": X})
    with session.pipeline() as pipeline:
        replies = [pipeline.send(request) for request in (longer, longer, read)]
        assert int(commands.fetched(read, replies[2].result())[0]) == 4


def test_feeds_are_held_to_what_a_program_declares(session: Session) -> None:
    text = """agraph (seq(float) s, optional(seq(float)) o, float[n] x) => (seq(float) y, bool has) {
      y = SequenceInsert(s, x)
      has = OptionalHasElement(o)
    }"""
    session.load_program("p", onnx.parser.parse_model(f"{HEAD} {text}").SerializeToString())
    one = np.ones(1, np.float32)

    def run(**changes: Any) -> list[Any]:
        return session.forward(program="p", feeds={"s": [one], "o": None, "x": one, **changes}, fetch=["y", "has"])[1]

    y, has = run()
    assert len(y) == 2 and not has
    assert run(o=[one])[1] and len(run(s=[])[0]) == 1
    for changes, message in [
        ({"s": one}, r"input 's' is declared seq\(float32\), got float32\[1\]"),
        ({"s": None}, "got an empty optional"),
        ({"s": [one.astype(np.float64)]}, r"got seq\(float64\) of 1"),
        ({"o": one}, r"input 'o' is declared optional\(seq\(float32\)\), got float32\[1\]"),
        ({"x": [one]}, r"input 'x' is declared float32, got seq\(float32\) of 1"),
    ]:
        with pytest.raises(errors.DtypeMismatch, match=message):
            run(**changes)


def test_kinds_of_elements_that_are_not_known(session: Session) -> None:
    request = commands.forward([node("SequenceLength", ["s"], ["n"])], feeds={"s": []}, fetch=["n"])
    request.sequence_feeds[0].elem_type = onnx_pb2.SequenceProto.MAP
    with pytest.raises(errors.OpUnsupported, match="'s' has elements of kind 4: only tensors are supported"):
        session.run([request])
    text = "agraph (seq(seq(float)) s) => (int64 n) { n = SequenceLength(s) }"
    with pytest.raises(errors.OpUnsupported, match="input 's': a sequence of seq"):
        session.load_program("p", onnx.parser.parse_model(f"{HEAD} {text}").SerializeToString())


def test_bytes_of_any_onnx_library_can_be_sent(session: Session) -> None:
    """A SequenceProto and an OptionalProto that onnx wrote are read, and what comes back onnx reads."""
    sequence = onnx.numpy_helper.from_list([X, X + 1], "s")
    optional = onnx.numpy_helper.from_optional([X], "o")
    request = commands.forward(
        [node("OptionalGetElement", ["o"], ["e"]), node("SequenceLength", ["e"], ["n"])], fetch=["s", "n"]
    )
    request.sequence_feeds.add().ParseFromString(sequence.SerializeToString())
    request.optional_feeds.add().ParseFromString(optional.SerializeToString())
    response = session.run([request])[0]
    back = onnx.SequenceProto.FromString(response.fetched_sequences[0].SerializeToString())
    np.testing.assert_array_equal(onnx.numpy_helper.to_list(back), [X, X + 1])
    assert int(commands.fetched(request, response)[1]) == 1
