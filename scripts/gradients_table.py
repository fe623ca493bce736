"""Writes docs/gradients_table.md from a server's support matrix.

    .venv/bin/python scripts/gradients_table.py build/release/gradwire-server

starts that server; `make docs` builds one first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import gradwire
from gradwire import dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.testing import Server

TABLE = Path(__file__).resolve().parents[1] / "docs" / "gradients_table.md"
HEAD = """# Which operators have gradients, in which element types

Made by `make docs` from `GetServerInfo`; a test holds it to that. The newest version of each operator of ONNX's
default domain. A derivative is a formula of operators that have derivatives, so what has second order has every order.
An operator that is *not differentiable* gives indices, truth values, shapes, random or quantized numbers, or constants:
results that do not change, or only in jumps, when an input moves.

| operator | since | first order | second order |
|---|---|---|---|
"""


def newest(rows: Iterable[pb.OperatorSupport]) -> dict[str, pb.OperatorSupport]:
    """The newest row of each operator of the default domain on the CPU, by name."""
    found: dict[str, pb.OperatorSupport] = {}
    for row in rows:
        if row.domain == "" and row.device == "cpu":
            known = found.get(row.op_type)
            found[row.op_type] = row if known is None or row.since_version > known.since_version else known
    return dict(sorted(found.items()))


def _types(codes: Iterable[int]) -> str:
    return ", ".join(sorted(dtypes.from_code(code).name for code in codes)) or "not differentiable"


def table(info: pb.GetServerInfoResponse) -> str:
    """The page."""
    lines = [
        f"| {row.op_type} | {row.since_version} | {_types(row.backward_types)} | {_types(row.second_order_types)} |\n"
        for row in newest(info.operators).values()
    ]
    return HEAD + "".join(lines)


def main() -> None:
    with Server(sys.argv[1]) as server, gradwire.connect(server.target) as client:
        TABLE.write_text(table(client.server_info()), encoding="utf-8")


if __name__ == "__main__":
    main()
