"""The adapter for ONNX's own test suite: `onnx.backend.base.Backend` over a server.

The server is the one at GRADWIRE_TARGET, or else one that is started from the binary GRADWIRE_SERVER and stopped with
the process.
"""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Sequence
from typing import Any

import onnx
from onnx.backend.base import Backend, BackendRep

from gradwire import dtypes
from gradwire.client import connect
from gradwire.session import Session
from gradwire.testing import Server

_PROGRAM = "model"


_CALL_S = 120


class _Connection:
    """A client, and the server behind it where that is ours."""

    def __init__(self) -> None:
        target = os.environ.get("GRADWIRE_TARGET")
        self.server = Server(os.environ["GRADWIRE_SERVER"]) if target is None else None
        if self.server is not None:
            atexit.register(self.server.stop)
            target = self.server.target
        self.client = connect(str(target), timeout=_CALL_S)
        self.devices = {info.name.split(":")[0] for info in self.client.server_info().devices}

    def broken(self) -> bool:
        return self.server is not None and self.server.process.poll() is not None


_connections: list[_Connection] = []


def _connection() -> _Connection:
    """The connection that all models share; a new one where a model has killed our server."""
    if not _connections or _connections[-1].broken():
        _connections.append(_Connection())
    return _connections[-1]


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

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The model's outputs for inputs in its order, or by name. Sequences are lists of arrays, empty optionals None."""
        values = inputs if isinstance(inputs, dict) else dict(zip(self._inputs, _listed(inputs), strict=False))
        feeds = {name: _item(value) for name, value in values.items()}
        _, fetched = self._session.forward(program=_PROGRAM, feeds=feeds, fetch=self._outputs, no_grad=True)
        return tuple(fetched)

    def close(self) -> None:
        """Ends the session."""
        self._end()


def _listed(inputs: Any) -> Sequence[Any]:
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def _item(value: Any) -> dtypes.Item:
    """An array or a number, a list of them, or None."""
    if isinstance(value, list):
        return [dtypes.as_array(element) for element in value]
    return None if value is None else dtypes.as_array(value)


class GradwireBackend(Backend):
    """What `onnx.backend.test.BackendTest` drives."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> Prepared:
        """Loads a model; raises a GradwireError where the server refuses it."""
        session = _connection().client.session(device.lower())
        try:
            return Prepared(session, model)
        except BaseException:
            session.close()
            raise

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Loads a model and runs it once."""
        prepared = cls.prepare(model, device)
        try:
            return prepared.run(inputs)
        finally:
            prepared.close()

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether the server has the device "CPU" or "CUDA"."""
        return device.split(":")[0].lower() in _connection().devices


prepare = GradwireBackend.prepare
run_model = GradwireBackend.run_model
supports_device = GradwireBackend.supports_device
