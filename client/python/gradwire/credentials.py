"""Who the server is, and who the client is: TLS and tokens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import grpc

# The bytes of a PEM file, or where it is.
Pem = bytes | str | os.PathLike[str]


@dataclass(frozen=True)
class Tls:
    """How to speak TLS.

    `ca`: authorities that the server's certificate must come from (None: those of the system). `cert` and `key`: the
    client's own certificate, where the server asks for one. `server_name`: the name in the server's certificate, where it
    is not the host of the target.
    """

    ca: Pem | None = None
    cert: Pem | None = None
    key: Pem | None = None
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """As gRPC takes them. Raises OSError for a file that cannot be read, ValueError for a certificate without key."""
        if (self.cert is None) != (self.key is None):
            raise ValueError("a client's certificate and its key come together")
        return grpc.ssl_channel_credentials(_read(self.ca), _read(self.key), _read(self.cert))

    def options(self) -> list[tuple[str, str]]:
        """Channel options that go with the credentials."""
        return [] if self.server_name is None else [("grpc.ssl_target_name_override", self.server_name)]


def _read(pem: Pem | None) -> bytes | None:
    return pem if pem is None or isinstance(pem, bytes) else Path(pem).read_bytes()
