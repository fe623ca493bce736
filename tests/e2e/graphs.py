"""Models with graphs among the attributes of their nodes, written in ONNX's textual syntax."""

from __future__ import annotations

from typing import Any

import onnx.parser

from gradwire import Session

HEAD = '<ir_version: 10, opset_import: ["": 21]>'


def load(session: Session, text: str, name: str = "p", **options: Any) -> Any:
    """Loads a model written in ONNX's textual syntax."""
    return session.load_program(name, onnx.parser.parse_model(f"{HEAD} {text}").SerializeToString(), **options)


def run(session: Session, *fetch: str, **feeds: Any) -> list[Any]:
    """Fetches what the program "p" makes of these."""
    return session.forward(program="p", feeds=feeds, fetch=fetch)[1]


# A cube or a square, as the sum of `x` is positive or not.
IF = """agraph (double[n] x) => (double y) {
  total = ReduceSum<keepdims = 0>(x)
  zero = Constant<value = double {0.0}>()
  positive = Greater(total, zero)
  y = If(positive) <
    then_branch = cubes () => (double r) { a = Mul(x, x)  b = Mul(a, x)  r = ReduceSum<keepdims = 0>(b) },
    else_branch = squares () => (double r) { a = Mul(x, x)  r = ReduceSum<keepdims = 0>(a) }
  >
}"""

# `x` to the power of `n`, and the powers before it.
POWER = """agraph (double x, int64 n) => (double y, double[m] steps) {
  yes = Constant<value = bool {1}>()
  one = Constant<value = double {1.0}>()
  y, steps = Loop(n, yes, one) <body = body (int64 i, bool c, double p) => (bool c2, double q, double s) {
    c2 = Identity(c)
    q = Mul(p, x)
    s = Identity(q)
  }>
}"""
