"""Arrays of strings: how they travel, what moves them and what refuses them."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import gradwire
from gradwire import Client, Session, commands, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.dtypes import Array

WORDS = np.array([["", "a"], ["Straße", "日本語"], ["x" * 5000, "😀"]], object)
LABELS = helper.make_opsetid("ai.onnx.ml", 4)


def call(session: Session, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
    names = [f"x{i}" for i in range(len(inputs))]
    node = commands.node(op, names, [f"y{i}" for i in range(outputs)], attributes)
    _, fetched = session.forward([node], feeds=dict(zip(names, inputs, strict=True)), fetch=list(node.output))
    return fetched[0] if outputs == 1 else fetched


def strings(*texts: str) -> Array:
    return np.array(texts, object)


# ---------------------------------------------------------------- there and back


def test_an_array_comes_back_as_it_went(session: Session) -> None:
    session.put({"words": WORDS, "one": "ß", "none": np.empty((0, 3), object)})
    words, one, none = session.fetch(["words", "one", "none"])
    np.testing.assert_array_equal(words, WORDS)
    assert one.shape == () and one.item() == "ß"
    assert none.shape == (0, 3) and none.dtype == object
    assert session.describe_tensor("words").spec.data_type == TensorProto.STRING


@pytest.mark.parametrize("kind", ["U", "S", "T", "bytes"])
def test_every_kind_of_numpy_strings_is_taken(session: Session, kind: str) -> None:
    texts = ["a", "", "bc"]
    array = {
        "U": np.array(texts),
        "S": np.array([t.encode() for t in texts]),
        "T": np.array(texts, np.dtypes.StringDType()) if hasattr(np.dtypes, "StringDType") else np.array(texts),
        "bytes": np.array([t.encode() for t in texts], object),
    }[kind]
    session.put({"x": array})
    assert session.fetch(["x"])[0].tolist() == texts


def test_an_array_of_other_objects_is_refused(session: Session) -> None:
    with pytest.raises(TypeError, match="str or bytes expected, got int"):
        session.put({"x": np.array(["a", 1], object)})


def test_tensors_of_strings(session: Session) -> None:
    x = session.tensor(["b", "a", "b"])
    assert x.dtype == object and not x.requires_grad
    assert x.numpy().tolist() == ["b", "a", "b"]
    assert session.op("Equal", [x, "b"]).numpy().tolist() == [True, False, True]
    with pytest.raises(errors.GradwireError):
        session.tensor(["a"], requires_grad=True)


def test_onnx_bytes_go_in_and_out(client: Client, session: Session) -> None:
    sent = numpy_helper.from_array(WORDS, "w")
    request = pb.PutRequest(session_id=session.id)
    request.tensors.add().ParseFromString(sent.SerializeToString())
    put = client.channel.unary_unary("/gradwire.v1.Gradwire/Put")
    put(request.SerializeToString(), timeout=30)
    fetch = client.channel.unary_unary("/gradwire.v1.Gradwire/Fetch")
    answer = pb.FetchResponse.FromString(fetch(pb.FetchRequest(session_id=session.id, names=["w"]).SerializeToString()))
    back = onnx.TensorProto.FromString(answer.tensors[0].SerializeToString())
    np.testing.assert_array_equal(numpy_helper.to_array(back), WORDS)


# ---------------------------------------------------------------- what is refused


def proto(**fields: Any) -> pb.PutRequest:
    request = pb.PutRequest()
    request.tensors.add(name="x", data_type=TensorProto.STRING, **fields)
    return request


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dims": [2], "string_data": [b"a", b"\xff\xfe"]}, "element 1 of string_data is not UTF-8"),
        ({"dims": [1], "string_data": [b"\xed\xa0\x80"]}, "element 0 of string_data is not UTF-8"),
        ({"dims": [3], "string_data": [b"a"]}, r"string\[3\] has 3 elements, string_data holds 1"),
        ({"dims": [0], "string_data": [b"a"]}, "has 0 elements, string_data holds 1"),
        ({"dims": [1 << 44], "string_data": [b"a"]}, "string_data holds 1"),
        ({"dims": [-1], "string_data": []}, "-1"),
        ({"dims": [1 << 40], "string_data": []}, "string_data holds 0"),
        ({"dims": [16], "raw_data": b"\0" * 256}, "not in raw_data"),
    ],
)
def test_malformed_arrays_are_refused(session: Session, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.GradwireError, match=message):
        session._call("Put", proto(**fields))
    assert session.list_tensors() == []


def test_streams_take_bytes_only(session: Session) -> None:
    session.put({"x": strings("a")})
    with pytest.raises(errors.DtypeMismatch, match="FetchStream takes no arrays of strings"):
        session.fetch_stream({"x": None})
    with pytest.raises(TypeError, match="cannot be streamed"):
        session.put_stream({"x": strings("a")})
    spec = pb.TensorSpec(dims=[1], data_type=TensorProto.STRING)
    chunk = pb.PutChunk(session_id=session.id, name="y", spec=spec, data=b"\0" * 16)
    with pytest.raises(errors.DtypeMismatch, match="PutStream takes no arrays of strings"):
        session.client.send_stream("PutStream", lambda: iter([chunk]), session.id)


def test_a_session_with_strings_is_not_saved(session: Session, tmp_path: Any) -> None:
    session.put({"x": strings("a"), "y": np.float32(1)})
    with pytest.raises(errors.DtypeMismatch, match="'x' is string, which safetensors files cannot hold"):
        session.save(tmp_path)
    session.save(tmp_path, ["y"])


def test_external_strings_are_refused(session: Session) -> None:
    tensor = numpy_helper.from_array(strings("a"), "w")
    tensor.ClearField("string_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "g", [], [helper.make_tensor_value_info("y", TensorProto.STRING, [1])],
        [tensor],
    )  # fmt: skip
    with pytest.raises(errors.GradwireError, match="external data takes no arrays of strings"):
        session.load_program("p", helper.make_model(graph, ir_version=10).SerializeToString())


def test_strings_count_against_the_quota(client: Client) -> None:
    with client.session(max_bytes=1 << 20) as session:
        with pytest.raises(errors.QuotaExceeded):
            session.put({"x": strings("x" * (2 << 20))})
        session.put({"x": strings("x" * 300_000)})
        with pytest.raises(errors.QuotaExceeded):
            call(session, "StringConcat", np.array(["", "", ""], object), "y" * 400_000)
        used = session.describe().used_bytes
        assert used >= 300_000
        session.delete(["x"])
        assert session.describe().used_bytes == 0


def test_a_slice_keeps_its_texts_after_its_source_is_gone(session: Session) -> None:
    session.put({"x": WORDS})
    session.forward([commands.node("Slice", ["x", "s", "e"], ["y"])],
                    feeds={"s": np.array([1]), "e": np.array([3])}, outputs=["y"])  # fmt: skip
    session.delete(["x"])
    session.put({"noise": np.array(["z" * 5000] * 50, object)})
    np.testing.assert_array_equal(session.fetch(["y"])[0], WORDS[1:])


# ---------------------------------------------------------------- operators

S = TensorProto.STRING


def check(session: Session, nodes: list[onnx.NodeProto], feeds: dict[str, Array], outputs: list[str]) -> None:
    """The nodes as a model, here and in onnx's reference evaluator."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feeds.items()}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, k, feeds[n].shape) for n, k in kinds.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), LABELS], ir_version=10)
    wanted = ReferenceEvaluator(model).run(outputs, feeds)
    session.load_program("p", model.SerializeToString())
    _, got = session.forward(program="p", feeds=feeds, fetch=outputs)
    for y, expected in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(y, np.asarray(expected).astype(y.dtype))


def test_a_pipeline_of_operators(session: Session) -> None:
    nodes = [
        helper.make_node("StringNormalizer", ["x"], ["n"], case_change_action="LOWER", stopwords=["the"]),
        helper.make_node("Constant", [], ["space"], value_string=" "),
        helper.make_node("StringConcat", ["n", "space"], ["c"]),
        helper.make_node("StringSplit", ["c"], ["parts", "count"]),
        helper.make_node("Flatten", ["parts"], ["flat"], axis=0),
        helper.make_node("LabelEncoder", ["flat"], ["ids"], domain="ai.onnx.ml", keys_strings=["cat", "dog"],
                         values_int64s=[1, 2], default_int64=0),
        helper.make_node("LabelEncoder", ["ids"], ["names"], domain="ai.onnx.ml", keys_int64s=[1, 2],
                         values_strings=["CAT", "DOG"], default_string="?"),
    ]  # fmt: skip
    check(session, nodes, {"x": strings("the", "Cat", "a Dog", "THE")}, ["ids", "names", "count"])


def test_words_are_counted(session: Session) -> None:
    node = helper.make_node(
        "TfIdfVectorizer", ["x"], ["y"], mode="TF", min_gram_length=1, max_gram_length=2, max_skip_count=1,
        ngram_counts=[0, 2], ngram_indexes=[0, 1, 2, 3], pool_strings=["a", "b", "a", "b", "b", "a"],
    )  # fmt: skip
    check(session, [node], {"x": np.array([["a", "b", "zz", "a"], ["b", "a", "b", "b"]], object)}, ["y"])


@pytest.mark.parametrize("reduction", ["add", "max"])
def test_strings_are_not_reduced(session: Session, reduction: str) -> None:
    with pytest.raises(errors.GradwireError, match="strings have no reductions"):
        call(session, "ScatterElements", WORDS[0], np.array([0]), strings("z"), reduction=reduction)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "message"),
    [
        ("RegexFullMatch", [WORDS], {"pattern": "("}, "not RE2's syntax: missing"),
        ("RegexFullMatch", [WORDS], {"pattern": "a" * 3 + "{1000}{1000}"}, "not RE2's syntax"),
        ("StringNormalizer", [WORDS], {}, r"\[C\] or \[1,C\] is expected"),
        ("StringNormalizer", [WORDS[0]], {"case_change_action": "TITLE"}, "'TITLE'"),
        ("StringNormalizer", [WORDS[0]], {"locale": "tr_TR"}, "Turkish"),
        ("StringConcat", [WORDS, np.float32(1)], {}, "types differ"),
        ("StringConcat", [np.float32(1), WORDS], {}, "float32 is not supported"),
        ("Add", [WORDS, WORDS], {}, "may not be string"),
        ("Cast", [strings("Hello")], {"to": 1}, "'Hello' is not a number"),
        ("Cast", [strings("300")], {"to": 2}, "'300' is not a number that uint8 holds"),
        ("Cast", [strings("-1")], {"to": 13}, "uint64 holds|uint32 holds"),
        ("Cast", [strings("nan")], {"to": 7}, "int64 holds"),
    ],
)
def test_bad_calls_are_refused(
    session: Session, op: str, inputs: list[Any], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.GradwireError, match=message):
        call(session, op, *inputs, **attributes)


def test_numbers_are_written_as_numpy_writes_them(session: Session) -> None:
    for dtype in (np.float32, np.float64, np.float16):
        x = np.array([0, -0.0, 1, -2.5, 0.1, 1e-4, 9.9e-5, 1e16, 123456, 1 / 3, np.inf, -np.inf, np.nan]).astype(dtype)
        assert call(session, "Cast", x, to=8).tolist() == x.astype(np.str_).tolist()
    integers = np.array([0, -5, 1 << 62])
    assert call(session, "Cast", integers, to=8).tolist() == ["0", "-5", str(1 << 62)]
    assert call(session, "Cast", np.array([True, False]), to=8).tolist() == ["True", "False"]


@pytest.mark.parametrize(
    ("texts", "to", "wanted"),
    [
        (["3.14", "1e-5", "1E8", "+INF", "inf", "-INF", "NaN", "1e400", " 2 "], 1,
         [3.14, 1e-5, 1e8, np.inf, np.inf, -np.inf, np.nan, np.inf, 2]),
        (["0.1", "-1e-320"], 11, [0.1, -1e-320]),
        (["0.1", "65504", "1e9"], 10, [0.1, 65504, np.inf]),
        (["100.5", "-7", "9223372036854775807", "-1e3"], 7, [100, -7, (1 << 63) - 1, -1000]),
        (["18446744073709551615"], 13, [(1 << 64) - 1]),
        (["true", "0", "False", "2.5"], 9, [True, False, False, True]),
    ],
)  # fmt: skip
def test_text_becomes_numbers(session: Session, texts: list[str], to: int, wanted: list[Any]) -> None:
    y = call(session, "Cast", strings(*texts), to=to)
    np.testing.assert_array_equal(y, np.array(wanted).astype(y.dtype))


def test_graph_attributes_of_strings(session: Session) -> None:
    value = numpy_helper.from_array(WORDS, "v")
    node = helper.make_node("Constant", [], ["y"], value=value)
    many = helper.make_node("Constant", [], ["z"], value_strings=["a", "ß"])
    nodes = [gradwire._proto.gradwire.v1.onnx_pb2.NodeProto.FromString(n.SerializeToString()) for n in (node, many)]
    _, (y, z) = session.forward(nodes, fetch=["y", "z"])
    np.testing.assert_array_equal(y, WORDS)
    assert z.tolist() == ["a", "ß"]
    nodes[1].attribute[0].strings[0] = b"\xff"
    with pytest.raises(errors.GradwireError, match="not UTF-8"):
        session.forward(nodes, fetch=["z"])


def test_initializers_of_strings_are_parameters(session: Session) -> None:
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "i"], ["y"])], "g",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", S, ["n"])],
        [numpy_helper.from_array(strings("zero", "one", "two"), "table")],
    )  # fmt: skip
    session.load_program("p", helper.make_model(graph, ir_version=10).SerializeToString())
    _, (y,) = session.forward(program="p", feeds={"i": np.array([2, 0, -1])}, fetch=["y"])
    assert y.tolist() == ["two", "zero", "two"]
    assert session.fetch(["p/table"])[0].tolist() == ["zero", "one", "two"]


def test_an_answer_too_large_for_a_message_is_refused_before_anything_changes(session: Session) -> None:
    session.put({"x": strings("x" * 1_000_000)})
    nodes = [commands.node("Expand", ["x", "shape"], ["y"])]
    with pytest.raises(errors.GradwireError, match="use FetchStream|at most"):
        session.forward(nodes, feeds={"shape": np.array([3000])}, outputs=["y"], fetch=["y"])
    assert [info.name for info in session.list_tensors()] == ["x"]


def test_no_gradient_flows_through_strings(session: Session) -> None:
    x = session.tensor([1.0, 2.0], requires_grad=True)
    y = session.op("Cast", [session.op("Cast", [x], {"to": 8})], {"to": 1})
    with pytest.raises(RuntimeError, match="does not require grad"):
        y.sum().backward()


def test_a_bad_utf8_name_of_a_channel_is_no_crash(client: Client) -> None:
    """A request whose string_data is cut short is an error of the call."""
    put = client.channel.unary_unary("/gradwire.v1.Gradwire/Put")
    with pytest.raises(grpc.RpcError):
        put(b"\x1a\x05\x32\xff\xff\xff\xff", timeout=30)
