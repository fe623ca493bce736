"""An ONNX model as a callable."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from gradwire import dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2
from gradwire.external import files
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
        # The server holds a program to the dtypes that it declares, not to the extents.
        self.outputs = {value.name: Spec(_spec(value.type).dtype) for value in info.outputs}
        # What a call's tensors cannot stand for.
        self._structured = [
            value.name
            for value in (*info.inputs, *info.outputs)
            if value.type.WhichOneof("value") in ("sequence_type", "optional_type")
        ]
        self._parameters = parameters
        # In how many spans of nodes calls are computed again on the way back, to save memory; 0 for none.
        self.checkpoint = 0

    def parameters(self) -> list[Tensor]:
        """Its initializers that collect gradients, for an optimizer."""
        return [tensor for tensor in self._parameters.values() if tensor.requires_grad]

    def named_parameters(self) -> dict[str, Tensor]:
        """All its initializers, by session name."""
        return dict(self._parameters)

    def describe(
        self, inputs: Mapping[str, tuple[npt.DTypeLike, Sequence[int]]] | None = None, **dims: int
    ) -> dict[str, Spec]:
        """Dtype and shape of every value in it, before it runs; None in a Spec where they cannot be known.

        `inputs`: dtype and shape of inputs; `dims`: extents of dimensions that the model names, as in
        `model.describe(batch=32)`. Raises ShapeMismatch and the like, as a call with such inputs would.
        """
        specs = {
            name: pb.TensorSpec(data_type=dtypes.to_code(dtype), dims=shape)
            for name, (dtype, shape) in (inputs or {}).items()
        }
        described = self.session.describe_program(self.name, inputs=specs, dims=dims)
        return {value.name: _spec(value.type) for value in described.values}

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """Runs the model on tensors or arrays, in the order of its inputs or by their names.

        Returns its output, or a tuple of several.
        """
        if len(args) > len(self.inputs):
            raise TypeError(f"the model takes {len(self.inputs)} inputs, got {len(args)}")
        if self._structured:
            names = ", ".join(self._structured)
            raise TypeError(f"{names}: sequences and optionals are fed to and fetched from session.forward(program=...)")
        feeds = dict(zip(self.inputs, args, strict=False), **inputs)
        trainable = any(tensor.requires_grad for tensor in self._parameters.values())
        results = self.session.call_program(self.name, feeds, self.outputs, trainable, self.checkpoint)
        return results[0] if len(results) == 1 else tuple(results)

    def set_vjp(self, vjp: Program | None) -> None:
        """Makes another program compute this one's gradient; its operators do again where None.

        `vjp` reads inputs, parameters and outputs of this program by their names, and "grad/" + an output; it makes
        "grad/" + an input or parameter. Raises InvalidArgument, ShapeMismatch or DtypeMismatch where it does not.
        """
        self.info = self.session.set_vjp(self.name, None if vjp is None else vjp.name)


def _spec(value: onnx_pb2.TypeProto) -> Spec:
    tensor = value.tensor_type
    if not tensor.elem_type:
        return Spec()
    known = tensor.HasField("shape") and all(d.WhichOneof("value") == "dim_value" for d in tensor.shape.dim)
    shape = tuple(d.dim_value for d in tensor.shape.dim) if known else None
    return Spec(dtypes.from_code(tensor.elem_type), shape)


def load_model(
    session: Session,
    model: str | os.PathLike[str] | bytes | Any,
    *,
    name: str = "model",
    trainable: bool = True,
    folder: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Program:
    """Loads an ONNX model (a path, its bytes, or an `onnx.ModelProto`) as the program `name`.

    Its initializers are bound as "NAME/" + their own names; with `trainable` the floating ones collect gradients.
    External data is read from `folder`, by default the one that the model's file is in, and streamed; a progress bar
    counts bytes (None: only on a terminal). Raises InvalidModel.
    """
    if isinstance(model, (str, os.PathLike)):
        data = Path(model).read_bytes()
        folder = Path(model).parent if folder is None else folder
    else:
        data = model if isinstance(model, bytes) else model.SerializeToString()
    external = files(data, None if folder is None else Path(folder))
    info = session.load_program(name, data, trainable=trainable, external=external, progress=progress)
    bound = {tensor.name: tensor for tensor in session.list_tensors(f"{name}/")} if info.parameters else {}
    parameters = {key: session.named(bound[key]) for key in info.parameters}
    return Program(session, info, parameters)
