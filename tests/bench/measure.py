"""Timing two sides against each other: alternating, after a warm-up, medians and the ratio with its spread."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace


@dataclass
class Row:
    """One comparison. `limit` bounds the ratio: from above where lower is better, else from below."""

    case: str
    metric: str
    ours: float
    peer: float
    ratio: float
    spread: tuple[float, float]  # quartiles of the ratio over the pairs
    limit: float | None = None
    better: str = "lower"
    floor: str = ""  # what the machine would need at its peak

    def holds(self) -> bool | None:
        """Whether the ratio keeps to its limit; None where there is none."""
        if self.limit is None:
            return None
        return self.ratio <= self.limit if self.better == "lower" else self.ratio >= self.limit

    def record(self) -> dict[str, object]:
        return asdict(self)


def seconds(call: Callable[[], object], repeat: int = 1) -> float:
    """How long a call takes, on average over `repeat` calls."""
    started = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - started) / repeat


def alternate(
    case: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    metric: str = "seconds",
    pairs: int = 20,
    budget_s: float = 20.0,
    limit: float | None = None,
    floor: str = "",
) -> Row:
    """Times both sides in turn: at least `pairs` times each, a short call several times at once."""
    for call in (ours, peer):
        for _ in range(3):
            call()
    repeat = max(1, int(0.005 / max(1e-9, min(seconds(ours), seconds(peer)))))
    gc.collect()
    gc.disable()
    times: list[tuple[float, float]] = []
    until = time.monotonic() + budget_s
    while len(times) < pairs or (time.monotonic() < until and len(times) < 10 * pairs):
        times.append((seconds(ours, repeat), seconds(peer, repeat)))
    gc.enable()
    our_median, peer_median = (statistics.median(side) for side in zip(*times, strict=True))
    quartiles = statistics.quantiles((a / b for a, b in times), n=4)
    return Row(
        case, metric, our_median, peer_median, our_median / peer_median, (quartiles[0], quartiles[2]), limit, floor=floor
    )


def scaled(row: Row, factor: float) -> Row:
    """The same comparison in another unit."""
    return replace(row, ours=row.ours * factor, peer=row.peer * factor)
