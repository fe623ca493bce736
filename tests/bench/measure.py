"""Timing two sides against each other: alternating, after a warm-up, medians and the ratio with its spread."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial


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
    floor: str = ""  # see floor_of

    def holds(self) -> bool | None:
        """Whether the ratio keeps to its limit; None where there is none."""
        if self.limit is None:
            return None
        return self.ratio <= self.limit if self.better == "lower" else self.ratio >= self.limit

    def record(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Metric:
    """What a sample measures, and what its ratio is held to."""

    limit: float | None = None
    better: str = "lower"


def floor_of(flops: float, size: float) -> str:
    """What nobody can do without: operations (a multiply-add is two) and bytes from or to memory, each array's counted once."""
    return f"{flops / 1e9:.3g} GFLOP, {size / 1e6:.3g} MB"


def row_of(
    case: str, metric: str, pairs: Sequence[tuple[float, float]], held: Metric = Metric(), floor: str = ""
) -> Row:
    """The comparison that pairs of (ours, peer) make."""
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [a / b for a, b in pairs if b]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ours / peer,) * 3
    return Row(case, metric, ours, peer, ours / peer, (low, high), held.limit, held.better, floor)


# How long a side rests before its turn. ONNX Runtime's threads spin after their work, and on two CPUs take one from the
# other side: a rest of 5 ms changed nothing, one of 50 ms gave what separate runs give. But a rest lets the processor
# sleep and the peer has emptied the caches, which no client finds that calls again and again: the turn's first call is
# not counted, of either side.
REST_S = 0.05


def seconds(call: Callable[[], object], repeat: int = 1) -> float:
    """How long a call takes after a rest and a first call, on average over `repeat` calls."""
    time.sleep(REST_S)
    call()
    started = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - started) / repeat


# How long one of so many calls takes, after a rest and a first call: `seconds` of one.
Timer = Callable[[int], float]


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
    timers = partial(seconds, ours), partial(seconds, peer)
    times = alternate_timers(*timers, pairs=pairs, budget_s=budget_s)
    return row_of(case, metric, times, Metric(limit), floor)


def alternate_timers(ours: Timer, peer: Timer, *, pairs: int = 20, budget_s: float = 20.0) -> list[tuple[float, float]]:
    """The seconds of both sides, in turn, as `alternate` takes them."""
    for time_of in (ours, peer):
        time_of(2)
    repeat = max(1, int(0.005 / max(1e-9, min(ours(1), peer(1)))))
    gc.collect()
    gc.disable()
    times: list[tuple[float, float]] = []
    until = time.monotonic() + budget_s
    while len(times) < pairs or (time.monotonic() < until and len(times) < 10 * pairs):
        times.append((ours(repeat), peer(repeat)))
    gc.enable()
    return times


def sampled(
    sides: Sequence[Callable[[], Mapping[str, float]]], *, warm_up: int = 2, pairs: int = 20
) -> list[list[Mapping[str, float]]]:
    """Takes samples of all sides in turn; those of each side, in order."""
    for call in sides:
        for _ in range(warm_up):
            call()
    rounds = [[call() for call in sides] for _ in range(pairs)]
    return [list(side) for side in zip(*rounds, strict=True)]


def rows_of(
    case: str,
    ours: Sequence[Mapping[str, float]],
    peer: Sequence[Mapping[str, float]],
    metrics: Mapping[str, Metric],
    floor: str = "",
) -> list[Row]:
    """One comparison a metric of samples that were taken in turn."""
    return [
        row_of(case, name, [(a[name], b[name]) for a, b in zip(ours, peer, strict=True)], held, floor)
        for name, held in metrics.items()
    ]


def scaled(row: Row, factor: float) -> Row:
    """The same comparison in another unit."""
    return replace(row, ours=row.ours * factor, peer=row.peer * factor)
