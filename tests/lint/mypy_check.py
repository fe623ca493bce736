"""mypy on the Python client and on the tests' own tools."""

import subprocess
import sys

import sources

# From which folder, where the imports start and the configuration is; and what.
TARGETS = [("client/python", "gradwire"), ("tests/lint", "."), ("tests", "run.py")]


def check() -> list[str]:
    """mypy's complaints."""
    problems = []
    for folder, target in TARGETS:
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--no-error-summary", "--strict", target,
             f"--cache-dir={sources.ROOT / 'build' / 'mypy'}"],
            cwd=sources.ROOT / folder, capture_output=True, text=True,
        )  # fmt: skip
        output = (done.stdout + done.stderr).splitlines()
        problems += [f"{folder}/{line}" for line in output] if done.returncode else []
    return problems
