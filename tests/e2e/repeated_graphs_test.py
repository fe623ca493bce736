"""Sequences and control flow in commands that come again: a plan answers only where data decided nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx.parser
import pytest
from metrics_test import CALL_S, Metered, value

import gradwire
from conftest import server_binary
from gradwire import Session, commands, dtypes
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire.dtypes import Array
from gradwire.testing import Server
from graphs import IF, POWER, load


class Twins:
    """A session whose server keeps plans, and one whose server traces each command; both get the same commands."""

    def __init__(self, metered: Metered, cached: Session, traced: Session) -> None:
        self.metered = metered
        self.sessions = (cached, traced)

    def load(self, text: str) -> None:
        for session in self.sessions:
            load(session, text)

    def put(self, **arrays: Any) -> None:
        for session in self.sessions:
            session.put(arrays)

    def run(self, *requests: Any) -> list[Any]:
        """What the requests fetch together, the same from both."""
        found = []
        for session in self.sessions:
            answers = session.run(requests)
            forwards = [pair for pair in zip(requests, answers, strict=True) if isinstance(pair[0], pb.ForwardRequest)]
            found.append([item for request, answer in forwards for item in commands.fetched(request, answer)])
        assert str(found[0]) == str(found[1])
        assert [raw(item) for item in found[0]] == [raw(item) for item in found[1]]
        return found[0]

    def forward(self, *fetch: str, **feeds: Any) -> list[Any]:
        return self.run(commands.forward(program="p", feeds=feeds, fetch=fetch))

    def plans(self) -> float:
        """How many commands were answered from a plan so far."""
        return value(self.metered.samples(), "gradwire_plans_total", plan="cached")


def raw(item: dtypes.Item) -> Any:
    if item is None:
        return None
    return [raw(element) for element in item] if isinstance(item, list) else (item.dtype, item.shape, item.tolist())


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Metered, Server]]:
    with Metered(server_binary(), ["--metrics_port=0"]) as metered:
        with Server(server_binary(), ["--max_session_plans=0"]) as plain:
            yield metered, plain


@pytest.fixture
def twins(servers: tuple[Metered, Server]) -> Iterator[Twins]:
    with gradwire.connect(servers[0].target, timeout=CALL_S) as a, gradwire.connect(servers[1].target, timeout=CALL_S) as b:
        with a.session(seed=5) as cached, b.session(seed=5) as traced:
            yield Twins(servers[0], cached, traced)


CHOICE = """agraph (bool c, double[n] x) => (double[n] y) {
  y = If(c) <then_branch = a () => (double[n] r) { r = Mul(x, x) }, else_branch = b () => (double[n] r) { r = Neg(x) }>
}"""


def test_a_bound_condition_is_looked_at(twins: Twins) -> None:
    twins.load(CHOICE)
    before = twins.plans()
    for k, c in enumerate([True, True, True, True, False, False, False, False, True, True]):
        if k in (0, 4, 8):
            twins.put(c=np.array(c))
        x = np.array([1.0, 2.0]) + k
        (y,) = twins.forward("y", x=x)
        np.testing.assert_array_equal(y, x * x if c else -x)
    assert twins.plans() - before >= 4


def test_a_given_condition_is_looked_at(twins: Twins) -> None:
    twins.load(CHOICE)
    x = np.array([3.0])
    for c in (True, False, True, True, False, False, True):
        (y,) = twins.forward("y", x=x, c=np.array(c))
        np.testing.assert_array_equal(y, x * x if c else -x)


def test_a_condition_on_what_is_given_is_looked_at(twins: Twins) -> None:
    twins.load(IF)
    for sign in (1, 1, 1, -1, -1, 1):
        x = sign * np.array([1.0, 2.0])
        (y,) = twins.forward("y", x=x)
        assert y == (x**3 if sign > 0 else x**2).sum()


def test_a_condition_on_what_is_trained_is_looked_at(twins: Twins) -> None:
    """w goes up by 1 while it is below 2, and down by 2w otherwise."""
    text = """agraph (double w) => (double loss) {
      two = Constant<value = double {2.0}>()
      low = Less(w, two)
      loss = If(low) <then_branch = a () => (double r) { r = Neg(w) }, else_branch = b () => (double r) { r = Mul(w, w) }>
    }"""
    twins.load(text)
    for session in twins.sessions:
        session.put({"w": np.array(-0.5)}, requires_grad=True)
    w = -0.5
    for _ in range(9):
        step = commands.step(pb.Sgd(lr=1.0), zero_grad=True)
        (loss,) = twins.run(
            commands.forward(program="p", outputs=["loss"], fetch=["loss"]), commands.backward(["loss"]), step
        )
        assert loss == (-w if w < 2 else w * w)
        w = w + 1 if w < 2 else -w


def test_trips_are_counted_anew(twins: Twins) -> None:
    twins.load(POWER)
    before = twins.plans()
    for n in (2, 3, 1, 0):
        twins.put(n=np.array(n))
        for k in range(4):
            y, steps = twins.forward("y", "steps", x=np.array(k + 2.0))
            assert y == (k + 2.0) ** n and steps.shape == (n,)
    assert twins.plans() - before >= 6
    for n in (2, 2, 2, 3, 3, 1, 0, 2):
        y, steps = twins.forward("y", "steps", x=np.array(2.0), n=np.array(n))
        assert y == 2.0**n and steps.shape == (n,)


APPEND = """agraph (seq(double[k]) s, optional(double[k]) o, double[k] x) => (seq(double[k]) t, double[m] all, bool has) {
  t = SequenceInsert(s, x)
  all = ConcatFromSequence<axis = 0>(t)
  has = OptionalHasElement(o)
}"""


def test_sequences_of_other_lengths(twins: Twins) -> None:
    twins.load(APPEND)
    before = twins.plans()
    for k, length in enumerate([1, 1, 1, 1, 3, 3, 3, 0, 0, 0, 1, 3, 0]):
        s = [np.full(2, 10.0 * k + i) for i in range(length)]
        x = np.full(2, -1.0 * k)
        o = None if length == 1 else x
        t, whole, has, same = twins.forward("t", "all", "has", "s", s=s, o=o, x=x)
        np.testing.assert_array_equal(t, [*s, x])
        np.testing.assert_array_equal(whole, np.concatenate([*s, x]))
        assert has == (o is not None)
        np.testing.assert_array_equal(same, s)
    assert twins.plans() - before >= 5


def test_sequences_of_other_shapes_and_types(twins: Twins) -> None:
    count = [commands.node("SequenceConstruct", ["x", "y"], ["s"]), commands.node("SequenceAt", ["s", "at"], ["e"])]
    twins.put(at=np.array(1))
    for dtype in (np.float32, np.int64):
        for extent in (2, 2, 2, 3, 2):
            x = np.arange(extent).astype(dtype)
            y = np.arange(extent + 1).astype(dtype)
            feeds: dict[str, Array] = {"x": x, "y": y}
            s, e = twins.run(commands.forward(count, feeds=feeds, fetch=["s", "e"]))
            np.testing.assert_array_equal(s[0], x)
            np.testing.assert_array_equal(e, y)


def test_lengths_that_data_decides(twins: Twins) -> None:
    split = commands.node("SplitToSequence", ["x", "parts"], ["s"])
    for parts in ([2, 2], [1, 3], [4]):
        twins.put(parts=np.array(parts))
        for k in range(4):
            x = np.arange(4.0) + k
            (s,) = twins.run(commands.forward([split], feeds={"x": x}, fetch=["s"]))
            assert [len(part) for part in s] == parts
            np.testing.assert_array_equal(np.concatenate(s), x)
    for parts in ([2, 2], [2, 2], [2, 2], [1, 3], [3, 1]):
        feeds = {"x": np.arange(4.0), "parts": np.array(parts)}
        (s,) = twins.run(commands.forward([split], feeds=feeds, fetch=["s"]))
        assert [len(part) for part in s] == parts


def test_sequences_of_strings(twins: Twins) -> None:
    join = [
        commands.node("SequenceConstruct", ["a", "b"], ["s"]),
        commands.node("SequenceInsert", ["s", "a"], ["t"]),
        commands.node("ConcatFromSequence", ["t"], ["all"], {"axis": 0}),
    ]
    for words in (["x", "yy"], ["x", "yy"], ["x", "yy"], ["zzz", ""], ["x", "yy"], ["ö", "x" * 99]):
        feeds = {"a": np.array(words[:1], object), "b": np.array(words, object)}
        t, whole = twins.run(commands.forward(join, feeds=feeds, fetch=["t", "all"]))
        assert [part.tolist() for part in t] == [words[:1], words, words[:1]]
        assert whole.tolist() == [words[0], *words, words[0]]


def test_a_random_number_that_decides_is_drawn_anew(twins: Twins) -> None:
    """Also where the span that drew it is computed again, with the same number, for the way back."""
    twins.load(
        """agraph (double[n] w, double[n] x) => (double loss, bool high) {
          y = Mul(w, x)
          u = RandomUniformLike(y)
          d = Mul(y, u)
          total = ReduceSum<keepdims = 0>(u)
          half = Constant<value = double {4.0}>()
          high = Greater(total, half)
          loss = If(high) <
            then_branch = a () => (double r) { r = ReduceSum<keepdims = 0>(d) },
            else_branch = b () => (double r) { dd = Mul(d, d)  r = ReduceSum<keepdims = 0>(dd) }
          >
        }"""
    )
    for session in twins.sessions:
        session.put({"w": np.ones(8)}, requires_grad=True)
    seen = set()
    for _ in range(12):
        feeds = {"x": np.ones(8)}
        forward = commands.forward(program="p", feeds=feeds, outputs=["loss"], fetch=["loss", "high"], checkpoint=2)
        loss, high = twins.run(forward, commands.backward(["loss"]))
        seen.add((loss.item(), high.item()))
        twins.run(commands.forward([commands.node("Identity", ["grad/w"], ["g"])], fetch=["g"]))
    assert len(seen) == 12 and {high for _, high in seen} == {True, False}


def test_gradients_of_a_branch(twins: Twins) -> None:
    """A Gradient around an If, whose condition is bound."""
    text = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 21, "ai.onnx.preview.training": 1]>
        agraph (bool c, double x) => (double y, double dx) {
          y = If(c) <then_branch = a () => (double r) { r = Mul(x, x) }, else_branch = b () => (double r) { r = Neg(x) }>
          dx = ai.onnx.preview.training.Gradient<xs = ["x"], y = "y">(x)
        }"""
    )
    for session in twins.sessions:
        session.load_program("p", text.SerializeToString())
    for k in range(9):
        c = k % 8 < 4
        if k % 4 == 0:
            twins.put(c=np.array(c))
        y, dx = twins.forward("y", "dx", x=np.array(k + 1.0))
        assert (y, dx) == (((k + 1.0) ** 2, 2 * (k + 1.0)) if c else (-(k + 1.0), -1))
