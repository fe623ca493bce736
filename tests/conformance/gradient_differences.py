"""Gradients of a case against central differences: of the server's own numbers, and of ONNX's reference evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from gradient_cases import Array, Case
from gradient_reference import Reference
from gradient_server import Evaluator, Further, Point

from gradwire.errors import GradwireError
from gradwire.session import Session

_RELATIVE = 1e-5
# Of the sum of the magnitudes that the compared number is a sum of.
_ABSOLUTE = 1e-8
# A step and the points that belong to it, in the order in which they are tried: a kink, a strong curvature or
# cancellation spoils some of them.
_ATTEMPTS = ((0, 1e-5), (0, 1e-6), (0, 1e-4), (1, 1e-5), (2, 1e-6))
_EPSILON = float(np.finfo(np.float64).eps)
# For a reference that computes in float32: the step of a five-point formula, and the agreement to ask for.
_NARROW_STEP = 0.002
_NARROW_RELATIVE = 1e-3
_NARROW_EPSILON = float(np.finfo(np.float32).eps)


@dataclass
class Verdict:
    """How one case ended: "passed", "failed", or why it was not judged. `orders`: one entry an order, from the first."""

    orders: list[str]
    reference: str
    reason: str = ""


def _normal(generator: np.random.Generator, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.asarray(generator.standard_normal(array.shape)) for name, array in arrays.items()}


class _Directions:
    """Random cotangents and directions for a case, and the points that the differences are taken at."""

    def __init__(self, case: Case, xs: dict[str, Array], ys: dict[str, Array], step: float) -> None:
        generator = np.random.default_rng(7)
        self.step = step
        self.xs = xs
        self.ws = _normal(generator, ys)
        self.further = [Further(_normal(generator, xs), _normal(generator, xs)) for _ in range(2)]
        joint = _normal(generator, xs)
        # All inputs together, and each alone where there are several.
        alone = [{name: joint[name]} for name in case.wrt] if len(case.wrt) > 1 else []
        self.us = [joint, *alone]
        self.points = [xs]
        for u in self.us:
            self.points += [self.moved(xs, u, step), self.moved(xs, u, -step)]

    @staticmethod
    def moved(xs: dict[str, Array], u: dict[str, Array], step: float) -> dict[str, Array]:
        """The point a step along u."""
        return {name: np.asarray(x + step * u[name]) if name in u else x for name, x in xs.items()}


def _differ(exact: float, plus: float, minus: float, step: float, scale: float, size: float) -> str:
    """What is wrong with a directional derivative, "" when nothing is. `size`: magnitude of what was subtracted."""
    numeric = (plus - minus) / (2 * step)
    allowed = _RELATIVE * max(abs(exact), abs(numeric)) + _ABSOLUTE * (1 + scale) + 4 * _EPSILON * size / step
    if np.isfinite(numeric) and abs(exact - numeric) <= allowed:
        return ""
    return f"gradient says {exact:.9g}, differences say {numeric:.9g}"


def _along(gradients: Mapping[str, Array], u: Mapping[str, Array]) -> tuple[float, float]:
    """A gradient's product with a direction, and the sum of the magnitudes of its terms."""
    products = [gradients[name] * u[name] for name in u]
    return float(sum(p.sum() for p in products)), float(sum(np.abs(p).sum() for p in products))


def _magnitude(a: Mapping[str, Array], b: Mapping[str, Array]) -> float:
    return float(sum(np.abs(a[name] * b[name]).sum() for name in b))


def _order(k: int, points: list[Point], along: _Directions) -> str:
    """What is wrong with gradients[k], "" when nothing is."""
    base = points[0]
    size = _magnitude(base.outputs, along.ws)
    if k:
        size = _magnitude(base.gradients[k - 1], along.further[k - 1].vs) + _magnitude(along.xs, along.further[k - 1].zs)
    for i, u in enumerate(along.us):
        exact, scale = _along(base.gradients[k], u)
        plus, minus = points[1 + 2 * i].numbers[k], points[2 + 2 * i].numbers[k]
        problem = _differ(exact, plus, minus, along.step, scale, size)
        if problem:
            return f"order {k + 1} in {', '.join(u)}: {problem}"
    return _linear(base, along) if k == 1 else ""


def _linear(base: Point, along: _Directions) -> str:
    """What is wrong with the gradient of s1 in the cotangents: s1 is linear in them but for x * z."""
    linear, scale = _along({name: base.gradients[1][f"check/w/{name}"] for name in along.ws}, along.ws)
    product, _ = _along(base.gradients[0], along.further[0].vs)
    if abs(linear - product) > _RELATIVE * abs(product) + _ABSOLUTE * (1 + scale):
        return f"order 2 in the cotangent: gradient says {linear:.9g}, first order says {product:.9g}"
    return ""


def _gap(ys: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest difference of two sets of arrays, relative to the largest element of each array."""
    worst = 0.0
    for name, y in ys.items():
        if y.shape != expected[name].shape:
            return np.inf
        gap = np.abs(y - expected[name]).max(initial=0) / max(1, np.abs(expected[name]).max(initial=0))
        worst = max(worst, float(gap))
    return worst


def _reference(case: Case, arrays: Mapping[str, Array], base: Point, along: _Directions) -> str:
    """The gradient against differences of the reference evaluator: "passed", "failed: ..." or why it cannot be judged."""
    try:
        reference = Reference(case, arrays)
        ys = reference.outputs(along.xs)
    except Exception as error:  # The evaluator raises whatever NumPy does.
        return f"cannot run it: {type(error).__name__}"
    gap = _gap(ys, base.outputs)
    narrow = gap > 1e-12 or any(y.dtype != np.float64 for y in ys.values())
    # The comparison also takes NaN for a difference.
    if not gap <= (1e-5 if narrow else 1e-6):
        return "failed: its outputs differ from the server's"

    def loss(steps: float) -> float:
        return sum(float((along.ws[k] * y).sum()) for k, y in reference.outputs(along.moved(along.xs, u, steps)).items())

    u = along.us[0]
    exact, scale = _along(base.gradients[0], u)
    size = _magnitude(base.outputs, along.ws)
    problem = _differ(exact, loss(along.step), loss(-along.step), along.step, scale, size)
    if problem and narrow:
        problem = _differ_narrow(exact, loss, scale, size)
    return f"failed: {problem}" if problem else "passed"


def _differ_narrow(exact: float, loss: Callable[[float], float], scale: float, size: float) -> str:
    """As `_differ`, where the function is known to float32 precision only."""
    step = _NARROW_STEP
    numeric = (8 * (loss(step) - loss(-step)) - (loss(2 * step) - loss(-2 * step))) / (12 * step)
    allowed = _NARROW_RELATIVE * max(abs(exact), abs(numeric), scale) + 4 * _NARROW_EPSILON * size / step
    if np.isfinite(numeric) and abs(exact - numeric) <= allowed:
        return ""
    return f"gradient says {exact:.9g}, differences in float32 say {numeric:.9g}"


def _attempt(session: Session, case: Case, nudge: int, step: float, orders: int) -> Verdict:
    arrays = case.nudged(nudge)
    xs = {name: arrays[name] for name in case.wrt}
    evaluator = Evaluator(session, case, arrays)
    along = _Directions(case, xs, evaluator.forward(xs), step)
    # The first order alone, so that a refusal of a higher one is told apart.
    points = evaluator.at(along.points, along.ws)
    problems = [_order(0, points, along)]
    verdict = Verdict([], _reference(case, arrays, points[0], along))
    try:
        points = evaluator.at(along.points, along.ws, along.further[: orders - 1])
        problems += [_order(k, points, along) for k in range(1, orders)]
    except GradwireError as error:
        problems += [f"higher orders: {type(error).__name__}: {error}"] * (orders - 1)
    verdict.orders = ["failed" if problem else "passed" for problem in problems]
    if verdict.reference.startswith("failed"):
        problems.append(f"reference {verdict.reference}")
    verdict.reason = next(filter(None, problems), "")
    return verdict


def differentiable_after_all(session: Session, case: Case) -> str:
    """For an operator that is declared not differentiable: what differences of two sizes agree on, "" for nothing."""
    arrays = case.nudged()
    xs = {name: arrays[name] for name in case.wrt}
    evaluator = Evaluator(session, case, arrays)
    ys = evaluator.forward(xs)
    if _gap(evaluator.forward(xs), ys) > 0:
        return ""  # It draws random numbers.
    slopes = []
    for step in (1e-4, 1e-5):
        along = _Directions(case, xs, ys, step)
        sums = []
        for point in along.points[1:3]:
            found = evaluator.forward(point)
            if any(found[name].shape != ys[name].shape for name in ys):
                return ""
            sums.append(sum(float((along.ws[name] * y).sum()) for name, y in found.items()))
        slopes.append((sums[0] - sums[1]) / (2 * step))
    if abs(slopes[0]) > 1e-6 and abs(slopes[0] - slopes[1]) <= 1e-2 * abs(slopes[0]):
        return f"{case.name}: differences say {slopes[0]:.6g} and {slopes[1]:.6g}"
    return ""


def _keep_finite(session: Session, case: Case) -> None:
    """Takes outputs that are not finite, such as masked scores, off the case, as long as others remain."""
    arrays = case.nudged()
    ys = Evaluator(session, case, arrays).forward({name: arrays[name] for name in case.wrt})
    finite = [name for name in case.outputs if np.isfinite(ys[name]).all()]
    case.outputs = finite or case.outputs


def judge(session: Session, case: Case, orders: int = 2) -> Verdict:
    """The best verdict over a few steps and points: a gradient that is wrong is wrong at all of them."""
    best = _refused("", orders)
    try:
        _keep_finite(session, case)
        for nudge, step in _ATTEMPTS:
            verdict = _attempt(session, case, nudge, step, orders)
            if not verdict.reason:
                return verdict
            if not best.reason or _rank(verdict) > _rank(best):
                best = verdict
    except GradwireError as error:
        return _refused(f"{type(error).__name__}: {' '.join(str(error).split())}"[:300], orders)
    return best


def _refused(reason: str, orders: int) -> Verdict:
    return Verdict(["failed"] * orders, "", reason)


def _rank(verdict: Verdict) -> tuple[bool, ...]:
    first, *further = (one == "passed" for one in verdict.orders)
    return first, not verdict.reference.startswith("failed"), *further
