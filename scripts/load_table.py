"""Measures README.md's table of what one server holds, and prints it in its form.

Usage: scripts/load_table.py BUILD_FOLDER   (make load-table: 2.5 minutes; the machine should do nothing else)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DURATION = "15s"
# What a row is said to be besides its flags of gradwire-bench.
ROWS = [
    ("(none): closed loop, as fast as users think", []),
    ("", ["--sessions=200", "--rate=500"]),
    ("", ["--sessions=1000", "--rate=1000", "--ramp=10s"]),
    ("", ["--sessions=10000", "--connections=8", "--rate=300", "--ramp=40s", "--timeout=60s", "--lease=5m"]),
]


def three_digits(value: float) -> str:
    """1.0, 8.9, 107."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def memory(count: float) -> str:
    """Decimal units, as gradwire-bench's."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def measure(build: str, label: str, flags: list[str]) -> str:
    """A row of the table. Ends the program where the run fails: a wrong answer is no row."""
    folder = ROOT / "build" / "load-table"
    command = [str(ROOT / "scripts" / "load.sh"), build, str(folder), f"--duration={DURATION}", *flags]
    print(" ".join(command), file=sys.stderr)
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        sys.exit(f"the run with {flags or 'no flags'} failed")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    total, sessions = report["total"], int(report["settings"]["sessions"])
    cells = [
        label or f"`'{' '.join(flags)}'`",
        f"{sessions:,}",
        f"{total['rate']:,.0f}",
        f"{three_digits(total['p50'])} ms",
        f"{three_digits(total['p99'])} ms",
        memory(report["server_memory"]["end"]),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Prints the table when all of it is measured."""
    rows = [measure(sys.argv[1], label, flags) for label, flags in ROWS]
    print("| command: `make load LOAD_FLAGS=...` | sessions | calls/s | p50 | p99 | server memory |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
