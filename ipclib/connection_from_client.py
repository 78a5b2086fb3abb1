"""A service's end of one client's connection, and who may be a client.

Knows nothing of how clients get here; that is multi_server.py's and single_server.py's business.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Protocol, TypeVar

from corelib import LocalSocket
from ipclib.connection import Connection
from ipclib.limits import Limits

C_co = TypeVar("C_co", bound="ConnectionFromClient", covariant=True)


class ConnectionFromClient(Connection):
    """The base of generated service ends: one object for each client. A client that does not read is
    dropped, not waited for."""

    def __init__(
        self, socket: LocalSocket, client_id: int = 0, *, limits: Limits | None = None, trailers: bool = True
    ) -> None:
        """Serve the client at the other end of a connected socket."""
        super().__init__(socket, limits=limits, trailers=trailers)
        self._link.waits_for_slow_peer = False
        self.client_id = client_id
        """A number that the server gave this client and gives no other."""


class ConnectionFactory(Protocol[C_co]):
    """What makes a client's connection: a ConnectionFromClient subclass, or a function around one."""

    def __call__(self, socket: LocalSocket, client_id: int, *, limits: Limits | None) -> C_co: ...


def admitted_uids(allowed: Collection[int] | None) -> frozenset[int]:
    """Whose processes may be clients: root's and this user's, unless others are said."""
    return frozenset({0, os.geteuid()} if allowed is None else allowed)
