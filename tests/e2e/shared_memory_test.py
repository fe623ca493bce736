"""Memory shared between server and client: arrays in place, and what a client must not be able to do with it."""

from __future__ import annotations

import fcntl
import gc
import mmap
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import gradwire
from conftest import server_binary
from gradwire import commands, errors
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.shared import _descriptors
from gradwire.testing import Server

pytestmark = pytest.mark.files
CALL_S = 60
MIB = 1 << 20
FLOATS = MIB // 4


@pytest.fixture(scope="module")
def sharing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that shares memory."""
    with Server(server_binary(), [f"--shared_memory={tmp_path_factory.mktemp('shared') / 'door'}"]) as running:
        yield running


@pytest.fixture
def session(sharing: Server) -> Iterator[gradwire.Session]:
    with gradwire.connect(sharing.target, timeout=CALL_S) as client, client.session() as opened:
        yield opened


def put_ramp(memory: gradwire.SharedMemory, name: str, start: float = 0) -> np.ndarray:
    array = memory.empty(FLOATS)
    array[:] = np.arange(start, start + FLOATS)
    memory.put({name: array})
    return np.arange(start, start + FLOATS, dtype=np.float32)


def attach(session: gradwire.Session, tensor_bytes: int = MIB, inbox_bytes: int = MIB) -> pb.AttachMemoryResponse:
    """The answer to AttachMemory itself."""
    request = pb.AttachMemoryRequest(session_id=session.id, tensor_bytes=tensor_bytes, inbox_bytes=inbox_bytes)
    answer: pb.AttachMemoryResponse = session.client.unary("AttachMemory", request)
    return answer


# ---------------------------------------------------------------- what it is for


def test_in_and_out(session: gradwire.Session) -> None:
    memory = session.attach_memory(16 * MIB, 4 * MIB)
    expected = put_ramp(memory, "x")
    session.run([commands.forward([commands.node("Mul", ["x", "x"], ["y"])])])
    x, y = memory.fetch(["x", "y"])
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(y, expected * expected)
    for array in (x, y):
        assert not array.flags.writeable and not array.flags.owndata
    again = memory.fetch(["x"])[0]
    assert again.__array_interface__["data"][0] == x.__array_interface__["data"][0]


def test_shapes_types_and_graphs(session: gradwire.Session) -> None:
    memory = session.attach_memory(16 * MIB, 4 * MIB)
    w = memory.empty((256, 128), np.float64)
    w[:] = 3
    ids = memory.empty((64, 32, 16), ml_dtypes.bfloat16)
    ids[:] = 7
    infos = memory.put({"w": w}, requires_grad=True)
    assert infos[0].requires_grad
    memory.put({"ids": ids})
    session.run([
        commands.forward([commands.node("Mul", ["w", "w"], ["y"]), commands.node("ReduceSum", ["y"], ["z"])]),
        pb.BackwardRequest(roots=["z"]),
    ])  # fmt: skip
    gradient, back = memory.fetch(["grad/w", "ids"])
    np.testing.assert_array_equal(gradient, np.full((256, 128), 6.0))
    assert gradient.dtype == np.float64 and back.dtype == ml_dtypes.bfloat16 and back.shape == (64, 32, 16)


def test_a_fetched_array_keeps_its_elements(session: gradwire.Session) -> None:
    memory = session.attach_memory(8 * MIB, 4 * MIB)
    expected = put_ramp(memory, "x")
    held = memory.fetch(["x"])[0][10:20]  # a view of it is enough
    for i in range(20):
        memory.clear()
        put_ramp(memory, "x", i)
    gc.collect()
    np.testing.assert_array_equal(held, expected[10:20])


def test_a_sequence_is_refused(session: gradwire.Session) -> None:
    memory = session.attach_memory(16 * MIB, MIB)
    put_ramp(memory, "x")
    session.forward([commands.node("SequenceConstruct", ["x", "x"], ["s"])], outputs=["s"])
    with pytest.raises(errors.InvalidArgument, match=r"'s' is seq\(float32\) of 2, not a tensor"):
        memory.fetch(["x", "s"])
    assert memory.fetch(["x"])[0].shape == (FLOATS,)


def test_arrays_in_use_are_not_written_by_commands_that_come_again(session: gradwire.Session) -> None:
    memory = session.attach_memory(16 * MIB, MIB)
    put_ramp(memory, "x")
    double = commands.forward([commands.node("Add", ["x", "x"], ["x2"]), commands.node("Identity", ["x2"], ["x"])])
    held = []
    for _ in range(6):
        session.run([double])
        held.append(memory.fetch(["x"])[0])
    for power, array in enumerate(held, 1):
        np.testing.assert_array_equal(array, np.arange(FLOATS, dtype=np.float32) * 2**power)


def test_memory_is_used_again_when_arrays_are_let_go(session: gradwire.Session) -> None:
    memory = session.attach_memory(4 * MIB, MIB)
    for i in range(40):  # ten times what the segment holds
        memory.clear()
        expected = put_ramp(memory, "x", i)
        array = memory.fetch(["x"])[0]
        assert not array.flags.owndata, "it did not lie in shared memory"
        np.testing.assert_array_equal(array, expected)
        del array
    assert session.describe().used_bytes <= 5 * MIB


def test_what_does_not_lie_there_is_copied(session: gradwire.Session) -> None:
    before = np.arange(FLOATS, dtype=np.float32)
    session.put({"before": before})
    memory = session.attach_memory(MIB, MIB)
    session.put({"small": np.ones(3, np.float32), "first": before, "second": before + 1})  # room for one
    found = memory.fetch(["before", "small", "first", "second"])
    for array, expected in zip(found, (before, np.ones(3, np.float32), before, before + 1), strict=True):
        np.testing.assert_array_equal(array, expected)
    assert [array.flags.writeable for array in found] == [True, True, False, True]


def test_arrays_outlive_the_session(sharing: Server) -> None:
    with gradwire.connect(sharing.target, timeout=CALL_S) as client, client.session() as session:
        memory = session.attach_memory(4 * MIB, MIB)
        expected = put_ramp(memory, "x")
        array = memory.fetch(["x"])[0]
    np.testing.assert_array_equal(array, expected)


def test_over_a_unix_socket(tmp_path: Path) -> None:
    flags = [f"--host=unix:{tmp_path / 'socket'}", f"--shared_memory={tmp_path / 'door'}"]
    with Server(server_binary(), flags) as server, gradwire.connect(server.target, timeout=CALL_S) as client:
        with client.session() as session:
            memory = session.attach_memory(4 * MIB, MIB)
            expected = put_ramp(memory, "x")
            np.testing.assert_array_equal(memory.fetch(["x"])[0], expected)
    assert not (tmp_path / "door").exists()


# ---------------------------------------------------------------- isolation


def test_sessions_do_not_share(sharing: Server) -> None:
    with gradwire.connect(sharing.target, timeout=CALL_S) as client, client.session() as one, client.session() as two:
        mine, theirs = one.attach_memory(4 * MIB, MIB), two.attach_memory(4 * MIB, MIB)
        expected = put_ramp(mine, "x")
        other = put_ramp(theirs, "x", 5)
        np.testing.assert_array_equal(mine.fetch(["x"])[0], expected)
        np.testing.assert_array_equal(theirs.fetch(["x"])[0], other)
        assert not np.shares_memory(mine.fetch(["x"])[0], theirs.fetch(["x"])[0])


def test_a_ticket_is_good_once_and_while_the_session_lives(session: gradwire.Session) -> None:
    answer = attach(session)
    for descriptor in _descriptors(answer.socket, answer.ticket):
        os.close(descriptor)
    for ticket in (answer.ticket, "0" * 32, "", "x" * 100):
        with pytest.raises(OSError, match="gave no shared memory"):
            _descriptors(answer.socket, ticket)
    with session.client.session() as other:
        closed = attach(other)
    with pytest.raises(OSError, match="gave no shared memory"):
        _descriptors(closed.socket, closed.ticket)


def test_a_client_can_neither_write_nor_resize(session: gradwire.Session) -> None:
    answer = attach(session)
    tensors, inbox = _descriptors(answer.socket, answer.ticket)
    try:
        with pytest.raises(PermissionError):
            mmap.mmap(tensors, MIB)
        with pytest.raises(PermissionError):
            os.pwrite(tensors, b"x", 0)
        again = os.open(f"/proc/self/fd/{tensors}", os.O_RDWR)
        with pytest.raises(PermissionError):
            mmap.mmap(again, MIB)
        os.close(again)
        for descriptor in (tensors, inbox):
            for size in (0, 2 * MIB):
                with pytest.raises(PermissionError):
                    os.ftruncate(descriptor, size)
            with pytest.raises(PermissionError):
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    finally:
        os.close(tensors)
        os.close(inbox)


def test_noise_at_the_door_harms_nobody(session: gradwire.Session) -> None:
    answer = attach(session)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.connect(answer.socket)
        for noise in (b"", b"x", b"x" * 5000):
            door.send(noise)
        with open(os.devnull, "rb") as file:
            socket.send_fds(door, [b"0" * 32], [file.fileno()] * 10)
            socket.send_fds(door, [answer.ticket.encode()[:-1]], [file.fileno()])
    for descriptor in _descriptors(answer.socket, answer.ticket):
        os.close(descriptor)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("offset", "dims"), [(1, [FLOATS]), (MIB, [1]), (-4, [1]), (2**62, [1]), (0, [FLOATS + 1]), (0, [2**40])]
)
def test_what_is_not_in_the_inbox_is_refused(session: gradwire.Session, offset: int, dims: list[int]) -> None:
    session.attach_memory(MIB, MIB)
    array = pb.SharedArray(name="x", spec=pb.TensorSpec(dims=dims, data_type=1), offset=offset)
    with pytest.raises(errors.InvalidArgument, match="inbox") as caught:
        session._call("PutShared", pb.PutSharedRequest(arrays=[array]))
    assert caught.value.metadata["tensor"] == "x"
    assert list(session.list_tensors()) == []


def test_an_array_from_elsewhere_is_refused(session: gradwire.Session) -> None:
    memory = session.attach_memory(MIB, MIB)
    square = memory.empty((64, 64))
    for array in (np.ones(3, np.float32), square.T[:, :3], memory.empty(8, ml_dtypes.int4)):
        with pytest.raises(ValueError, match="'x'"):
            memory.put({"x": array})
    with pytest.raises(MemoryError):
        memory.empty(FLOATS)


def test_attaching_needs_a_flag_a_size_and_a_first_time(
    client: gradwire.Client, session: gradwire.Session
) -> None:
    with client.session() as elsewhere:
        with pytest.raises(errors.InvalidArgument, match="--shared_memory"):
            elsewhere.attach_memory(MIB, MIB)
        with pytest.raises(errors.InvalidArgument, match="AttachMemory first"):
            elsewhere._call("FetchShared", pb.FetchSharedRequest())
    for sizes in ((0, MIB), (MIB, 0), (-1, MIB), (MIB, 2**41)):
        with pytest.raises(errors.InvalidArgument, match="_bytes is"):
            session.attach_memory(*sizes)
    memory = session.attach_memory(MIB, MIB)
    with pytest.raises(errors.InvalidArgument, match="already"):
        session.attach_memory(MIB, MIB)
    with pytest.raises(errors.TensorNotFound):
        memory.fetch(["nothing"])
    with pytest.raises(errors.InvalidArgument, match="held by the number 7"):
        session._call("FetchShared", pb.FetchSharedRequest(release=[7]))


def test_it_counts_with_the_quota(sharing: Server) -> None:
    with gradwire.connect(sharing.target, timeout=CALL_S) as client, client.session(max_bytes=4 * MIB) as session:
        with pytest.raises(errors.QuotaExceeded):
            session.attach_memory(MIB, 5 * MIB)
        memory = session.attach_memory(64 * MIB, MIB)
        assert session.describe().used_bytes == MIB
        for i in range(3):
            memory.clear()
            put_ramp(memory, f"x{i}")
        memory.clear()
        with pytest.raises(errors.QuotaExceeded):
            put_ramp(memory, "x3")
        assert [info.name for info in session.list_tensors()] == ["x0", "x1", "x2"]
        session.delete(["x0"])
        memory.clear()
        put_ramp(memory, "x3")


def test_an_expired_session(sharing: Server) -> None:
    with gradwire.connect(sharing.target, timeout=CALL_S) as client:
        session = client.session(lease=0.3)
        memory = session.attach_memory(4 * MIB, MIB)
        expected = put_ramp(memory, "x")
        array = memory.fetch(["x"])[0]
        time.sleep(1)
        with pytest.raises(errors.SessionExpired):
            memory.fetch(["x"])
        np.testing.assert_array_equal(array, expected)


def test_the_door_is_taken_once(sharing: Server, session: gradwire.Session) -> None:
    door = attach(session).socket
    with pytest.raises(RuntimeError, match="another process listens"):
        Server(server_binary(), [f"--shared_memory={door}"])
    with pytest.raises(RuntimeError, match="cannot be offered"):
        Server(server_binary(), ["--shared_memory=/nowhere/at/all"])


def test_grpc_from_another_address_is_refused(tmp_path: Path) -> None:
    """The machine's own address is no loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            address = "127.0.0.1"
        else:
            address = str(probe.getsockname()[0])
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    flags = ["--host=0.0.0.0", "--insecure", f"--shared_memory={tmp_path / 'door'}"]
    with Server(server_binary(), flags) as server:
        with gradwire.connect(f"{address}:{server.target.rpartition(':')[2]}", timeout=CALL_S) as client:
            with client.session() as session, pytest.raises(errors.InvalidArgument, match="one machine"):
                session.attach_memory(MIB, MIB)


def test_a_move_to_where_it_is_leaves_shared_memory(session: gradwire.Session) -> None:
    memory = session.attach_memory(4 * MIB, MIB)
    expected = put_ramp(memory, "x")
    assert session.move("cpu") == "cpu"
    np.testing.assert_array_equal(memory.fetch(["x"])[0], expected)
