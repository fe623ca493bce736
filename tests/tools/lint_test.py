"""That lint sees what it is there to see."""

import layers
import pytest
import words


@pytest.mark.parametrize(
    ("file", "included"),
    [
        ("core/shape.h", "graph/value.h"),
        ("backend/backend.h", "graph/op.h"),
        ("graph/op.h", "ops/conv.h"),
        ("session/session.h", "rpc/wire.h"),
        ("session/session.cc", "grpcpp/grpcpp.h"),
        ("exec/plan.cc", "gradwire/v1/gradwire.pb.h"),
        ("exec/plan.cc", "oneapi/dnnl/dnnl.hpp"),
        ("ops/conv.h", "dnnl.hpp"),
        ("ops/conv.cc", "cuda_runtime.h"),
    ],
)
def test_layering_refuses(file: str, included: str) -> None:
    assert layers.problem_with(file, included)


@pytest.mark.parametrize(
    ("file", "included"),
    [
        ("rpc/service.cc", "grpcpp/grpcpp.h"),
        ("main.cc", "rpc/server.h"),
        ("ops/conv.cc", "oneapi/dnnl/dnnl.hpp"),
        ("ops/conv.cu", "backend/cuda/check.h"),
        ("ops/conv.cu", "cuda_runtime.h"),
        ("autograd/backward.cc", "graph/formula.h"),
        ("core/shape.cc", "core/shape.h"),
        ("core/shape.cc", "vector"),
    ],
)
def test_layering_allows(file: str, included: str) -> None:
    assert layers.problem_with(file, included) is None


@pytest.mark.parametrize("line", ["int x;  // NO" "LINT", "f()  # type: " "ignore"])
def test_an_exception_needs_a_reason(line: str) -> None:
    assert words.EXCEPTION.search(line) and not words.REASON.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "int x;  // NO" "LINT: a reason",
        "int x;  // NO" "LINT(a-check): a reason",
        "f()  # type: " "ignore[arg-type]",
    ],
)
def test_a_reason_is_enough(line: str) -> None:
    assert words.EXCEPTION.search(line) and words.REASON.search(line)
