"""Runs parts of the test suite and ends with the line `N passed, N failed`.

Each part is a command that leaves a JUnit-style XML file (GoogleTest, pytest and tests/lint all write
one); its test cases are what is counted. Every part runs, whatever became of those before it. A part
that breaks off, times out or leaves no result counts as one failure.
"""

import argparse
import dataclasses
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "test-results"
TIMEOUT_SECONDS = 3600


@dataclasses.dataclass
class Outcome:
    """The test cases of one part."""

    passed: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)
    not_run: list[str] = dataclasses.field(default_factory=list)


# What PyTorch judges of single operators, besides what needs no PyTorch.
GRADCHECK = ("gradients", "gradcheck", "gradient_edges", "torch_kinks", "products")


def command_of(part: str, preset: str, xml: pathlib.Path, targets: str = "all") -> list[str]:
    """The command that runs `part` and writes its results to `xml`; the build makes `targets`."""
    binaries = ROOT / "build" / preset
    pytest = [sys.executable, "-m", "pytest", "-q", f"--junitxml={xml}"]
    return {
        "build": ["make", "--no-print-directory", "build", f"PRESET={preset}", f"TARGETS={targets}"],
        "tools": [*pytest, "tests/tools"],
        "lint": [sys.executable, "tests/lint/run.py", f"--xml={xml}", f"--preset={preset}"],
        "unit": [str(binaries / "gradwire_unit_tests"), "--gtest_brief=1", f"--gtest_output=xml:{xml}"],
        "ops": [str(binaries / "gradwire_op_tests"), "--gtest_brief=1", f"--gtest_output=xml:{xml}"],
        "cuda": [str(binaries / "gradwire_cuda_tests"), "--gtest_brief=1", f"--gtest_output=xml:{xml}"],
        "nvcc": [*pytest, "-rs", "tests/cuda"],
        "e2e": [*pytest, "tests/e2e"],
        "fuzz": [*pytest, "tests/fuzz"],
        "onnx": [
            *pytest,
            "-rP",
            *(f"tests/conformance/{name}_test.py" for name in ("onnx_backend", "repeated_models", "support", "precision")),
        ],
        "random": [*pytest, "tests/conformance/random_ops_test.py"],
        "clients": [*pytest, "tests/clients"],
        "deploy": [*pytest, "-rP", "tests/deploy"],
        "gradients": [*pytest, "-rP", "tests/conformance/gradients_test.py"],
        # With the score of both.
        "gradcheck": [*pytest, *(f"tests/conformance/{name}_test.py" for name in GRADCHECK)],
        "programs": [*pytest, "tests/conformance/random_programs_test.py"],
        "models": [*pytest, "-rP", "tests/conformance/model_gradients_test.py"],
    }[part]


# What the build makes for a part.
TARGETS = {
    "lint": "gradwire_raw_proto",  # a header that is generated, of sources that are not built
    "unit": "gradwire_unit_tests",
    "ops": "gradwire_op_tests",
    "cuda": "gradwire_cuda_tests",
    "nvcc": "gradwire-server gradwire_cuda_tests",
    "e2e": "gradwire-server",
    "fuzz": "gradwire_fuzz",
    "onnx": "gradwire-server",
    "random": "gradwire-server",
    "clients": "gradwire-server gradwire_client gradwire-bench",
    "deploy": "gradwire-server",
    "gradients": "gradwire-server",
    "gradcheck": "gradwire-server",
    "programs": "gradwire-server",
    "models": "gradwire-server",
}
PARTS = [
    "build",
    "tools",
    "lint",
    "unit",
    "ops",
    "cuda",
    "nvcc",
    "e2e",
    "fuzz",
    "onnx",
    "random",
    "clients",
    "deploy",
    "gradients",
    "gradcheck",
    "programs",
    "models",
]


def environment(preset: str) -> dict[str, str]:
    """What the commands find in their environment."""
    env = dict(os.environ)
    env.pop("MAKEFLAGS", None)
    env["GRADWIRE_SERVER"] = str(ROOT / "build" / preset / "gradwire-server")
    env["UBSAN_OPTIONS"] = "print_stacktrace=1"
    if preset == "tsan":
        # GCC's OpenMP runtime is not instrumented: its barriers would be reported as races.
        env["GRADWIRE_THREADS"] = env["OMP_NUM_THREADS"] = "1"
    return env


def parse(xml: pathlib.Path) -> Outcome:
    """Counts the test cases in a JUnit-style file."""
    outcome = Outcome()
    for case in ElementTree.parse(xml).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed.append(name)
        elif skipped is not None or case.get("status") == "notrun":
            reason = "disabled" if skipped is None else skipped.get("message")
            outcome.not_run.append(" ".join(f"{name}: {reason}".split()))
        else:
            outcome.passed += 1
    return outcome


def run_part(part: str, preset: str, targets: str = "all") -> Outcome:
    """Runs one part; what it prints goes to the terminal."""
    xml = RESULTS / f"{preset}-{part}.xml"
    xml.unlink(missing_ok=True)
    print(f"== {part} ==", flush=True)
    started = time.monotonic()
    try:
        code = subprocess.run(
            command_of(part, preset, xml, targets), cwd=ROOT, env=environment(preset), timeout=TIMEOUT_SECONDS
        ).returncode
        problem = f"exit status {code}" if code else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)

    if part == "build":
        outcome = Outcome() if problem else Outcome(passed=1)
    else:
        try:
            outcome = parse(xml)
        except (OSError, ElementTree.ParseError):
            outcome = Outcome()
        if not outcome.passed and not outcome.failed:
            problem = problem or "no test case ran"
    if problem and not outcome.failed:
        outcome.failed.append(f"{part}: {problem}")

    seconds = time.monotonic() - started
    print(f"{part}: {outcome.passed} passed, {len(outcome.failed)} failed ({seconds:.0f} s)", flush=True)
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="release", help="the build to test")
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    arguments = parser.parse_args()

    RESULTS.mkdir(parents=True, exist_ok=True)
    targets = " ".join(TARGETS[part] for part in arguments.parts if part in TARGETS) or "all"
    outcomes = [run_part(part, arguments.preset, targets) for part in arguments.parts]
    print("== summary ==")
    for line in (line for outcome in outcomes for line in outcome.not_run):
        print(f"not run: {line}")
    for line in (line for outcome in outcomes for line in outcome.failed):
        print(f"FAILED: {line}")
    failed = sum(len(outcome.failed) for outcome in outcomes)
    print(f"{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
