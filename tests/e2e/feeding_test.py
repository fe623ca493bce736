"""Arrays that go to the network without a copy in a message: the same bytes arrive."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import gradwire
from gradwire import commands, wire
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb

ARRAYS = {
    "scalar": np.float32(1.5),
    "empty": np.zeros((0, 3), np.int64),
    "rows": np.arange(12, dtype=np.float64).reshape(3, 4),
    "columns": np.arange(12, dtype=np.int32).reshape(3, 4).T,
    "every_other": np.arange(40, dtype=np.int16)[::2],
    "big_endian": np.arange(5, dtype=">f4"),
    "bool": np.array([True, False]),
    "bfloat16": np.arange(7).astype(ml_dtypes.bfloat16),
    "int4": np.arange(-3, 4).astype(ml_dtypes.int4),
    "complex": np.array([1 + 2j]),
    "strings": np.array(["a", "", "ß"], dtype=object),
    "long": np.arange(100_000, dtype=np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_put_is_the_message_that_holds_its_arrays(name: str) -> None:
    array = np.asarray(ARRAYS[name])
    sent = wire.serialize(wire.Feeding(pb.PutRequest(session_id="s", requires_grad=True), {"x": array, "y": array}))
    whole = commands.put({"x": array, "y": array}, requires_grad=True)
    whole.session_id = "s"
    assert pb.PutRequest.FromString(sent) == whole


def test_a_run_is_the_message_that_holds_its_commands() -> None:
    forward = commands.forward(program="p", fetch=["y"])
    feeds = {name: array for name, array in ARRAYS.items() if name != "scalar"}
    step, fetch = commands.step(pb.Sgd(lr=0.1), ["w"]), commands.fetch(["w"])
    sent = wire.serialize(wire.Run(pb.RunRequest(sequence=7), [commands.feeding(forward, feeds), step, fetch]))
    whole = pb.RunRequest(sequence=7)
    for one in (commands.forward(program="p", fetch=["y"], feeds=feeds), step, fetch):
        commands.set_command(whole.commands.add(), one)
    assert pb.RunRequest.FromString(sent) == whole


def one_more(session: gradwire.Session) -> None:
    """Loads the program "more": y = x + 1."""
    graph = pb.LoadProgramRequest().graph
    graph.input.add(name="x")
    graph.input.add(name="one")
    graph.node.append(commands.node("Add", ["x", "one"], ["y"]))
    graph.output.add(name="y")
    session.load_program("more", graph=graph)


@pytest.mark.parametrize("size", [3, 5000, 300_000])
def test_a_message_is_fed_again_and_again(client: gradwire.Client, size: int) -> None:
    forward = commands.forward(program="more", fetch=["y"], no_grad=True)
    with client.session() as session:
        one_more(session)
        for i in range(3):
            feeds: dict[str, Any] = {"x": np.full(size, i, np.float32), "one": np.ones(1, np.float32)}
            with session.pipeline() as pipeline:
                reply = pipeline.send(commands.feeding(forward, feeds))
            answers = [
                commands.fetched(forward, session.run([commands.feeding(forward, feeds)])[0])[0],
                commands.fetched(forward, reply.result())[0],
                session.forward(program="more", feeds=feeds, fetch=["y"], no_grad=True)[1][0],
            ]
            for answer in answers:
                np.testing.assert_array_equal(answer, np.full(size, i + 1, np.float32))


def test_an_array_of_a_wrong_shape_is_refused_by_name(client: gradwire.Client) -> None:
    with client.session() as session:
        one_more(session)
        feeds = {"x": np.zeros((2, 3), np.float32), "one": np.zeros((4,), np.float32)}
        with pytest.raises(gradwire.errors.ShapeMismatch):
            session.forward(program="more", feeds=feeds, fetch=["y"])
        assert session.describe().tensor_count == 0


# Prints page faults a call, of calls that each have three blocks of 4 MiB: a copy in order, the message, and gRPC's.
PUTS = """
import resource, sys
import numpy as np
import gradwire

with gradwire.connect(sys.argv[1]) as client, client.session() as session:
    array = np.ones((1024, 1024), np.float32).T
    for _ in range(3):
        session.put({"x": array})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        session.put({"x": array})
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10)
"""


@pytest.mark.parametrize("setting", [{}, {"MALLOC_TRIM_THRESHOLD_": str(1 << 20)}])
def test_memory_of_messages_is_kept_unless_the_environment_says_otherwise(
    client: gradwire.Client, setting: dict[str, str]
) -> None:
    taken = ("MALLOC_", "GLIBC_TUNABLES")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(taken)} | setting
    python = [sys.executable, "-c", PUTS, client.target]
    faults = float(subprocess.run(python, env=environment, check=True, capture_output=True, text=True).stdout)
    assert faults > 2000 if setting else faults < 200
