"""Owns MultiServer: the listening socket, and one connection for each admitted client.
Must not know messages, or how a connection works.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Collection
from functools import partial
from threading import get_ident
from typing import Generic, Self, TypeVar

from corelib import EventLoop, LocalServer, LocalSocket, WaitMode
from corelib.turn import NotCopied, calls_user_code, current_thread_loop, deadline_after
from ipclib.connection.connection import is_busy, send_tracebacks, when_closed
from ipclib.connection.connection_from_client import ConnectionFactory, ConnectionFromClient
from ipclib.connection.link import discard
from ipclib.connection.seconds import check_seconds
from ipclib.connection.trust import admitted_uids
from ipclib.errors import WrongThread
from ipclib.limits import Limits
from ipclib.service import activation
from ipclib.service.factory import check_factory, made_by

logger = logging.getLogger("ipclib")

C = TypeVar("C", bound=ConnectionFromClient)


class MultiServer(NotCopied, Generic[C]):
    """Serves many clients at one socket."""

    def __init__(
        self,
        factory: ConnectionFactory[C],
        where: str | os.PathLike[str] | socket.socket,
        *,
        limits: Limits | None = None,
        allowed_uids: Collection[int] | None = None,
        debug: bool = False,
    ) -> None:
        """Listen at a path, or take over a socket that listens already.

        In a path %sid stands for the session, whose folder is made. The path of a socket that was taken over
        is left to its maker. Only processes of `allowed_uids` may connect, by default root and this user.
        With `debug`, or IPCLIB_DEBUG=1 in the environment, callers of this user get the tracebacks of
        handlers, as `RemoteError.remote_traceback`.

        Raises:
            corelib.SocketPathError: the path cannot be used.
            corelib.AddressInUse: a live server listens there.
            corelib.UsageError: the factory makes no ConnectionFromClient.
        """
        check_factory(factory)
        self.on_new_client: Callable[[C], None] | None = None
        """Called with each new connection."""
        thread = current_thread_loop()
        self._now_ns = thread.now_ns
        self._ident = thread.ident
        self._factory = factory
        self._limits = limits or Limits()
        self._allowed_uids = admitted_uids(allowed_uids)
        self._debug = debug
        self._clients: dict[int, C] = {}
        self._next_client_id = 1
        self._refused = 0
        self._refusal_logged_at = float("-inf")
        self._server = LocalServer(self._on_accept)
        if isinstance(where, socket.socket):
            self._server.take_over(where)
        else:
            self._server.listen(os.fspath(where))

    @classmethod
    def take_over(
        cls,
        factory: ConnectionFactory[C],
        name: str | None = None,
        *,
        limits: Limits | None = None,
        allowed_uids: Collection[int] | None = None,
        debug: bool = False,
    ) -> Self:
        """Serve at the listening socket that this process was started with, by systemd or SystemServer.

        `name` selects one of several sockets: systemd's FileDescriptorName=, or SystemServer's path.

        Raises:
            NothingToTakeOver: this process was started without a socket.
            TakeoverError: there is no such socket, or it is of another kind.
        """
        return cls(
            factory, activation.take_listening(name), limits=limits, allowed_uids=allowed_uids, debug=debug
        )

    @property
    def clients(self) -> list[C]:
        """The clients that are connected now."""
        return list(self._clients.values())

    @property
    def refused(self) -> int:
        """How many clients were turned away: of other users, or over Limits.max_connections."""
        return self._refused

    def close(self, drain: float = 0.0) -> None:
        """Stop listening and disconnect all clients.

        First the loop is pumped for up to `drain` seconds, so that running handlers can finish and their
        answers can leave.

        Raises:
            WrongThread: called from a thread other than the one that made the server; nothing was done.
            ValueError, TypeError: `drain` is not a number of seconds from 0 on, or math.inf.
        """
        if get_ident() != self._ident:
            raise WrongThread(
                "close: this server belongs to another thread; "
                "hand the work over with its loop's deferred_invoke()"
            )
        check_seconds("drain", drain)
        self._server.close()
        deadline = deadline_after(self._now_ns(), drain)
        while any(map(is_busy, self.clients)) and (deadline is None or self._now_ns() < deadline):
            left = None if deadline is None else max(0.0, (deadline - self._now_ns()) / 1e9)
            EventLoop.current().pump(WaitMode.WAIT_FOR_EVENTS, left)
        for client in self.clients:
            client.shutdown()

    @calls_user_code
    def _on_accept(self, socket: LocalSocket) -> None:
        if not self._admits(socket):
            socket.close()
            return
        client_id = self._next_client_id
        self._next_client_id += 1
        try:
            client = made_by(self._factory, socket, client_id, self._limits)
        except BaseException:
            discard(socket)
            raise
        if not client.is_open:  # It was closed while its constructor made a call.
            return
        self._clients[client_id] = client
        if self._debug:
            send_tracebacks(client)
        when_closed(client, partial(self._clients.pop, client_id, None))
        if self.on_new_client is not None:
            self._introduce(client, self.on_new_client)

    @calls_user_code
    def _introduce(self, client: C, on_new_client: Callable[[C], None]) -> None:
        try:
            on_new_client(client)
        except BaseException:
            client.shutdown()  # The program may not have kept it.
            raise

    def __repr__(self) -> str:
        name = getattr(self._factory, "__qualname__", repr(self._factory))
        where = "closed" if self._server.path is None else f"at {self._server.path!r}"
        return f"<MultiServer of {name}, {where}, {len(self._clients)} clients>"

    def _admits(self, socket: LocalSocket) -> bool:
        uid = socket.peer_credentials().uid
        if uid not in self._allowed_uids:
            self._refuse(f"a client of uid {uid}")
            return False
        if len(self._clients) >= self._limits.max_connections:
            self._refuse(f"a client over max_connections ({self._limits.max_connections})")
            return False
        return True

    def _refuse(self, whom: str) -> None:
        """Count a refused client. At most one per second is logged, so that a flood does not fill the log."""
        self._refused += 1
        now = self._now_ns()
        if now - self._refusal_logged_at >= 1e9:
            self._refusal_logged_at = now
            logger.warning("refused %s (%d refused so far)", whom, self._refused)
