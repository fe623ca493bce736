"""Gradients of a case against central differences: of the server's own numbers, and of ONNX's reference evaluator."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from gradient_cases import Array, Case
from gradient_server import Evaluator, Point
from onnx.reference import ReferenceEvaluator

from gradwire.errors import GradwireError
from gradwire.session import Session

_RELATIVE = 1e-5
# Of the sum of the magnitudes that the compared number is a sum of.
_ABSOLUTE = 1e-8
# A step and the points that belong to it, in the order in which they are tried: a kink, a strong curvature or
# cancellation spoils some of them.
_ATTEMPTS = ((0, 1e-5), (0, 1e-6), (0, 1e-4), (1, 1e-5), (2, 1e-6))
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass
class Verdict:
    """How one case ended: "passed", "failed", or why it was not judged."""

    first: str
    reference: str
    second: str
    reason: str = ""


def _normal(generator: np.random.Generator, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.asarray(generator.standard_normal(array.shape)) for name, array in arrays.items()}


class _Directions:
    """Random cotangents and directions for a case, and the points that the differences are taken at."""

    def __init__(self, case: Case, xs: dict[str, Array], ys: dict[str, Array], step: float) -> None:
        generator = np.random.default_rng(7)
        self.step = step
        self.ws = _normal(generator, ys)
        self.vs = _normal(generator, xs)
        self.zs = _normal(generator, xs)
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


def _first_order(base: Point, points: list[Point], along: _Directions) -> str:
    size = _magnitude(base.outputs, along.ws)
    for i, u in enumerate(along.us):
        exact, scale = _along(base.gradients, u)
        problem = _differ(exact, points[2 * i].loss, points[2 * i + 1].loss, along.step, scale, size)
        if problem:
            return f"order 1 in {', '.join(u)}: {problem}"
    return ""


def _second_order(base: Point, points: list[Point], along: _Directions, xs: dict[str, Array]) -> str:
    size = _magnitude(base.gradients, along.vs) + _magnitude(xs, along.zs)
    for i, u in enumerate(along.us):
        exact, scale = _along(base.seconds, u)
        problem = _differ(exact, points[2 * i].second, points[2 * i + 1].second, along.step, scale, size)
        if problem:
            return f"order 2 in {', '.join(u)}: {problem}"
    # g is linear in w.
    linear, scale = _along({name: base.seconds[f"check/w/{name}"] for name in along.ws}, along.ws)
    product, _ = _along(base.gradients, along.vs)
    if abs(linear - product) > _RELATIVE * abs(product) + _ABSOLUTE * (1 + scale):
        return f"order 2 in the cotangent: gradient says {linear:.9g}, first order says {product:.9g}"
    return ""


class _Reference:
    """The reference evaluator's value of the case's outputs."""

    def __init__(self, case: Case, arrays: Mapping[str, Array]) -> None:
        self._evaluator = ReferenceEvaluator(case.model)
        self._arrays = arrays
        self._outputs = case.outputs

    def outputs(self, xs: Mapping[str, Array]) -> dict[str, Array]:
        """By name."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = self._evaluator.run(self._outputs, {**self._arrays, **xs})
        return {name: np.asarray(array) for name, array in zip(self._outputs, found, strict=True)}


def _reference(case: Case, arrays: Mapping[str, Array], base: Point, along: _Directions) -> str:
    """The gradient against differences of the reference evaluator: "passed", "failed: ..." or why it cannot be judged."""
    try:
        reference = _Reference(case, arrays)
        ys = reference.outputs(along.points[0])
        losses = []
        for point in along.points[1:3]:
            losses.append(sum(float((along.ws[k] * y).sum()) for k, y in reference.outputs(point).items()))
    except Exception as error:  # The evaluator raises whatever NumPy does.
        return f"cannot run it: {type(error).__name__}"
    exact, scale = _along(base.gradients, along.us[0])
    size = _magnitude(base.outputs, along.ws)
    problem = _differ(exact, losses[0], losses[1], along.step, scale, size)
    narrow = ""
    for name, y in ys.items():
        expected = base.outputs[name]
        gap = np.abs(y - expected).max(initial=0) if y.shape == expected.shape else np.inf
        if not gap <= 1e-6 * max(1, np.abs(expected).max(initial=0)):
            return "failed: its outputs differ from the server's"
        if y.dtype != np.float64 or gap > 1e-12 * max(1, np.abs(expected).max(initial=0)):
            narrow = "computes in less than float64"
    if problem:
        return narrow or f"failed: {problem}"
    return "passed"


def _attempt(session: Session, case: Case, nudge: int, step: float) -> Verdict:
    arrays = case.nudged(nudge)
    xs = {name: arrays[name] for name in case.wrt}
    evaluator = Evaluator(session, case, arrays)
    along = _Directions(case, xs, evaluator.forward(xs), step)
    base, *first = evaluator.at(along.points, along.ws)
    problem = _first_order(base, first, along)
    verdict = Verdict("failed" if problem else "passed", "", "failed", problem)
    verdict.reference = _reference(case, arrays, base, along)
    if verdict.reference.startswith("failed") and not verdict.reason:
        verdict.reason = f"reference {verdict.reference}"
    try:
        base, *second = evaluator.at(along.points, along.ws, along.vs, along.zs)
    except GradwireError as error:
        verdict.reason = verdict.reason or f"order 2: {type(error).__name__}: {error}"
        return verdict
    problem = _second_order(base, second, along, xs)
    if problem:
        verdict.reason = verdict.reason or problem
    else:
        verdict.second = "passed"
    return verdict


def _keep_finite(session: Session, case: Case) -> None:
    """Takes outputs that are not finite, such as masked scores, off the case, as long as others remain."""
    arrays = case.nudged()
    ys = Evaluator(session, case, arrays).forward({name: arrays[name] for name in case.wrt})
    finite = [name for name in case.outputs if np.isfinite(ys[name]).all()]
    case.outputs = finite or case.outputs


def judge(session: Session, case: Case) -> Verdict:
    """The best verdict over a few steps and points: a gradient that is wrong is wrong at all of them."""
    best = Verdict("failed", "", "failed")
    try:
        _keep_finite(session, case)
    except GradwireError as error:
        return _refused(error)
    for nudge, step in _ATTEMPTS:
        try:
            verdict = _attempt(session, case, nudge, step)
        except GradwireError as error:
            return _refused(error)
        if not verdict.reason:
            return verdict
        if not best.reason or _rank(verdict) > _rank(best):
            best = verdict
    return best


def _refused(error: GradwireError) -> Verdict:
    return Verdict("failed", "", "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])


def _rank(verdict: Verdict) -> tuple[bool, bool, bool]:
    return (
        verdict.first == "passed",
        not verdict.reference.startswith("failed"),
        verdict.second == "passed",
    )
