"""Owns ConnectionFromClient, a service's end of one client's connection.
Must not know how clients are accepted.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import attrs

from corelib import LocalSocket
from ipclib.connection.connection import Connection
from ipclib.limits import Limits

C_co = TypeVar("C_co", bound="ConnectionFromClient", covariant=True)


class ConnectionFromClient(Connection):
    """The base of generated service ends: one object for each client.

    A client that does not read is disconnected; the service does not wait for it.
    """

    _ends = attrs.evolve(Connection._ends, waits_for_slow_peer=False)

    def __init__(
        self, socket: LocalSocket, client_id: int = 0, *, limits: Limits | None = None, trailers: bool = True
    ) -> None:
        """Serve the client at the other end of a connected socket."""
        super().__init__(socket, limits=limits, trailers=trailers)
        self.client_id = client_id
        """A number that the server gives to this client and to no other."""


class ConnectionFactory(Protocol[C_co]):
    """Makes the connection of a client: a ConnectionFromClient class, or a function that returns one."""

    def __call__(self, socket: LocalSocket, client_id: int, *, limits: Limits | None) -> C_co: ...
