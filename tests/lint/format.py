"""clang-format on every C++ and CUDA source. With --fix it rewrites them."""

import argparse
import pathlib
import subprocess
import sys

import sources

CLANG_FORMAT = pathlib.Path(sys.executable).parent / "clang-format"


def check(fix: bool = False) -> list[str]:
    """Names what is not formatted; with `fix`, formats it."""
    paths = [str(path) for path in sources.files(*sources.CPP_SUFFIXES)]
    if not paths:
        return []
    mode = ["-i"] if fix else ["--dry-run", "-Werror"]
    done = subprocess.run(
        [str(CLANG_FORMAT), *mode, *paths], cwd=sources.ROOT, capture_output=True, text=True
    )
    badly = {line.split(":")[0] for line in done.stderr.splitlines() if "clang-format-violations" in line}
    problems = [f"{sources.relative(pathlib.Path(path))}: not formatted: make format" for path in sorted(badly)]
    if done.returncode and not problems:
        problems.append(f"clang-format failed: {done.stderr.strip()}")
    return problems


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fix", action="store_true")
    found = check(parser.parse_args().fix)
    print("\n".join(found) if found else "formatted")
    sys.exit(1 if found else 0)
