"""3 GiB in and out, bit for bit, on a server that never holds them twice."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

import gradwire
from conftest import server_binary
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.testing import Server

SIZE = 3 << 30
CHUNK = 2 << 20
# What the server may need besides the tensor: code, threads, buffers under way.
SLACK = 400 << 20


def payload(index: int) -> bytes:
    """The bytes of one chunk; another for each."""
    base = np.arange(CHUNK // 8, dtype=np.uint64)
    return (base * np.uint64(0x9E3779B97F4A7C15) + np.uint64(index)).tobytes()


def chunks() -> Iterator[pb.PutChunk]:
    yield pb.PutChunk(name="x", spec=pb.TensorSpec(dims=[SIZE // 4], data_type=1))
    for index in range(SIZE // CHUNK):
        yield pb.PutChunk(data=payload(index))


def test_3_gib_without_a_second_copy() -> None:
    with Server(server_binary()) as server, gradwire.connect(server.target, timeout=600) as client, client.session() as session:
        before = server.peak_rss()
        session.put_chunks(chunks())
        assert server.peak_rss() - before < SIZE + SLACK, "a second copy on the way in"
        at, checksum, expected = 0, 0, 0
        for chunk in session.fetch_chunks(["x"], CHUNK):
            assert chunk.offset == at, "chunks come in order"
            checksum = zlib.crc32(chunk.data, checksum)
            at += len(chunk.data)
        for index in range(SIZE // CHUNK):
            expected = zlib.crc32(payload(index), expected)
        assert at == SIZE
        assert checksum == expected
        assert server.peak_rss() - before < SIZE + SLACK, "a second copy on the way out"
