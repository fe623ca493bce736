"""What a benchmark found: a table on the terminal, JSON, and a plot of the ratios with their limits."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from tabulate import tabulate  # type: ignore[import-untyped]

from measure import Row

@dataclass
class Curve:
    """How something grows."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    x_label: str
    y_label: str
    fitted: bool = True  # show the slope

    @property
    def slope(self) -> float:
        """Of a line through the logarithms: 0 is a cost that does not grow, 1 one in proportion."""
        return float(np.polyfit(np.log(self.x), np.log(self.y), 1)[0])


def processor() -> str:
    """The processor's name and how many CPUs this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} CPUs"


@dataclass
class Result:
    rows: list[Row]
    curves: list[Curve] = field(default_factory=list)
    machine: str = field(default_factory=processor)


VERDICT = {None: "", True: "holds", False: "MISSED"}


def table(rows: list[Row]) -> str:
    cells = [
        (row.case, row.metric, f"{row.ours:.4g}", f"{row.peer:.4g}", f"{row.ratio:.2f}",
         f"{row.spread[0]:.2f} to {row.spread[1]:.2f}", "" if row.limit is None else f"{row.limit:g}",
         VERDICT[row.holds()], row.floor)
        for row in rows
    ]  # fmt: skip
    headers = ("case", "metric", "gradwire", "peer", "ratio", "quartiles", "limit", "", "floor")
    return str(tabulate(cells, headers=headers, disable_numparse=True))


def plot(name: str, result: Result, path: Path) -> None:
    rows = result.rows
    figure, axes = plt.subplots(figsize=(12, 1 + 0.3 * len(rows)), layout="constrained")
    places = range(len(rows))
    errors = [[row.ratio - row.spread[0] for row in rows], [row.spread[1] - row.ratio for row in rows]]
    axes.barh(places, [row.ratio for row in rows], xerr=[[max(0.0, e) for e in side] for side in errors])
    for place, row in zip(places, rows, strict=True):
        if row.limit is not None:
            axes.plot([row.limit] * 2, [place - 0.4, place + 0.4], color="black")
    axes.set_yticks(places, [f"{row.case}, {row.metric}" for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel="gradwire / peer (black: the limit)", title=f"{name}: {result.machine}")
    figure.savefig(path)
    plt.close(figure)


def plot_curves(name: str, result: Result, path: Path) -> None:
    """One panel for each pair of labels."""
    curves = result.curves
    panels = list(dict.fromkeys((curve.x_label, curve.y_label) for curve in curves))
    figure, grid = plt.subplots(len(panels), figsize=(10, 5 * len(panels)), layout="constrained", squeeze=False)
    for axes, labels in zip(grid[:, 0], panels, strict=True):
        for curve in (curve for curve in curves if (curve.x_label, curve.y_label) == labels):
            label = f"{curve.name}: slope {curve.slope:.2f}" if curve.fitted else curve.name
            axes.loglog(curve.x, curve.y, marker="o", label=label)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle(f"{name}: {result.machine}")
    figure.savefig(path)
    plt.close(figure)


def write(name: str, result: Result, folder: Path) -> None:
    """Prints the table; leaves NAME.json and NAME.svg, and with curves NAME_growth.svg, in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    print(f"== {name}: {result.machine}, {datetime.date.today()} ==")
    print(table(result.rows), flush=True)
    (folder / f"{name}.json").write_text(json.dumps([row.record() for row in result.rows], indent=1) + "\n")
    plot(name, result, folder / f"{name}.svg")
    if result.curves:
        plot_curves(name, result, folder / f"{name}_growth.svg")
