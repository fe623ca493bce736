"""What the client sends, seen by a stub that only records: no server."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

import gradwire
from gradwire import errors, wire
from gradwire import functional as F
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb


class Recorder:
    """Stands for a Client: keeps each request, and answers as a server would that computes zeros."""

    def __init__(self) -> None:
        self.runs: list[pb.RunRequest] = []
        self.failure: errors.GradwireError | None = None

    def unary(self, method: str, request: Any, session_id: str = "") -> Any:
        assert method == "Run"
        run = pb.RunRequest.FromString(wire.serialize(request))
        self.runs.append(run)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        response = pb.RunResponse()
        for command in run.commands:
            kind = command.WhichOneof("command")
            result = getattr(response.results.add(), kind)
            result.SetInParent()
            if kind == "put":
                for tensor in command.put.tensors:
                    spec = pb.TensorSpec(dims=tensor.dims, data_type=tensor.data_type)
                    result.tensors.add(name=tensor.name, spec=spec, requires_grad=command.put.requires_grad)
            elif kind == "forward":
                for name in command.forward.outputs:
                    result.outputs.add(name=name, spec=pb.TensorSpec(data_type=1))
            elif kind == "fetch":
                for name in command.fetch.names:
                    result.tensors.add(name=name, data_type=1, raw_data=bytes(4))
        return response

    @property
    def kinds(self) -> list[str]:
        """The commands of the last Run."""
        return [str(command.WhichOneof("command")) for command in self.runs[-1].commands]

    def command(self, kind: str) -> Any:
        """The one command of its kind in the last Run."""
        (found,) = (getattr(c, kind) for c in self.runs[-1].commands if c.WhichOneof("command") == kind)
        return found


@pytest.fixture
def stub() -> Recorder:
    return Recorder()


@pytest.fixture
def session(stub: Recorder) -> gradwire.Session:
    return gradwire.Session(stub, "s", "cpu")  # type: ignore[arg-type]


def test_nothing_is_sent_until_asked(session: gradwire.Session, stub: Recorder) -> None:
    x = session.tensor([1.0, 2.0])
    y = (x * 2 + 1).sum()
    assert (y.shape, y.dtype, stub.runs) == ((), np.float32, [])
    y.item()
    assert len(stub.runs) == 1


def test_temporaries_are_not_bound(session: gradwire.Session, stub: Recorder) -> None:
    x = session.tensor([1.0, 2.0])
    y = (x * 2 + 1).exp().sum()
    y.item()
    assert stub.kinds == ["put", "forward", "fetch"]
    forward = stub.command("forward")
    assert [node.op_type for node in forward.nodes] == ["Mul", "Add", "Exp", "ReduceSum"]
    assert list(forward.outputs) == [y.name]
    assert len(forward.feeds) == 2, "the numbers 2 and 1"


def test_work_nobody_can_see_is_left_out(session: gradwire.Session, stub: Recorder) -> None:
    x = session.tensor([1.0, 2.0])
    x.exp()
    y = x.log()
    session.flush()
    assert [node.op_type for node in stub.command("forward").nodes] == ["Log"]
    del y


def test_names_are_deleted_with_their_objects(session: gradwire.Session, stub: Recorder) -> None:
    x = session.tensor([1.0, 2.0])
    y = x * 2
    session.flush()
    old = y.name
    z = y + 1
    del y
    z.sum().item()
    assert stub.kinds[-1] == "delete"
    assert old in stub.command("delete").names
    del z, x
    session.tensor([1.0]).sum().item()
    assert stub.kinds[0] == "delete", "what nothing reads goes first, to free its memory"


def test_a_training_step_is_one_run(session: gradwire.Session, stub: Recorder) -> None:
    w = session.tensor(np.zeros((3, 4)), np.float32, requires_grad=True)
    optimizer = gradwire.optim.Adam([w], lr=0.1)
    for step in range(3):
        loss = F.cross_entropy(F.linear(np.ones((8, 4), np.float32), w), np.zeros(8, np.int64))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        assert len(stub.runs) == step + 1
    assert stub.kinds == ["delete", "forward", "backward", "step", "zero_grad", "fetch"]
    assert [list(feed.dims) for feed in stub.command("forward").feeds] == [[8, 4], [8]]


def test_no_grad_is_said_only_where_it_matters(session: gradwire.Session, stub: Recorder) -> None:
    w = session.tensor([1.0], requires_grad=True)
    a = w * 2
    with gradwire.no_grad():
        b = w * 3
        c = session.tensor([1.0]) * 4
    d = c * 5
    session.flush()
    forwards = [c.forward for c in stub.runs[-1].commands if c.WhichOneof("command") == "forward"]
    assert [(f.no_grad, len(f.nodes)) for f in forwards] == [(False, 1), (True, 1), (False, 2)]
    assert [t.requires_grad for t in (a, b, c, d)] == [False, False, False, False], "as the stub said"


def test_a_failed_node_takes_only_what_came_after_it(session: gradwire.Session, stub: Recorder) -> None:
    x = session.tensor([1.0, 2.0])
    good = x * 2
    bad = x @ session.tensor(np.ones((3, 3), np.float32))
    later = bad + 1
    stub.failure = errors.ShapeMismatch("no", metadata={"command": "1", "node": "1"})
    with pytest.raises(errors.ShapeMismatch) as caught:
        session.flush()
    assert f"{__file__}:" in caught.value.__notes__[0]
    for lost in (bad, later):
        with pytest.raises(errors.NeverComputed):
            _ = lost + 1
    assert good.item() == 0.0
    assert [node.op_type for node in stub.command("forward").nodes] == ["Mul"]
    assert [tensor.name for tensor in stub.command("put").tensors] == [x.name], "the array is sent again"


def test_a_program_is_fed_by_its_own_names(session: gradwire.Session, stub: Recorder) -> None:
    spec = gradwire.infer.Spec(np.dtype(np.float32), ())
    (y,) = session.call_program("net", {"image": np.ones(3, np.float32)}, {"loss": spec}, trainable=True)
    y.item()
    forward = stub.command("forward")
    assert [feed.name for feed in forward.feeds] == ["image"]
    assert dict(forward.bindings) == {"loss": y.name}


def test_retries_repeat_the_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Client sends the same bytes again while the server is UNAVAILABLE."""

    class Unavailable(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNAVAILABLE

        def details(self) -> str:
            return "not now"

        def trailing_metadata(self) -> tuple[()]:
            return ()

    class Stub:
        sequences: list[int] = []

        def Run(self, request: bytes, **options: Any) -> pb.RunResponse:
            run = pb.RunRequest.FromString(request)
            self.sequences.append(run.sequence)
            if len(self.sequences) < 3:
                raise Unavailable
            response = pb.RunResponse()
            for _ in run.commands:
                response.results.add().delete.SetInParent()
            return response

    client = gradwire.connect("127.0.0.1:1")
    monkeypatch.setattr(client, "_stub", Stub())
    session = gradwire.Session(client, "s", "cpu")
    session.run([gradwire.commands.delete(["x"])])
    assert len(Stub.sequences) == 3 and len(set(Stub.sequences)) == 1
    assert client.rpc_count == 3
