"""Owns Pair, a client and its service in one process, connected by sockets, with or without faults between.
Must not know what a fault does, or what the two ends say to each other.
"""

from __future__ import annotations

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
        check_factory(service)
        self._relay: Relay | None = None
        sockets: list[LocalSocket] = []
        try:
            near, far = LocalSocket.pair()
            sockets += near, far
            self.service: S = made_by(service, far, 1, limits)
            names = Names(endpoints_of(type(self.service)))
            if faults:
                inner, outer = LocalSocket.pair()
                sockets += inner, outer
                self._relay = Relay(inner, near, faults, names)
                near = outer
            self.client: C = client(near, limits=client_limits)
            self._check()
        except BaseException:
            self._undo(sockets)
            raise

    def close(self) -> None:
        """Close both ends, and what is between them; twice is fine."""
        self.client.shutdown()
        self.service.shutdown()
        if self._relay is not None:
            self._relay.close()

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

    def _undo(self, sockets: list[LocalSocket]) -> None:
        for name in ("client", "service"):
            end = getattr(self, name, None)
            if isinstance(end, Connection):
                end.shutdown()
        if self._relay is not None:
            self._relay.close()
        for socket in sockets:
            socket.close()
