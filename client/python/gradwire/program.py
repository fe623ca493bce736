"""An ONNX model as a callable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradwire import dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.infer import Spec

if TYPE_CHECKING:
    from gradwire.session import Session
    from gradwire.tensor import Tensor


class Program:
    """A model loaded into a session. Calling it notes down one Forward."""

    def __init__(self, session: Session, info: pb.ProgramInfo, parameters: dict[str, Tensor]) -> None:
        self.session = session
        self.name = info.program
        self.info = info
        self.inputs = [value.name for value in info.inputs]
        self.outputs = {value.name: _spec(value.type) for value in info.outputs}
        self._parameters = parameters

    def parameters(self) -> list[Tensor]:
        """Its initializers that collect gradients, for an optimizer."""
        return [tensor for tensor in self._parameters.values() if tensor.requires_grad]

    def named_parameters(self) -> dict[str, Tensor]:
        """All its initializers, by session name."""
        return dict(self._parameters)

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """Runs the model on tensors or arrays, in the order of its inputs or by their names.

        Returns its output, or a tuple of several.
        """
        if len(args) > len(self.inputs):
            raise TypeError(f"the model takes {len(self.inputs)} inputs, got {len(args)}")
        feeds = dict(zip(self.inputs, args, strict=False), **inputs)
        trainable = any(tensor.requires_grad for tensor in self._parameters.values())
        results = self.session.call_program(self.name, feeds, self.outputs, trainable)
        return results[0] if len(results) == 1 else tuple(results)


def _spec(value: onnx_pb2.TypeProto) -> Spec:
    tensor = value.tensor_type
    if not tensor.elem_type:
        return Spec()
    known = tensor.HasField("shape") and all(d.WhichOneof("value") == "dim_value" and d.dim_value for d in tensor.shape.dim)
    shape = tuple(d.dim_value for d in tensor.shape.dim) if known else None
    return Spec(dtypes.from_code(tensor.elem_type), shape)


def load_model(
    session: Session, model: str | os.PathLike[str] | bytes | Any, *, name: str = "model", trainable: bool = True
) -> Program:
    """Loads an ONNX model (a path, its bytes, or an `onnx.ModelProto`) as the program `name`.

    Its initializers are bound as "NAME/" + their own names; with `trainable` the floating ones collect gradients.
    Raises InvalidModel, OpUnsupported.
    """
    if isinstance(model, (str, os.PathLike)):
        data = Path(model).read_bytes()
    else:
        data = model if isinstance(model, bytes) else model.SerializeToString()
    info = session.load_program(name, data, trainable=trainable)
    bound = {tensor.name: tensor for tensor in session.list_tensors(f"{name}/")} if info.parameters else {}
    parameters = {key: session.named(bound[key]) for key in info.parameters}
    return Program(session, info, parameters)
