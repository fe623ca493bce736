"""The adapter for ONNX's own test suite: `onnx.backend.base.Backend` over a server.

The server is the one at GRADWIRE_TARGET, or else one that is started from the binary GRADWIRE_SERVER and stopped with
the process.
"""

from __future__ import annotations

import atexit
import functools
import os
import weakref
from collections.abc import Sequence
from typing import Any

import onnx
from onnx.backend.base import Backend, BackendRep

from gradwire import dtypes
from gradwire.client import Client, connect
from gradwire.dtypes import Array
from gradwire.session import Session
from gradwire.testing import Server

_PROGRAM = "model"


@functools.cache
def client() -> Client:
    """The connection that all models share."""
    target = os.environ.get("GRADWIRE_TARGET")
    if target is None:
        server = Server(os.environ["GRADWIRE_SERVER"])
        atexit.register(server.stop)
        target = server.target
    connection = connect(target)
    atexit.register(connection.close)
    return connection


class Prepared(BackendRep):
    """A model loaded into a session of its own, which ends with this object."""

    def __init__(self, session: Session, model: onnx.ModelProto) -> None:
        self._session = session
        initialized = {tensor.name for tensor in model.graph.initializer}
        self._inputs = [value.name for value in model.graph.input if value.name not in initialized]
        self._outputs = [value.name for value in model.graph.output]
        session.load_program(_PROGRAM, model.SerializeToString())
        # The suite never closes what it prepared.
        self._end = weakref.finalize(self, session.close)
        self._end.atexit = False

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """The model's outputs for inputs in its order, or by name."""
        values = inputs if isinstance(inputs, dict) else dict(zip(self._inputs, _listed(inputs), strict=False))
        feeds = {name: _checked(name, value) for name, value in values.items()}
        _, fetched = self._session.forward(program=_PROGRAM, feeds=feeds, fetch=self._outputs, no_grad=True)
        return tuple(fetched)

    def close(self) -> None:
        """Ends the session."""
        self._end()


def _listed(inputs: Any) -> Sequence[Any]:
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def _checked(name: str, value: Any) -> Array:
    """A value that the wire can carry: an array or a number."""
    if value is None or isinstance(value, (list, dict)):
        raise NotImplementedError(f"input '{name}' is a sequence or an optional, which the API does not carry")
    return dtypes.as_array(value)


class GradwireBackend(Backend):
    """What `onnx.backend.test.BackendTest` drives."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """Loads a model; raises a GradwireError where the server refuses it."""
        session = client().session(device.lower())
        try:
            return Prepared(session, model)
        except BaseException:
            session.close()
            raise

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Array, ...]:
        """Loads a model and runs it once."""
        prepared = cls.prepare(model, device)
        try:
            return prepared.run(inputs)
        finally:
            prepared.close()

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether the server has the device "CPU" or "CUDA"."""
        kind = device.split(":")[0].lower()
        return any(info.name.split(":")[0] == kind for info in client().server_info().devices)


prepare = GradwireBackend.prepare
run_model = GradwireBackend.run_model
supports_device = GradwireBackend.supports_device
