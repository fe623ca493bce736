"""Model files with bytes changed: the server lives on, and the session is as it was.

Changes are drawn from a seed, which is printed. GRADWIRE_FUZZ_SEED draws others, GRADWIRE_FUZZ_MODELS more of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import gradwire
from conftest import server_binary
from external_data_test import tensor_at, with_w
from functions_test import call, function, model, reference
from gradwire import Client, Session, errors
from gradwire.testing import Server
from malformed_test import net, untouched

SEED = int(os.environ.get("GRADWIRE_FUZZ_SEED", "0"))
MODELS = int(os.environ.get("GRADWIRE_FUZZ_MODELS", "4000"))
QUOTA = 64 << 20


def corpus() -> list[tuple[bytes, dict[str, Any]]]:
    """Small models of the onnx suite, with their inputs."""
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    found = []
    for path in sorted(data.glob("*/*/model.onnx")):
        inputs = [path.parent / "test_data_set_0" / f"input_{i}.pb" for i in range(4)]
        present = [file for file in inputs if file.exists()]
        if path.stat().st_size > 4000 or any(file.stat().st_size > 20_000 for file in present):
            continue
        proto = onnx.load(path)
        feeds = {}
        for value, file in zip(proto.graph.input, present, strict=False):
            if not value.type.HasField("tensor_type") or value.type.tensor_type.elem_type == TensorProto.STRING:
                break
            feeds[value.name] = numpy_helper.to_array(onnx.load_tensor(file))
        found.append((path.read_bytes(), feeds))
    return found


def own() -> list[tuple[bytes, dict[str, Any]]]:
    """What the suite lacks: a model with functions that call each other, one with weights, one with external data."""
    square = function("Square", ["x"], ["y"], [helper.make_node("Mul", ["x", "x"], ["y"])])
    leaky = reference("LeakyRelu", "", "alpha", onnx.AttributeProto.FLOAT)
    outer = function("Outer", ["x"], ["y"], [call("Square", ["x"], ["t"]), leaky], ["alpha"])
    calls = model([call("Outer", ["x"], ["t"], alpha=0.5), call("Square", ["t"], ["y"])], [square, outer])
    return [
        (calls.SerializeToString(), {"x": np.ones((3, 4), np.float32)}),
        (net().SerializeToString(), {"x": np.ones((2, 3), np.float32)}),
        (with_w(tensor_at("w", offset=8, length=240_000)), {"x": np.ones((2, 300), np.float32)}),
    ]


def mutations(count: int) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Files with a few bytes changed, cut out, doubled or brought in from another file."""
    draw = random.Random(SEED)
    models, ours = corpus(), own()
    for _ in range(count):
        data, feeds = draw.choice(models if draw.random() < 0.75 else ours)
        broken = bytearray(data)
        for _ in range(draw.choice((1, 1, 1, 1, 2, 2, 4))):
            at = draw.randrange(len(broken) or 1)
            length = draw.choice((1, 1, 2, 8, 64))
            action = draw.randrange(12)
            if action == 0:
                del broken[at : at + length]
            elif action == 1:
                broken[at:at] = broken[at : at + length]
            elif action == 2:
                broken[at : at + 1] = draw.choice((b"\xff" * 9 + b"\x01", b"\x80\x01"))
            elif action == 3:
                other, _ = draw.choice(models)
                start = draw.randrange(len(other))
                broken[at : at + length] = other[start : start + length]
            elif action < 8:  # Of the same length: most of these still parse.
                broken[at : at + 1] = bytes([draw.choice((*range(16), 0x7F, 0xFF, draw.randrange(256)))])
            else:
                broken[at : at + 1] = bytes([broken[at] ^ (1 << draw.randrange(8))]) if broken else b""
        yield bytes(broken), feeds


@pytest.fixture(scope="module")
def own_client() -> Iterator[tuple[Server, Client]]:
    """A server of this module's own: others go on when it dies."""
    with Server(server_binary()) as server, gradwire.connect(server.target, timeout=60) as client:
        yield server, client


ALLOWED = {
    "INVALID_MODEL", "OP_UNSUPPORTED", "INVALID_ARGUMENT", "SHAPE_MISMATCH", "DTYPE_MISMATCH", "TENSOR_NOT_FOUND",
    "QUOTA_EXCEEDED", "OUT_OF_MEMORY",
}  # fmt: skip


def attempt(session: Session, data: bytes, feeds: dict[str, Any]) -> str:
    """Loads and runs a broken model; how far it came."""
    session.load_program("m", data, trainable=True)
    try:
        session.forward(program="m", feeds=feeds, no_grad=True)
        return "runs"
    except errors.GradwireError as error:
        assert error.reason in ALLOWED, error
        return "loads"
    finally:
        session.unload_program("m")
        session.delete([info.name for info in session.list_tensors() if info.name != "kept"])


def test_changed_bytes_kill_nothing(own_client: tuple[Server, Client]) -> None:
    server, client = own_client
    print(f"seed {SEED}, {MODELS} models")
    outcomes: dict[str, int] = {}
    with client.session(max_bytes=QUOTA, seed=0) as session:
        session.put({"kept": np.arange(3)})
        used = session.describe().used_bytes
        for count, (data, feeds) in enumerate(mutations(MODELS)):
            try:
                outcome = attempt(session, data, feeds)
            except errors.GradwireError as error:
                outcome = error.reason
                assert server.process.poll() is None, f"model {count} killed the server: {data!r}\n{server.log()}"
                assert outcome in ALLOWED, f"model {count}: {error.code} {outcome} {error.message}: {data!r}"
                assert session.list_programs() == []
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            if count % 100 == 0:
                assert untouched(session), f"after model {count}"
        print(outcomes)
        assert untouched(session)
        assert session.describe().used_bytes == used
    assert outcomes["runs"] > MODELS // 20 and outcomes["INVALID_MODEL"] > MODELS // 20, outcomes
