"""Large arrays in and out, a chunk at a time: no copy of the whole is made on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from gradwire import dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.dtypes import Array

CHUNK_BYTES = 2 << 20
# Arrays of at least this size get a progress bar on a terminal.
PROGRESS_BYTES = 64 << 20


def progress_bar(total: int, label: str, wanted: bool | None) -> AbstractContextManager[Any]:
    """A bar that counts bytes. `wanted` None: only on a terminal, and only for what takes a while."""
    show = (sys.stderr.isatty() and total >= PROGRESS_BYTES) if wanted is None else wanted
    return tqdm(total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024, disable=not show, leave=False)


def put_chunks(
    session_id: str, sequence: int, tensors: Mapping[str, Array], requires_grad: bool, progress: bool | None
) -> Iterator[pb.PutChunk]:
    """The messages that put `tensors`."""
    first = {"session_id": session_id, "sequence": sequence}
    total = sum(array.nbytes for array in tensors.values())
    with progress_bar(total, "put", progress) as bar:
        for name, array in tensors.items():
            payload = dtypes.wire_bytes(array).data
            head: dict[str, Any] = {
                "name": name,
                "spec": dtypes.spec_of(array),
                "requires_grad": requires_grad,
                **first,
            }
            first = {}
            for start in range(0, max(len(payload), 1), CHUNK_BYTES):
                data = bytes(payload[start : start + CHUNK_BYTES])
                yield pb.PutChunk(data=data, **head)
                bar.update(len(data))
                head = {}


class _Assembly:
    """A fetched array under construction."""

    def __init__(self, spec: pb.TensorSpec) -> None:
        self.code, self.shape = spec.data_type, tuple(spec.dims)
        size = dtypes.nbytes(dtypes.from_code(self.code), self.shape)
        self.payload = np.empty(size, np.uint8)

    def write(self, offset: int, data: bytes) -> None:
        self.payload[offset : offset + len(data)] = np.frombuffer(data, np.uint8)

    def array(self) -> Array:
        return dtypes.from_wire(self.payload, self.code, self.shape)


def assemble(chunks: Iterable[pb.FetchChunk], total: int, progress: bool | None) -> dict[str, Array]:
    """Arrays by name from the messages of a FetchStream; each is allocated once and written in place.

    `total` is the number of bytes to come, for the progress bar.
    """
    result: dict[str, Array] = {}
    parts: _Assembly | None = None
    name = ""
    with progress_bar(total, "fetch", progress) as bar:
        for chunk in chunks:
            if chunk.name or parts is None:
                if parts is not None:
                    result[name] = parts.array()
                name, parts = chunk.name, _Assembly(chunk.spec)
            parts.write(chunk.offset, chunk.data)
            bar.update(len(chunk.data))
    if parts is not None:
        result[name] = parts.array()
    return result


def model_chunks(
    first: pb.LoadProgramRequest, model: bytes, external: Mapping[str, Path], progress: bool | None
) -> Iterator[pb.LoadProgramRequest]:
    """The messages that load a serialized model and its files of external data; `first` carries all but the data."""
    view = memoryview(model)
    total = len(view) + sum(path.stat().st_size for path in external.values())
    with progress_bar(total, "load", progress) as bar:
        first.data = bytes(view[:CHUNK_BYTES])
        yield first
        bar.update(len(first.data))
        for start in range(CHUNK_BYTES, len(view), CHUNK_BYTES):
            data = bytes(view[start : start + CHUNK_BYTES])
            yield pb.LoadProgramRequest(data=data)
            bar.update(len(data))
        for location, path in external.items():
            for begins, data in _file_parts(path):
                part = pb.LoadProgramRequest()
                # Set in place: a FileChunk that is handed over would be copied.
                part.external.path, part.external.data = location if begins else "", data
                yield part
                bar.update(len(data))


def _file_parts(path: Path) -> Iterator[tuple[bool, bytes]]:
    """A file in parts, at least one, and whether each is the first."""
    with path.open("rb") as file:
        begins = True
        while (data := file.read(CHUNK_BYTES)) or begins:
            yield begins, data
            begins = False


def file_chunks(session_id: str, sequence: int, directory: Path) -> Iterator[pb.RestoreSessionRequest]:
    """The messages that restore the files under `directory`."""
    first: dict[str, Any] = {"session_id": session_id, "sequence": sequence}
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name = path.relative_to(directory).as_posix()
        for begins, data in _file_parts(path):
            part = pb.RestoreSessionRequest(**first)
            part.chunk.path, part.chunk.data = name if begins else "", data
            yield part
            first = {}


def write_files(chunks: Iterable[pb.FileChunk], directory: Path) -> list[Path]:
    """Writes the files that a SaveSession sends; returns their paths. Raises ValueError for one outside `directory`."""
    written: list[Path] = []
    file: BinaryIO | None = None
    try:
        for chunk in chunks:
            if chunk.path:
                if file is not None:
                    file.close()
                path = (directory / chunk.path).resolve()
                if not path.is_relative_to(directory.resolve()):
                    raise ValueError(f"the server sent a file outside the directory: {chunk.path!r}")
                path.parent.mkdir(parents=True, exist_ok=True)
                file = path.open("wb")
                written.append(path)
            if file is not None:
                file.write(chunk.data)
    finally:
        if file is not None:
            file.close()
    return written
