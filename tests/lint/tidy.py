"""clang-tidy on every C++ source of the build, in parallel; files that have not changed are not read again."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

import layers
import sources

CLANG_TIDY = pathlib.Path(sys.executable).parent / "clang-tidy"
CONFIGURATION = sources.ROOT / ".clang-tidy"
WORK = sources.ROOT / "build" / "lint"
INCLUDE_ROOTS = [sources.ROOT, sources.ROOT / "server", sources.ROOT / "client" / "cpp" / "include"]
# -Werror: what is an error here, .clang-tidy says. -fopenmp: clang refuses OpenMP code that GCC accepts.
DROPPED_FLAGS = {"-Werror", "-fopenmp"}


def commands(preset: str) -> dict[pathlib.Path, dict[str, object]]:
    """The build's compile commands of hand-written files, as clang-tidy is to read them."""
    database = sources.ROOT / "build" / preset / "compile_commands.json"
    ours = [sources.ROOT / folder for folder in ("server", "client", "tests")]
    result = {}
    for entry in json.loads(database.read_text()):
        path = pathlib.Path(entry["file"])
        if path.suffix in (".cc", ".cpp") and any(path.is_relative_to(folder) for folder in ours):
            words = [word for word in shlex.split(entry["command"]) if word not in DROPPED_FLAGS]
            if "ccache" in words[0]:
                words = words[1:]
            result[path] = {"directory": entry["directory"], "file": str(path), "arguments": words}
    return result


def closure(path: pathlib.Path, seen: set[pathlib.Path]) -> set[pathlib.Path]:
    """The file and every file of this repository that it includes, directly or not."""
    if path not in seen:
        seen.add(path)
        for _, included in layers.includes(path):
            for candidate in (path.parent / included, *(root / included for root in INCLUDE_ROOTS)):
                if candidate.exists():
                    closure(candidate.resolve(), seen)
                    break
    return seen


def fingerprint(path: pathlib.Path, command: dict[str, object]) -> str:
    """Changes when the outcome of clang-tidy on this file may change."""
    digest = hashlib.sha256(json.dumps(command).encode())
    shared = [CONFIGURATION, sources.ROOT / "tests" / "requirements.txt", pathlib.Path(__file__)]
    for file in [*shared, *sources.files(".proto"), *sorted(closure(path, set()))]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def openmp_headers() -> str:
    """The folder of GCC's omp.h: the clang-tidy package has none."""
    done = subprocess.run(["g++", "-print-file-name=include/omp.h"], capture_output=True, text=True)
    return str(pathlib.Path(done.stdout.strip()).parent)


def tidy(path: pathlib.Path, headers: str) -> list[str]:
    """clang-tidy's complaints about one file and the headers of ours that it includes."""
    done = subprocess.run(
        [str(CLANG_TIDY), "-p", str(WORK), "--quiet", f"--config-file={CONFIGURATION}",
         "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wthread-safety",
         # GCC's omp.h, the only one at hand, uses an attribute in a form that clang does not know.
         f"--extra-arg=-idirafter{headers}", "--extra-arg=-D__malloc__(...)=", str(path)],
        capture_output=True, text=True,
    )  # fmt: skip
    if not done.returncode:
        return []
    found = [line.replace(f"{sources.ROOT}/", "") for line in done.stdout.splitlines() if ": error: " in line]
    return found or [f"{sources.relative(path)}: clang-tidy failed: {done.stderr.strip()[-2000:]}"]


def check(preset: str) -> list[str]:
    """clang-tidy's complaints about all files, each once."""
    if not (sources.ROOT / "build" / preset / "compile_commands.json").exists():
        return [f"build/{preset} is not configured: make configure"]
    database = commands(preset)
    (WORK / "clean").mkdir(parents=True, exist_ok=True)
    (WORK / "compile_commands.json").write_text(json.dumps(list(database.values())))
    stamps = {path: WORK / "clean" / fingerprint(path, command) for path, command in database.items()}
    for stale in set((WORK / "clean").iterdir()) - set(stamps.values()):
        stale.unlink()
    todo = [path for path, stamp in stamps.items() if not stamp.exists()]
    headers = openmp_headers()
    problems: set[str] = set()
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path, found in zip(todo, pool.map(lambda path: tidy(path, headers), todo)):
            problems.update(found)
            if not found:
                stamps[path].touch()
    return sorted(problems)
