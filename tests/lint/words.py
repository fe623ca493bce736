"""Words that must not be in the tree: postponed work, and unexplained exceptions from lint."""

import re

import sources

# Spelt so that this file does not match itself.
POSTPONED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
EXCEPTION = re.compile(r"NO" r"LINT|#\s*type:\s*ignore")
# C++: a reason follows after a colon; Python: mypy's error code in brackets is one.
REASON = re.compile(r"NO" r"LINT\w*(\([^)]*\))?\s*:\s*\w+|type:\s*ignore\[[\w,-]+\]")


def check() -> list[str]:
    """Names lines that postpone work or that silence a check without saying why."""
    problems = []
    for path in sources.files():
        for number, line in enumerate(sources.lines(path), 1):
            where = f"{sources.relative(path)}:{number}"
            if POSTPONED.search(line):
                problems.append(f"{where}: work is done or filed as an issue, not marked: {line.strip()}")
            if EXCEPTION.search(line) and not REASON.search(line):
                problems.append(f"{where}: say why the check is silenced: {line.strip()}")
    return problems
