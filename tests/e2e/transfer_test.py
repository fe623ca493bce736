"""Arrays that do not fit a message: bit for bit, both ways."""

from __future__ import annotations

import numpy as np
import pytest

from gradwire import Session
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb


def test_256_mib_go_in_and_out(session: Session) -> None:
    array = np.random.default_rng(0).integers(0, 256, 256 << 20, np.uint8).view(np.float32).reshape(8192, -1)
    x = session.tensor(array)
    back = x.numpy()
    assert back.shape == array.shape
    assert np.array_equal(back.view(np.uint8), array.view(np.uint8))


def test_several_tensors_in_one_stream(session: Session) -> None:
    arrays = {
        "big": np.arange(3 << 20, dtype=np.float64),
        "empty": np.zeros((0, 4), np.int32),
        "scalar": np.asarray(2.5, np.float32),
        "turned": np.arange(6, dtype=">i2").reshape(2, 3).T,
    }
    session.put_stream(arrays, requires_grad=False)
    back = session.fetch_stream(arrays)
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize("chunk_bytes", [64 << 10, 1 << 20, 16 << 20])
def test_chunks_have_the_size_asked_for(session: Session, chunk_bytes: int) -> None:
    array = np.arange(5 << 20, dtype=np.float32)
    session.put_stream({"x": array})
    chunks = [(chunk.offset, chunk.data) for chunk in session.fetch_chunks(["x"], chunk_bytes)]
    assert all(len(data) <= chunk_bytes for _, data in chunks)
    assert len(chunks) <= -(-array.nbytes // chunk_bytes) + 1
    assert b"".join(data for _, data in sorted(chunks)) == array.tobytes()


def test_a_stream_that_breaks_off_binds_nothing(session: Session) -> None:
    spec = pb.TensorSpec(dims=[1000], data_type=1)
    with pytest.raises(ValueError):
        session.put_chunks([pb.PutChunk(name="x", spec=spec, data=bytes(100))])
    assert session.list_tensors() == []


def test_progress_is_shown_when_wanted(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.put_stream({"x": np.zeros(1000, np.float32)}, progress=True)
    assert "put" in capsys.readouterr().err
    session.fetch_stream(["x"], total=4000, progress=True)
    assert "fetch" in capsys.readouterr().err
    session.fetch_stream(["x"])
    assert capsys.readouterr().err == ""


def test_payload_may_be_split_anywhere(session: Session) -> None:
    array = np.arange(1000, dtype=np.float32)
    payload = array.tobytes()
    chunks = [pb.PutChunk(name="x", spec=pb.TensorSpec(dims=[1000], data_type=1), data=payload[:1])]
    chunks += [pb.PutChunk(data=payload[i : i + 7]) for i in range(1, len(payload), 7)]
    session.put_chunks(chunks)
    np.testing.assert_array_equal(session.fetch(["x"])[0], array)
