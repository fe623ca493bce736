"""Where a model's external data is: arrays that are kept in files beside it."""

from __future__ import annotations

from pathlib import Path

from gradwire import errors
from gradwire._proto.gradwire.v1 import onnx_pb2


def files(model: bytes, folder: Path | None) -> dict[str, Path]:
    """The files under `folder` that the initializers of a serialized model are kept in, by location.

    Raises InvalidModel for a location that is absolute, has "..", or leads out of the folder through a link.
    """
    # Every entry has this key; a model without it need not be parsed here.
    if b"location" not in model:
        return {}
    found: dict[str, Path] = {}
    for tensor in _model(model).graph.initializer:
        if tensor.data_location != onnx_pb2.TensorProto.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        if location not in found:
            found[location] = _resolved(tensor.name, location, folder)
    return found


def _model(data: bytes) -> onnx_pb2.ModelProto:
    try:
        return onnx_pb2.ModelProto.FromString(data)
    except Exception as error:  # protobuf's DecodeError, whose place depends on the version
        raise errors.InvalidModel(f"the {len(data)} bytes are not an onnx.ModelProto") from error


def _resolved(name: str, location: str, folder: Path | None) -> Path:
    what = f"initializer '{name}': external data at '{location}'"
    if folder is None:
        raise errors.InvalidModel(f"{what}: say in which folder, the model did not come from a file")
    parts = location.replace("\\", "/").split("/")
    if not location or not parts[0] or ".." in parts or ":" in location:
        raise errors.InvalidModel(f"{what} is not at a relative path without '..'")
    path = (folder / location).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise errors.InvalidModel(f"{what} leads out of '{folder}'")
    if not path.is_file():
        raise errors.InvalidModel(f"{what}: there is no such file in '{folder}'")
    return path
