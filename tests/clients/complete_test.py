"""Clients know all that the .proto files say: a verb or a reason that is new there is missed here."""

from __future__ import annotations

import re

import pytest
from commands import ROOT

from gradwire import errors
from gradwire._proto.gradwire.v1 import gradwire_pb2

VERBS = [method.name for method in gradwire_pb2.DESCRIPTOR.services_by_name["Gradwire"].methods]
COMMANDS = [f.message_type.name for f in gradwire_pb2.Command.DESCRIPTOR.fields if f.message_type is not None]
REASONS = re.findall(r"^//   ([A-Z]+(?:_[A-Z]+)*) +[A-Z]", (ROOT / "proto/gradwire/v1/status.proto").read_text(), re.M)
SOURCES = {
    "C++": "\n".join(path.read_text() for path in (ROOT / "client" / "cpp").rglob("*.cc")),
    "Go": "\n".join(path.read_text() for path in (ROOT / "client" / "go").glob("*.go")),
    "Python": "\n".join(path.read_text() for path in (ROOT / "client" / "python" / "gradwire").glob("*.py")),
}
# Memory shared with a client on the same machine: its descriptors come beside gRPC, and Python takes them.
PYTHONS_ALONE = {"AttachMemory", "PutShared", "FetchShared"}
# How a verb is called.
CALLS = {"C++": r"(Stub::|stub->|Gradwire/){}\b", "Go": r"stub\.{}\b", "Python": r'"{}"'}


@pytest.mark.parametrize("language", SOURCES)
def test_every_verb_is_called(language: str) -> None:
    assert len(VERBS) >= 30
    wanted = set(VERBS) if language == "Python" else set(VERBS) - PYTHONS_ALONE
    called = {verb for verb in VERBS if re.search(CALLS[language].format(verb), SOURCES[language])}
    assert called == wanted


@pytest.mark.parametrize("language", ["C++", "Go"])
def test_every_command_can_be_part_of_a_run(language: str) -> None:
    made = {"C++": r"ToCommand\(v1::{} ", "Go": r"case \*pb\.{}:"}[language]
    assert [command for command in COMMANDS if not re.search(made.format(command), SOURCES[language])] == []


@pytest.mark.parametrize("language", SOURCES)
def test_every_reason_has_a_type(language: str) -> None:
    assert {"UNAUTHENTICATED", "SHAPE_MISMATCH", "INTERNAL"} <= set(REASONS)
    assert len(REASONS) == len(errors._BY_REASON)
    assert [reason for reason in REASONS if f'"{reason}"' not in SOURCES[language]] == []
