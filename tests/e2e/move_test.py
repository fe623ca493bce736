"""MoveSession over the wire, on a server whose only device is the CPU. Moves between devices: tests/cuda/move_test.cc."""

from __future__ import annotations

import numpy as np
import pytest

import gradwire
from gradwire import Session, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb


def test_where_it_is_nothing_happens(session: Session) -> None:
    w = session.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    session.put({"texts": np.array(["a", "b"], dtype=object)})
    before = session.describe()
    assert session.move("cpu") == session.device == "cpu"
    assert session.move("") == session.device == w.device == "cpu"
    after = session.describe()
    assert (after.device, after.used_bytes, after.tensor_count) == ("cpu", before.used_bytes, before.tensor_count)
    loss.backward()
    assert w.grad is not None
    np.testing.assert_array_equal(w.grad.numpy(), [2.0, 4.0])


def test_an_unknown_device_is_refused_as_by_open_session(client: gradwire.Client, session: Session) -> None:
    x = session.tensor([1.0, 2.0])
    with pytest.raises(errors.DeviceNotFound) as opening:
        client.session("cuda:99")
    with pytest.raises(errors.DeviceNotFound) as moving:
        session.move("cuda:99")
    assert str(moving.value) == str(opening.value)
    assert session.device == session.describe().device == "cpu"
    np.testing.assert_array_equal((x * 2).numpy(), [2.0, 4.0])


def test_it_is_a_numbered_command(client: gradwire.Client, session: Session) -> None:
    request = pb.MoveSessionRequest(session_id=session.id, sequence=5, device="cpu")
    for _ in range(2):
        assert client.unary("MoveSession", request, session.id).device == "cpu"
    with pytest.raises(errors.SequenceReused):
        client.unary("MoveSession", pb.MoveSessionRequest(session_id=session.id, sequence=5), session.id)


def test_a_tensor_says_how_to_move(session: Session) -> None:
    x = session.tensor([1.0])
    assert x.to("cpu") is x
    with pytest.raises(errors.DeviceNotFound, match=r"on cpu, not on cuda:99: Session\.move"):
        x.to("cuda:99")


def test_the_session_must_be_there(client: gradwire.Client) -> None:
    with pytest.raises(errors.SessionNotFound):
        client.unary("MoveSession", pb.MoveSessionRequest(session_id="0" * 32, device="cpu"))
