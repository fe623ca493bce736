"""Generates the stubs of proto/ into gradwire/_proto where a build finds none; the rest is in pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
STUBS = HERE / "gradwire" / "_proto"


def make_stubs() -> None:
    """Runs protoc, and moves the imports in what it writes from `gradwire` to `gradwire._proto.gradwire`."""
    package = STUBS / "gradwire" / "v1"
    if (package / "gradwire_pb2_grpc.py").exists():
        return
    from grpc_tools import protoc

    package.mkdir(parents=True, exist_ok=True)
    files = [str(path) for path in sorted((PROTO / "gradwire" / "v1").glob("*.proto"))]
    include = Path(protoc.__file__).with_name("_proto")
    out = [f"--{kind}_out={STUBS}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{PROTO}", f"-I{include}", *out, *files]) != 0:
        raise RuntimeError("protoc failed")
    for folder in (STUBS, STUBS / "gradwire", package):
        (folder / "__init__.py").touch()
    for path in package.glob("*.py*"):
        text = re.sub(r"^from gradwire\.v1 import", "from gradwire._proto.gradwire.v1 import", path.read_text(), flags=re.M)
        path.write_text(text)


make_stubs()
setup()
