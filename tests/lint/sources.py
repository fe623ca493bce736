"""The hand-written files of the tree, as lint sees them."""

import os
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDERS = ["server", "client", "tests", "proto", "scripts", "deploy", ".ci"]
TOP_LEVEL = ["CMakeLists.txt", "CMakePresets.json", "Makefile", "Dockerfile"]
GENERATED = {"_proto", "__pycache__", "node_modules", "build", ".pytest_cache", ".mypy_cache"}
CPP_SUFFIXES = (".cc", ".cpp", ".h", ".cu", ".cuh")


def files(*suffixes: str) -> Iterator[pathlib.Path]:
    """Files with one of these suffixes, or all files, in a stable order."""
    for name in TOP_LEVEL:
        if (ROOT / name).exists() and (not suffixes or name.endswith(suffixes)):
            yield ROOT / name
    for folder in FOLDERS:
        for directory, subdirectories, names in os.walk(ROOT / folder):
            subdirectories[:] = sorted(
                name for name in subdirectories
                if name not in GENERATED and not name.endswith(".egg-info")
            )
            for name in sorted(names):
                if not suffixes or name.endswith(suffixes):
                    yield pathlib.Path(directory) / name


def relative(path: pathlib.Path) -> str:
    """The path as a reader of a message wants it."""
    return str(path.relative_to(ROOT))


def lines(path: pathlib.Path) -> list[str]:
    """The lines of a text file; none of a binary one."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []
