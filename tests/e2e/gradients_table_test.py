"""docs/gradients_table.md against the server that it describes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import gradwire

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gradients_table.py"


def test_the_table_is_current(client: gradwire.Client) -> None:
    spec = importlib.util.spec_from_file_location("gradients_table", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.TABLE.read_text(encoding="utf-8") == script.table(client.server_info()), "run `make docs`"
