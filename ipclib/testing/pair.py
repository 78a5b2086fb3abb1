"""Owns Pair, a client and its service in one process, connected by sockets, with or without faults between.
Must not know what a fault does, or what the two ends say to each other.
"""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from corelib import LocalSocket, UsageError
from corelib.turn import NotCopied
from ipclib.connection.calls import Wait
from ipclib.connection.connection import Connection, endpoints_of
from ipclib.connection.connection_from_client import ConnectionFactory, ConnectionFromClient
from ipclib.connection.connection_to_server import ConnectionToServer
from ipclib.limits import Limits
from ipclib.service.factory import check_factory, made_by
from ipclib.testing.fault import Fault
from ipclib.testing.frame import Names
from ipclib.testing.relay import Relay

C_co = TypeVar("C_co", bound=ConnectionToServer, covariant=True)
C = TypeVar("C", bound=ConnectionToServer)
S = TypeVar("S", bound=ConnectionFromClient)


class ClientFactory(Protocol[C_co]):
    """Makes a client's end: a ConnectionToServer class, or a function that returns one's object."""

    def __call__(self, socket: LocalSocket, *, limits: Limits | None) -> C_co: ...


class WithFaults(NotCopied, Generic[S]):
    """Makes a service's connections with faults on the way: `MultiServer(WithFaults(Service, fault), path)`.

    The service sees this process as its peer.
    """

    def __init__(self, factory: ConnectionFactory[S], *faults: Fault) -> None:
        """`factory` is the service's class, a fake of it, or a function that makes its connections.

        Raises:
            UsageError: it makes no such connections. If a fault names a message that does not exist, this is
                raised at the first connection.
        """
        check_factory(factory)
        self._factory = factory
        self._faults = faults
        self._relays: weakref.WeakSet[Relay] = weakref.WeakSet()

    def __call__(self, socket: LocalSocket, client_id: int = 0, *, limits: Limits | None = None) -> S:
        """Make the connection of a client. MultiServer calls this."""
        if not self._faults:
            return made_by(self._factory, socket, client_id, limits)
        near, far = LocalSocket.pair()
        try:
            connection = made_by(self._factory, far, client_id, limits)
        except BaseException:
            near.close()
            far.close()
            raise
        names = Names(endpoints_of(type(connection)))
        try:
            self._relays.add(Relay(socket, near, self._faults, names))
        except BaseException:
            connection.shutdown()
            near.close()
            raise
        return connection

    def close(self) -> None:
        """Close what is between clients and their connections; twice is fine."""
        for relay in list(self._relays):
            relay.close()


class Pair(NotCopied, Generic[C, S]):
    """A client and its service, connected on the loop of this thread: `Pair(Client, Service)`.

    Their calls are made by sockets, as between processes, and each end sees this process as its peer. The end
    of the `with` block, or close(), closes both.
    """

    def __init__(
        self,
        client: ClientFactory[C],
        service: ConnectionFactory[S],
        *faults: Fault,
        limits: Limits | None = None,
        client_limits: Limits | None = None,
    ) -> None:
        """Make both ends. `client` and `service` are their classes, or functions that make them.

        Raises:
            UsageError: one of them makes no such end, an end waits with Wait.BLOCK, or a fault names a
                message that does not exist.
            NoEventLoop: the thread has no loop.
        """
        self._between = WithFaults(service, *faults)
        near, far = LocalSocket.pair()
        try:
            self.service: S = self._between(far, 1, limits=limits)
            self.client: C = client(near, limits=client_limits)
            self._check()
        except BaseException:
            self._undo()
            near.close()
            far.close()
            raise

    def close(self) -> None:
        """Close both ends, and what is between them; twice is fine."""
        self.client.shutdown()
        self.service.shutdown()
        self._between.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        if not isinstance(self.client, ConnectionToServer):
            raise UsageError(f"{self.client!r} is no client's end: its class is no ConnectionToServer")
        ends: tuple[Connection, ...] = (self.client, self.service)
        for end in ends:
            if end.wait is Wait.BLOCK:
                raise UsageError(
                    f"{type(end).__qualname__}.wait is Wait.BLOCK, which would wait for ever for a peer on "
                    "the same loop: test a subclass with wait = Wait.PUMP, or a service in another process"
                )

    def _undo(self) -> None:
        for name in ("client", "service"):
            end = getattr(self, name, None)
            if isinstance(end, Connection):
                end.shutdown()
        self._between.close()
