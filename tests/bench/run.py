"""Benchmarks against peers in the same run: see tests/bench/README.md."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

import torch

import gradwire
import report
from gradwire.testing import Server

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("train", "infer", "overhead")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(NAMES)}; all when none is given")
    parser.add_argument("--server", type=Path, default=ROOT / "build" / "release" / "gradwire-server")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    for name in arguments.names or NAMES:
        with Server(arguments.server) as server, gradwire.connect(server.target) as client:
            report.write(name, importlib.import_module(name).run(client), arguments.out)


if __name__ == "__main__":
    main()
