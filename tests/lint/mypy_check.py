"""mypy on the Python client and on the tests' own tools."""

import os
import subprocess
import sys

import sources

CLIENT = sources.ROOT / "client" / "python"
# From which folder, where the imports start, besides the client; and what.
TARGETS = [("client/python", "gradwire"), ("tests/lint", "."), ("tests", "run.py"), ("tests/common", "."), ("tests/clients", ".")]


def check() -> list[str]:
    """mypy's complaints."""
    problems = []
    for folder, target in TARGETS:
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--no-error-summary", "--strict", target,
             f"--config-file={CLIENT / 'pyproject.toml'}", f"--cache-dir={sources.ROOT / 'build' / 'mypy'}"],
            cwd=sources.ROOT / folder, env={**os.environ, "MYPYPATH": f"{CLIENT}:{sources.ROOT / 'tests' / 'common'}"},
            capture_output=True, text=True,
        )  # fmt: skip
        output = (done.stdout + done.stderr).splitlines()
        problems += [f"{folder}/{line}" for line in output] if done.returncode else []
    return problems
