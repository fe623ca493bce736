"""What the client knows of one name of a session."""

from __future__ import annotations

from collections import deque

from gradwire.errors import GradwireError
from gradwire.infer import Spec

# Names of the client's own making begin with this; they are deleted with the last object that stands for them.
OWN_PREFIX = "%"


class Binding:
    """A name, and what is known of the tensor that it stands for. Reports its own end to the session."""

    __slots__ = ("__weakref__", "_dropped", "epoch", "error", "grad_fn", "name", "requires_grad", "spec")

    def __init__(self, name: str, dropped: deque[str]) -> None:
        self.name = name
        self.spec = Spec()
        self.requires_grad = False
        # The operator that computed it, "" for a leaf.
        self.grad_fn = ""
        # How many backward passes had freed a graph when the oldest operation behind this tensor was recorded.
        self.epoch = 0
        # Why it will never be computed.
        self.error: GradwireError | None = None
        self._dropped = dropped

    def __del__(self) -> None:
        if self.name.startswith(OWN_PREFIX):
            self._dropped.append(self.name)
