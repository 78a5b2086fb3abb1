"""Owns two ends of a connection in one process: a client and its service, or a service and a bare socket.
Must not know what is tested.
"""

from __future__ import annotations

import socket
from typing import Any

from corelib import LocalSocket
from ipclib import Limits
from ipclib.connection.connection import Connection
from ipclib.connection.link import Link
from tests.ipclib import clock_service


class Pair:
    """A client and its service, connected."""

    def __init__(self, clock: Any, limits: Limits | None = None, trailers: bool = True) -> None:
        self.here, there = LocalSocket.pair()
        self.client = clock.ConnectionToServer(self.here, limits=limits, trailers=trailers)
        self.service = clock_service.handlers(clock)(there, 1, limits=limits)

    def close(self) -> None:
        self.client.shutdown()
        self.service.shutdown()


def raw_peer(clock: Any, limits: Limits | None = None) -> tuple[socket.socket, Any]:
    """A service whose client is a bare socket."""
    raw, there = socket.socketpair()
    return raw, clock_service.handlers(clock)(LocalSocket.adopt(there), 1, limits=limits)


def link_of(connection: Connection) -> Link:
    """The link that a connection owns; programs have no need of it, so only the private name leads there."""
    return connection._link
