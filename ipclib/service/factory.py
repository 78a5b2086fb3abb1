"""Owns the checks of what makes a service's connections: a mistake there is told where it is made.
Must not know sockets, or how clients are accepted.
"""

from __future__ import annotations

from typing import Any, TypeVar

from corelib import LocalSocket, UsageError
from ipclib.connection.connection import Connection
from ipclib.connection.connection_from_client import ConnectionFactory, ConnectionFromClient
from ipclib.limits import Limits

C = TypeVar("C", bound=ConnectionFromClient)


def check_factory(factory: Any) -> None:
    """Check what shall make the connections of clients, as far as it can be before there is one.

    Raises:
        UsageError: it is no ConnectionFromClient class, and no function that could return one.
    """
    if isinstance(factory, Connection):
        raise UsageError(
            f"a service makes a connection for each client: pass the class {_name(type(factory))}"
        )
    if isinstance(factory, type) and not issubclass(factory, ConnectionFromClient):
        reason = "is a client's end" if issubclass(factory, Connection) else "is no connection"
        raise UsageError(
            f"{_name(factory)} {reason}: a service is made of a subclass of its module's ConnectionFromClient"
        )
    if not callable(factory):
        raise UsageError(
            "a service is made of a subclass of its module's ConnectionFromClient, or of a function that "
            f"returns one's object, not of {factory!r}"
        )


def made_by(factory: ConnectionFactory[C], socket: LocalSocket, client_id: int, limits: Limits | None) -> C:
    """Make the connection of a client.

    Raises:
        UsageError: the factory returned none.
    """
    client = factory(socket, client_id, limits=limits)
    if not isinstance(client, ConnectionFromClient):
        raise UsageError(
            f"{_name(factory)} returned {client!r}: a factory returns the ConnectionFromClient that it makes"
        )
    return client


def _name(what: object) -> str:
    return getattr(what, "__qualname__", None) or repr(what)
