"""Initializers that are kept in files beside the model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import gradwire
from gradwire import Session, errors, external
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb

W = np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)
B = np.arange(200, dtype=np.float32)
X = np.random.default_rng(1).normal(size=(2, 300)).astype(np.float32)


def net(w: np.ndarray[Any, Any] = W) -> onnx.ModelProto:
    """y = x @ w + b"""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", w.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", w.shape[1]])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(B, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def saved(folder: Path, one_file: bool = True, **options: Any) -> Path:
    """The model with all its initializers outside."""
    path = folder / "net.onnx"
    onnx.save_model(
        net(), path, save_as_external_data=True, all_tensors_to_one_file=one_file, location="weights.bin", size_threshold=0, **options
    )
    assert path.stat().st_size < 1000
    return path


def tensor_at(location: str, dims: tuple[int, ...] = (300, 200), name: str = "w", **keys: int) -> onnx.TensorProto:
    """An initializer that is kept at `location`."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **keys}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def with_w(tensor: onnx.TensorProto) -> bytes:
    """The model whose "w" is `tensor`."""
    model = net()
    model.graph.initializer[0].CopyFrom(tensor)
    return model.SerializeToString()


def nothing_is_left(session: Session) -> bool:
    return session.list_programs() == [] and session.list_tensors() == [] and session.describe().used_bytes == 0


@pytest.mark.parametrize("one_file", [True, False])
def test_a_model_with_external_data_runs_and_trains(session: Session, tmp_path: Path, one_file: bool) -> None:
    model = gradwire.load_model(session, saved(tmp_path, one_file), name="net")
    np.testing.assert_array_equal(session.fetch(["net/w"])[0], W)
    np.testing.assert_array_equal(session.fetch(["net/b"])[0], B)
    np.testing.assert_allclose(model(X).numpy(force=True), X @ W + B, rtol=1e-4, atol=1e-4)
    loss = (model(X) ** 2).mean()
    loss.backward()
    gradwire.optim.SGD(model.parameters(), lr=1e-3).step()
    assert (model(X) ** 2).mean().item() < loss.item()


def test_files_of_many_chunks(session: Session, tmp_path: Path) -> None:
    """Initializers that begin and end anywhere in chunks of 2 MiB, the second a part of the first."""
    data = np.arange(1_500_000, dtype=np.float32)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "all.bin").write_bytes(b"pad" * 5 + data.tobytes() + b"tail")
    spans = {"whole": (0, 1_500_000), "middle": (524_280, 600_000), "last": (1_499_999, 1), "none": (10, 0)}
    tensors = [
        tensor_at("data/all.bin", (count,), name, offset=15 + 4 * start, length=4 * count)
        for name, (start, count) in spans.items()
    ]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["last"], ["y"])], "g", [], [helper.make_tensor_value_info("y", 1, [1])], tensors
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    gradwire.load_model(session, model, name="m", folder=tmp_path)
    for name, (start, count) in spans.items():
        np.testing.assert_array_equal(session.fetch([f"m/{name}"])[0], data[start : start + count])


def test_an_absent_offset_is_the_beginning(session: Session, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(W.tobytes())
    gradwire.load_model(session, with_w(tensor_at("w")), name="m", folder=tmp_path)
    np.testing.assert_array_equal(session.fetch(["m/w"])[0], W)


LOCATIONS = ["/etc/passwd", "../w", "a/../../w", "..", "", "\\\\host\\share", "..\\w", "C:\\w", "file:w"]


@pytest.mark.parametrize("location", LOCATIONS)
def test_unsafe_locations_are_refused_by_client_and_server(session: Session, tmp_path: Path, location: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "w").write_bytes(W.tobytes())
    model = with_w(tensor_at(location))
    with pytest.raises(errors.InvalidModel, match="initializer 'w'.*relative path without '..'"):
        gradwire.load_model(session, model, folder=folder)
    with pytest.raises(errors.InvalidModel, match="initializer 'w'.*relative path without '..'"):
        session.load_program("m", model, external={location: tmp_path / "w"})
    assert nothing_is_left(session)


@pytest.mark.parametrize("link", ["file", "folder"])
def test_links_that_lead_out_are_refused(tmp_path: Path, link: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "w").write_bytes(W.tobytes())
    os.symlink(tmp_path / "w" if link == "file" else tmp_path, folder / "link")
    with pytest.raises(errors.InvalidModel, match="initializer 'w'.*leads out of"):
        external.files(with_w(tensor_at("link" if link == "file" else "link/w")), folder)


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(W.tobytes())
    os.symlink(tmp_path / "w", tmp_path / "link")
    assert external.files(with_w(tensor_at("link")), tmp_path) == {"link": tmp_path / "w"}


def test_a_file_that_is_not_there(session: Session, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidModel, match="initializer 'w'.*no such file"):
        gradwire.load_model(session, with_w(tensor_at("w")), folder=tmp_path)
    with pytest.raises(errors.InvalidModel, match="initializer 'w'.*did not come from a file"):
        gradwire.load_model(session, with_w(tensor_at("w")))


@pytest.mark.parametrize("size", [0, 239_999, None])
def test_bytes_that_do_not_come(session: Session, tmp_path: Path, size: int | None) -> None:
    (tmp_path / "w").write_bytes(bytes(size or 0))
    came = {} if size is None else {"w": tmp_path / "w"}
    with pytest.raises(errors.InvalidModel, match=f"initializer 'w' is kept in 'w' from byte 0 to 240000, of which {size or 0} came"):
        session.load_program("m", with_w(tensor_at("w")), external=came)
    assert nothing_is_left(session)


BROKEN: dict[str, tuple[onnx.TensorProto, str]] = {
    "length": (tensor_at("w", length=7), "initializer 'w': .*takes 240000 bytes, its external data has 7"),
    "offset": (tensor_at("w", offset=-4), "initializer 'w': offset '-4' of its external data is no number of bytes"),
    "end": (tensor_at("w", offset=(1 << 63) - 8), "initializer 'w': its external data ends nowhere"),
    "extent": (tensor_at("w", dims=(-1,)), "tensor 'w': .*negative extent"),
    "size": (tensor_at("w", dims=(1 << 62,)), "tensor 'w': .*larger than 2.48 bytes"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_entries(session: Session, tmp_path: Path, case: str) -> None:
    tensor, message = BROKEN[case]
    (tmp_path / "w").write_bytes(W.tobytes())
    with pytest.raises(errors.InvalidModel, match=message):
        session.load_program("m", with_w(tensor), external={"w": tmp_path / "w"})
    assert nothing_is_left(session)


def test_what_the_session_may_not_hold(client: gradwire.Client) -> None:
    """A claim costs nothing before its bytes come."""
    with client.session(max_bytes=1 << 20) as session:
        with pytest.raises(errors.QuotaExceeded):
            session.load_program("m", with_w(tensor_at("w", dims=(1 << 40,))))
        assert nothing_is_left(session)


def test_external_attributes_are_refused(session: Session) -> None:
    model = net()
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], "const", value=tensor_at("w")))
    with pytest.raises(errors.InvalidModel, match=r"node 0 'const' \(Constant\): attribute 'value': external data is for"):
        session.load_program("m", model.SerializeToString())


Messages = Callable[[bytes], list[pb.LoadProgramRequest]]
EXTERNAL = [pb.FileChunk(path="w", data=W.tobytes())]
STREAMS: dict[str, tuple[Messages, str]] = {
    "files first": (
        lambda model: [pb.LoadProgramRequest(external=EXTERNAL[0]), pb.LoadProgramRequest(data=model)],
        "the model has no graph",
    ),
    "data after files": (
        lambda model: [pb.LoadProgramRequest(data=model, external=EXTERNAL[0]), pb.LoadProgramRequest(data=b"x")],
        "`data` comes before `external`",
    ),
    "a file twice": (
        lambda model: [pb.LoadProgramRequest(data=model)] + [pb.LoadProgramRequest(external=EXTERNAL[0])] * 2,
        "the file 'w' came twice",
    ),
    "a file that nobody names": (
        lambda model: [pb.LoadProgramRequest(data=model), pb.LoadProgramRequest(external=pb.FileChunk(path="v", data=b"1"))],
        "no initializer is kept in a file 'v'",
    ),
    "a part of no file": (
        lambda model: [pb.LoadProgramRequest(data=model), pb.LoadProgramRequest(external=pb.FileChunk(data=b"1"))],
        "the first part of a file has its path",
    ),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams_in_disorder(session: Session, case: str) -> None:
    make, message = STREAMS[case]
    messages = make(with_w(tensor_at("w")))
    messages[0].session_id, messages[0].program = session.id, "m"
    with pytest.raises(errors.GradwireError, match=message) as caught:
        session.client.send_stream("LoadProgram", lambda: messages, session.id)
    assert caught.value.reason in ("INVALID_MODEL", "INVALID_ARGUMENT")
    assert nothing_is_left(session)


def test_a_load_sent_again_is_answered_once(session: Session) -> None:
    def messages(data: bytes) -> list[pb.LoadProgramRequest]:
        first = pb.LoadProgramRequest(session_id=session.id, sequence=7, program="m", data=with_w(tensor_at("w")))
        return [first, pb.LoadProgramRequest(external=pb.FileChunk(path="w", data=data))]

    one = session.client.send_stream("LoadProgram", lambda: messages(W.tobytes()), session.id)
    session.put({"m/w": np.zeros(3, np.float32)})
    assert session.client.send_stream("LoadProgram", lambda: messages(W.tobytes()), session.id) == one
    assert session.fetch(["m/w"])[0].shape == (3,), "the second was not executed"
    with pytest.raises(errors.SequenceReused):
        session.client.send_stream("LoadProgram", lambda: messages((W + 1).tobytes()), session.id)
