"""What a session still has to send: commands in order, turned into one Run.

A session's operations append to its `Batch`. `build` makes the Run request:

* Arrays under fresh names are put first, or travel as feeds of the one Forward that reads them.
* Consecutive nodes become one Forward. It binds only results that a live Python object or a later command reads; work
  whose results nobody can see is left out.
* Names that died are deleted: before the work where nothing in it reads them, after it otherwise.

When the Run fails, `give_up` keeps what came before the command that failed, and every array.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gradwire import commands, wire
from gradwire._proto.gradwire.v1 import gradwire_pb2 as pb
from gradwire._proto.gradwire.v1 import onnx_pb2

Site = tuple[str, int]
Alive = Callable[[str], bool]

_PACKAGE = os.path.dirname(__file__) + os.sep


def call_site() -> Site:
    """File and line outside this package from which it was called."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


@dataclass(frozen=True, slots=True)
class Mode:
    """How nodes are run; those of one Forward have the same."""

    no_grad: bool = False
    detect_anomaly: bool = False
    # Number of the block whose nodes are computed again on the way back; 0 outside of any.
    checkpoint: int = 0


@dataclass(slots=True, eq=False)
class Entry:
    """A node, or any other command, that waits to be sent.

    A `pure` one has no effect but to bind `writes`, and is left out where nobody can see those.
    """

    work: onnx_pb2.NodeProto | commands.Request
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    site: Site
    pure: bool = True
    mode: Mode = field(default_factory=Mode)


@dataclass(slots=True, eq=False)
class _Group:
    """Entries that become one command: consecutive nodes, or a single other command."""

    entries: list[Entry]

    @property
    def nodes(self) -> bool:
        return isinstance(self.entries[0].work, onnx_pb2.NodeProto)

    def takes(self, entry: Entry) -> bool:
        return self.nodes and isinstance(entry.work, onnx_pb2.NodeProto) and self.entries[0].mode == entry.mode

    def reads(self) -> set[str]:
        made: set[str] = set()
        needed: set[str] = set()
        for entry in self.entries:
            needed.update(name for name in entry.reads if name not in made)
            made.update(entry.writes)
        return needed

    @property
    def is_forward(self) -> bool:
        return self.nodes or isinstance(self.entries[0].work, pb.ForwardRequest)


@dataclass(slots=True, eq=False)
class Built:
    """A Run request and where its commands came from."""

    request: wire.Run = field(default_factory=wire.Run)
    # For each command the entries behind it, none for puts, fetches and deletes.
    origins: list[list[Entry]] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)

    def add(self, request: commands.Request, entries: Sequence[Entry] = ()) -> None:
        self.request.requests.append(request)
        self.origins.append(list(entries))

    def failed_entry(self, metadata: Mapping[str, str]) -> Entry | None:
        """The entry that an error's `command` and `node` point at."""
        index = int(metadata.get("command", -1))
        entries = self.origins[index] if 0 <= index < len(self.origins) else []
        node = int(metadata.get("node", 0))
        return entries[min(node, len(entries) - 1)] if entries else None


class Batch:
    """The commands that a session has not sent yet."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.puts: dict[str, pb.PutRequest] = {}
        self.put_bytes = 0

    def __bool__(self) -> bool:
        return bool(self.entries or self.puts)

    def put(self, tensor: onnx_pb2.TensorProto, requires_grad: bool) -> None:
        """Adds an array under a name that was never used before."""
        self.puts[tensor.name] = pb.PutRequest(tensors=[tensor], requires_grad=requires_grad)
        self.put_bytes += len(tensor.raw_data) + sum(map(len, tensor.string_data))

    def add(self, entry: Entry) -> None:
        """Adds a node or command."""
        self.entries.append(entry)

    def clear(self) -> None:
        """Forgets everything: it was sent."""
        self.__init__()  # type: ignore[misc]

    def build(self, fetch: Iterable[str], alive: Alive, stale: Iterable[str]) -> Built:
        """The Run that does it all and then fetches `fetch`.

        `alive` says whether a name can still be read; `stale` are names bound on the server that no longer can.
        """
        built = Built()
        fetched = list(fetch)
        groups = self._groups(self._visible(set(fetched), alive))
        readers: dict[str, list[int]] = defaultdict(list)
        for index, group in enumerate(groups):
            for name in group.reads():
                readers[name].append(index)
        dead = [name for name in stale if name not in readers]
        if dead:
            built.add(commands.delete(dead, missing_ok=True))
        feeds = self._place_arrays(built, groups, readers, set(fetched), alive)
        bound: set[str] = {name for name in readers if name in self.puts}
        for index, group in enumerate(groups):
            request = _request_of(group, index, readers, set(fetched), alive)
            if isinstance(request, pb.ForwardRequest):
                _feed(request, feeds[index])
            built.add(request, group.entries)
            names = request.outputs if group.nodes else group.entries[0].writes  # type: ignore[union-attr]
            bound.update(names)
        if fetched:
            built.add(commands.fetch(fetched))
        fed = {tensor.name for tensors in feeds for tensor in tensors}
        ended = [name for name in stale if name in readers]
        ended += sorted(name for name in bound - fed if not alive(name))
        if ended:
            built.add(commands.delete(ended, missing_ok=True))
        built.deleted.update(dead, ended)
        return built

    def give_up(self, failed: Entry | None) -> list[str]:
        """Drops `failed` and the commands after it, or all there is where None; returns the names not to be bound."""
        if failed is None:
            lost = [name for entry in self.entries for name in entry.writes] + list(self.puts)
            self.clear()
            return lost
        position = self.entries.index(failed)
        lost = [name for entry in self.entries[position:] for name in entry.writes]
        del self.entries[position:]
        return lost

    def _visible(self, needed: set[str], alive: Alive) -> list[Entry]:
        kept: list[Entry] = []
        for entry in reversed(self.entries):
            if entry.pure and not any(name in needed or alive(name) for name in entry.writes):
                continue
            kept.append(entry)
            needed.update(entry.reads)
        kept.reverse()
        return kept

    @staticmethod
    def _groups(entries: Iterable[Entry]) -> list[_Group]:
        groups: list[_Group] = []
        for entry in entries:
            if groups and groups[-1].takes(entry):
                groups[-1].entries.append(entry)
            else:
                groups.append(_Group([entry]))
        return groups

    def _place_arrays(
        self, built: Built, groups: list[_Group], readers: Mapping[str, list[int]], fetched: set[str], alive: Alive
    ) -> list[list[onnx_pb2.TensorProto]]:
        """Puts the arrays that stay; returns, for each group, those that only it reads."""
        feeds: list[list[onnx_pb2.TensorProto]] = [[] for _ in groups]
        puts = {flag: pb.PutRequest(requires_grad=flag) for flag in (False, True)}
        for name, put in self.puts.items():
            uses = readers.get(name, [])
            if alive(name) or name in fetched or len(uses) > 1:
                puts[put.requires_grad].tensors.extend(put.tensors)
            elif uses and groups[uses[0]].is_forward and not put.requires_grad:
                feeds[uses[0]].extend(put.tensors)
            elif uses:
                puts[put.requires_grad].tensors.extend(put.tensors)
        for request in puts.values():
            if request.tensors:
                built.add(request)
        return feeds


def _feed(request: pb.ForwardRequest, tensors: Iterable[onnx_pb2.TensorProto]) -> None:
    """Adds arrays for this call alone: under their names for nodes, under the inputs' names for a program."""
    for tensor in tensors:
        if not request.program:
            request.feeds.append(tensor)
            continue
        for key in [key for key, name in request.bindings.items() if name == tensor.name]:
            feed = request.feeds.add()
            feed.CopyFrom(tensor)
            feed.name = key
            del request.bindings[key]


def _request_of(
    group: _Group, index: int, readers: Mapping[str, list[int]], fetched: set[str], alive: Alive
) -> commands.Request:
    """The command for a group; one of nodes binds what is read after it."""
    work = group.entries[0].work
    if not isinstance(work, onnx_pb2.NodeProto):
        if isinstance(work, pb.ForwardRequest):
            own = pb.ForwardRequest()
            own.CopyFrom(work)
            return own
        return work
    mode = group.entries[0].mode
    request = pb.ForwardRequest(
        no_grad=mode.no_grad, detect_anomaly=mode.detect_anomaly, checkpoint=1 if mode.checkpoint else 0
    )
    for entry in group.entries:
        request.nodes.append(entry.work)  # type: ignore[arg-type]
        request.outputs.extend(
            name
            for name in entry.writes
            if alive(name) or name in fetched or any(user > index for user in readers.get(name, ()))
        )
    return request
