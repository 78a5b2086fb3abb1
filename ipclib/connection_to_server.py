"""A client's end of a connection: finds the service, and waits rather than overrun it.

Knows nothing of how messages travel.
"""

from __future__ import annotations

import errno
import time
from typing import Self

from corelib import EventLoop, LocalSocket, WaitMode, session
from ipclib.connection import Connection
from ipclib.errors import ServiceUnavailable
from ipclib.limits import Limits

_RETRY_NS = 20_000_000
_NOT_THERE_YET = (errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN)


class ConnectionToServer(Connection):
    """The base of generated client ends."""

    @classmethod
    def connect(
        cls, path: str, *, patience: float = 0.0, limits: Limits | None = None, trailers: bool = True
    ) -> Self:
        """Connect to the service at a socket path, in which %sid is the session.

        While nobody listens there it is tried again for `patience` seconds, pumping the loop.
        Raises ServiceUnavailable when they are over.
        """
        return cls(_found_socket(session.socket_path(path), patience), limits=limits, trailers=trailers)

    def _on_full_outbox(self) -> None:
        """LibIPC's way to rate-limit its clients: who posts too much waits, and the loop goes on."""
        while self._outbox.size > self._limits.max_send_queue and self._is_open:
            self._flush()
            self._loop.pump()


def _found_socket(path: str, patience: float) -> LocalSocket:
    deadline = time.monotonic_ns() + int(patience * 1e9)
    while True:
        try:
            return LocalSocket.connect(path)
        except OSError as error:
            if error.errno not in _NOT_THERE_YET:
                raise ServiceUnavailable(f"cannot connect to {path}: {error.strerror}") from error
            now = time.monotonic_ns()
            if now >= deadline:
                raise ServiceUnavailable(
                    f"nobody listens at {path}; start the service, or wait for it with patience=SECONDS"
                ) from error
        EventLoop.current().pump(WaitMode.WAIT_FOR_EVENTS, min(deadline, now + _RETRY_NS))
