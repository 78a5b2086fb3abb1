"""Listens, and makes one connection object for each client.

Owns the listening socket, the set of clients and the check of who they are.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Generic, Self, TypeVar

from corelib import EventLoop, LocalServer, LocalSocket, WaitMode
from corelib.turn import calls_user_code
from ipclib import activation
from ipclib.connection_from_client import ConnectionFactory, ConnectionFromClient, admitted_uids
from ipclib.limits import Limits

logger = logging.getLogger("ipclib")

C = TypeVar("C", bound=ConnectionFromClient)


class MultiServer(Generic[C]):
    """Serves many clients at one socket."""

    def __init__(
        self,
        factory: ConnectionFactory[C],
        where: str | socket.socket,
        *,
        limits: Limits | None = None,
        allowed_uids: Collection[int] | None = None,
    ) -> None:
        """Listen at a path, in which %sid is the session; a session's folders are made. Or take over a
        socket that listens already, and leave its path to whoever made it.

        Only processes of `allowed_uids` may connect: by default root's and this user's. Raises
        corelib's errors when the path cannot be used, or a live server has it.
        """
        self.on_new_client: Callable[[C], None] | None = None
        self._factory = factory
        self._limits = limits or Limits()
        self._allowed_uids = admitted_uids(allowed_uids)
        self._clients: dict[int, C] = {}
        self._next_client_id = 1
        self._refused = 0
        self._refusal_logged_at = float("-inf")
        self._server = LocalServer(self._on_accept)
        if isinstance(where, socket.socket):
            self._server.take_over(where)
        else:
            self._server.listen(where)

    @classmethod
    def take_over(
        cls,
        factory: ConnectionFactory[C],
        name: str | None = None,
        *,
        limits: Limits | None = None,
        allowed_uids: Collection[int] | None = None,
    ) -> Self:
        """Serve at the listening socket that this process was started with: systemd's socket activation, or
        SerenityOS's SystemServer.

        `name` tells one of several: systemd's FileDescriptorName=, SystemServer's path. Raises TakeoverError
        for what is not such a socket, and its NothingToTakeOver where this process was started without any.
        """
        return cls(factory, activation.take_listening(name), limits=limits, allowed_uids=allowed_uids)

    @property
    def clients(self) -> list[C]:
        """The connected clients, as of now."""
        return list(self._clients.values())

    @property
    def refused(self) -> int:
        """How many clients were turned away: another user's, or over Limits.max_connections."""
        return self._refused

    def close(self, drain: float = 0.0) -> None:
        """Stop listening and disconnect everybody.

        For up to `drain` seconds the loop is pumped first, so that what runs can finish and its
        answers can leave.
        """
        self._server.close()
        deadline = time.monotonic_ns() + int(drain * 1e9)
        while any(client._link.is_busy for client in self.clients) and time.monotonic_ns() < deadline:
            EventLoop.current().pump(WaitMode.WAIT_FOR_EVENTS, max(0, deadline - time.monotonic_ns()) / 1e9)
        for client in self.clients:
            client.shutdown()

    @calls_user_code
    def _on_accept(self, socket: LocalSocket) -> None:
        if not self._admits(socket):
            socket.close()
            return
        client_id = self._next_client_id
        self._next_client_id += 1
        client = self._factory(socket, client_id, limits=self._limits)
        if not client.is_open:  # It came and went while its constructor made a call.
            return
        self._clients[client_id] = client
        client._link.when_closed = partial(self._forget, client_id, client._link.when_closed)
        if self.on_new_client is not None:
            self._introduce(client, self.on_new_client)

    @calls_user_code
    def _introduce(self, client: C, on_new_client: Callable[[C], None]) -> None:
        try:
            on_new_client(client)
        except BaseException:
            client.shutdown()  # Nobody can be relied on to know it.
            raise

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
        """Count it, and log it once a second at most: a flood of connects is no flood of log."""
        self._refused += 1
        now = time.monotonic()
        if now - self._refusal_logged_at >= 1.0:
            self._refusal_logged_at = now
            logger.warning("refused %s (%d refused so far)", whom, self._refused)

    def _forget(self, client_id: int, die: Callable[[], None]) -> None:
        self._clients.pop(client_id, None)
        die()
