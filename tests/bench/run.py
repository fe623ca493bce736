"""Benchmarks against peers in the same run: see tests/bench/README.md."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

import torch

import report
from setting import Setting

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("train", "infer", "overhead", "rpc", "transfer", "scale")
ON_GPU = ("gpu",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join((*NAMES, *ON_GPU))}; when none is given, all that need no GPU")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", help="where the programs are")
    parser.add_argument("--pairs", type=int, default=20, help="samples of each side; fewer only to try a benchmark out")
    parser.add_argument("--large", action="store_true", help="transfer: 3 GiB too")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - {*NAMES, *ON_GPU}
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    setting = Setting(arguments.build, arguments.pairs, arguments.large)
    for name in arguments.names or NAMES:
        report.write(name, importlib.import_module(name).run(setting), arguments.out)


if __name__ == "__main__":
    main()
