"""Listens, and makes one connection object for each client.

Owns the listening socket, the set of clients and the check of who they are.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection
from typing import Generic, Protocol, TypeVar

from corelib import EventLoop, LocalServer, LocalSocket, WaitMode
from ipclib.connection_from_client import ConnectionFromClient
from ipclib.limits import Limits

logger = logging.getLogger("ipclib")

C = TypeVar("C", bound=ConnectionFromClient)
C_co = TypeVar("C_co", bound=ConnectionFromClient, covariant=True)


class ConnectionFactory(Protocol[C_co]):
    """What makes a client's connection: a ConnectionFromClient subclass, or a function around one."""

    def __call__(self, socket: LocalSocket, client_id: int, *, limits: Limits | None) -> C_co: ...


class MultiServer(Generic[C]):
    """Serves many clients at one socket path."""

    def __init__(
        self,
        factory: ConnectionFactory[C],
        path: str,
        *,
        limits: Limits | None = None,
        allowed_uids: Collection[int] | None = None,
    ) -> None:
        """Listen at a path, in which %sid is the session; a session's folders are made.

        Only processes of `allowed_uids` may connect: by default root's and this user's. Raises
        corelib's errors when the path cannot be used, or a live server has it.
        """
        self.on_new_client: Callable[[C], None] | None = None
        self._factory = factory
        self._limits = limits or Limits()
        self._allowed_uids = (
            frozenset(allowed_uids) if allowed_uids is not None else frozenset({0, os.geteuid()})
        )
        self._clients: dict[int, C] = {}
        self._next_client_id = 1
        self._refusal_logged_at = float("-inf")
        self._server = LocalServer(self._on_accept)
        self._server.listen(path)

    @property
    def clients(self) -> list[C]:
        """The connected clients, as of now."""
        return list(self._clients.values())

    def close(self, drain: float = 0.0) -> None:
        """Stop listening and disconnect everybody.

        For up to `drain` seconds the loop is pumped first, so that what runs can finish and its
        answers can leave.
        """
        self._server.close()
        deadline = time.monotonic_ns() + int(drain * 1e9)
        while any(client._is_busy for client in self.clients) and time.monotonic_ns() < deadline:
            EventLoop.current().pump(WaitMode.WAIT_FOR_EVENTS, deadline)
        for client in self.clients:
            client.shutdown()

    def _on_accept(self, socket: LocalSocket) -> None:
        if not self._admits(socket):
            socket.close()
            return
        client_id = self._next_client_id
        self._next_client_id += 1
        client = self._factory(socket, client_id, limits=self._limits)
        self._clients[client_id] = client
        client._when_closed = lambda: self._forget(client_id)
        if self.on_new_client is not None:
            self.on_new_client(client)

    def _admits(self, socket: LocalSocket) -> bool:
        uid = socket.peer_credentials().uid
        if uid not in self._allowed_uids:
            self._log_refusal(f"a client of uid {uid}")
            return False
        if len(self._clients) >= self._limits.max_connections:
            self._log_refusal(f"a client over max_connections ({self._limits.max_connections})")
            return False
        return True

    def _log_refusal(self, whom: str) -> None:
        """Once a second at most, so that a flood of connects is no flood of log."""
        now = time.monotonic()
        if now - self._refusal_logged_at >= 1.0:
            self._refusal_logged_at = now
            logger.warning("refused %s", whom)

    def _forget(self, client_id: int) -> None:
        self._clients.pop(client_id, None)
