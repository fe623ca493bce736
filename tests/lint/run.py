"""Runs every kind of lint; each is one test case in a JUnit-style file."""

import argparse
import pathlib
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import format
import layers
import mypy_check
import sizes
import tidy
import words


def run(name: str, check: Callable[[], list[str]]) -> ElementTree.Element:
    """Runs one kind and prints what it found."""
    started = time.monotonic()
    try:
        problems = check()
    except Exception as error:  # the other kinds must still run
        problems = [f"{name} broke off: {error!r}"]
    for problem in problems:
        print(problem)
    seconds = time.monotonic() - started
    print(f"lint {name}: {'failed' if problems else 'ok'} ({seconds:.1f} s)", flush=True)
    case = ElementTree.Element("testcase", classname="lint", name=name, time=f"{seconds:.3f}")
    if problems:
        ElementTree.SubElement(case, "failure", message=f"{len(problems)} problems").text = "\n".join(problems)
    return case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="release", help="whose compile commands clang-tidy reads")
    parser.add_argument("--xml", type=pathlib.Path, help="where the results go")
    arguments = parser.parse_args()

    suite = ElementTree.Element("testsuite", name="lint")
    suite.append(run("format", format.check))
    suite.append(run("sizes", sizes.check))
    suite.append(run("layers", layers.check))
    suite.append(run("words", words.check))
    suite.append(run("mypy", mypy_check.check))
    suite.append(run("clang-tidy", lambda: tidy.check(arguments.preset)))
    if arguments.xml:
        ElementTree.ElementTree(suite).write(arguments.xml)
    return 1 if suite.find("testcase/failure") is not None else 0


if __name__ == "__main__":
    sys.exit(main())
