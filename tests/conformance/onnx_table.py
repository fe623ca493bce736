"""docs/onnx.md: the ONNX tests that do not pass, each with its reason.

`python tests/conformance/onnx_table.py` writes the page from build/onnx_backend_results.csv, which `make test-onnx`
leaves; the test run checks that the page is current.
"""

from __future__ import annotations

import csv
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "onnx.md"
RESULTS = ROOT / "build" / "onnx_backend_results.csv"

# Why a test does not pass: a pattern for `name: what it failed with`, a headline, and what is behind it. The first
# that matches counts; a failure that none explains fails the run.
REASONS = [
    (
        r"^bernoulli",
        "Random numbers of another generator",
        """The expected output is what `numpy.random.binomial` answered when the suite was made: from NumPy's Mersenne
        Twister, seeded with 0 and then advanced by the ten draws that made the input. Those draws are no part of the
        models, of which four carry no seed either, and the other two the seed 0: with NumPy's own generator and that
        seed the answer is another. Outputs are compared element by element. ONNX says of these tests that an
        implementation need not reproduce them. The expanded ones compare the same draw with `RandomUniformLike`'s.
        gradwire draws with Philox; what it draws is tested by its distribution.""",
    ),
    (
        r"^dft_inverse",
        "Rounding of the stored output",
        """Ten elements whose exact value is 0 are stored as 1.9e-7: what NumPy's float32 transform leaves over. The
        suite allows 1e-7. gradwire transforms in double precision and rounds once, so that it answers 7e-16. Computing in
        float32 would not do, either: of three orders of the butterflies that were tried only NumPy's own leaves that much
        over, the other two leave nothing.""",
    ),
    (
        r"^loop16_seq_none: TypeError",
        "The suite cannot compare the output",
        """The expected sequence holds an array without dimensions, of which the suite's comparison asks the length.
        tests/e2e/control_flow_test.py compares the output.""",
    ),
    (r"operator ai\.onnx\.ml::", "ai.onnx.ml", "Ensembles of trees are not there."),
    (r"operator ImageDecoder is not", "ImageDecoder", "Image files are not decoded."),
]


def reason_of(name: str, error: str) -> int | None:
    """The index in REASONS of what explains a failure."""
    line = f"{name}: {error}"
    return next((i for i, (pattern, _, _) in enumerate(REASONS) if re.search(pattern, line)), None)


def page(results: Iterable[tuple[str, bool, str]]) -> str:
    """The page for (test, passed, error) of every test. Raises ValueError for a failure that REASONS does not explain."""
    rows = sorted(results)
    failed: dict[int, list[str]] = {}
    for test, passed, error in rows:
        if passed:
            continue
        name = test.removeprefix("test_").removesuffix("_cpu")
        reason = reason_of(name, error)
        if reason is None:
            raise ValueError(f"{test} fails for a reason that onnx_table.py does not know: {error}")
        failed.setdefault(reason, []).append(name)
    count = sum(map(len, failed.values()))
    lines = [
        "# ONNX's own tests",
        "",
        "<!-- Made by tests/conformance/onnx_table.py. -->",
        "",
        f"Of the {len(rows)} CPU tests of onnx 1.22.0's backend suite {len(rows) - count} pass (`make test-onnx`).",
        f"The {count} others, by reason:",
        "",
        "| reason | tests |",
        "|---|---|",
    ]
    order = sorted(failed, key=lambda reason: (-len(failed[reason]), reason))
    lines += [f"| {REASONS[reason][1]} | {len(failed[reason])} |" for reason in order]
    for reason in order:
        _, title, text = REASONS[reason]
        names = ", ".join(f"`{name}`" for name in failed[reason])
        lines += ["", f"## {title}", "", *_wrapped(text), "", *_wrapped(names)]
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), 118, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    with RESULTS.open(newline="") as file:
        results = [(row["test"], row["outcome"] == "passed", row["reason"]) for row in csv.DictReader(file)]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
