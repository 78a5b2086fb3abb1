"""A client's end of a connection: finds the service, and waits rather than overrun it.

Knows nothing of how messages travel.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Self

from corelib import EventLoop, LocalSocket, WaitMode, session
from ipclib.connection import Connection
from ipclib.errors import ServiceUnavailable
from ipclib.limits import Limits

_RETRY_NS = 20_000_000
_NOT_THERE_YET = (errno.ENOENT, errno.ECONNREFUSED)
# connect(2) fails with EAGAIN where the service's queue of clients is full, and would otherwise wait.
_PATIENCE_IN_A_QUEUE = 5.0


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
    started = time.monotonic_ns()
    while True:
        try:
            return LocalSocket.connect(path)
        except OSError as error:
            patience_ns = int(_patience_with(error, patience) * 1e9)
            now = time.monotonic_ns()
            if now - started >= patience_ns:
                raise _unavailable(path, error) from error
        EventLoop.current().pump(WaitMode.WAIT_FOR_EVENTS, min(started + patience_ns, now + _RETRY_NS))


def _patience_with(error: OSError, patience: float) -> float:
    """How long to try in the face of an error, in seconds."""
    if error.errno == errno.EAGAIN:
        return max(patience, _PATIENCE_IN_A_QUEUE)
    return patience if error.errno in _NOT_THERE_YET else 0.0


def _unavailable(path: str, error: OSError) -> ServiceUnavailable:
    if error.errno in _NOT_THERE_YET:
        return ServiceUnavailable(
            f"nobody listens at {path}; start the service, or wait for it with patience=SECONDS"
        )
    if error.errno == errno.EAGAIN:
        return ServiceUnavailable(f"the service at {path} has accepted nobody for a while; it may be hanging")
    return ServiceUnavailable(f"cannot connect to {path}: {os.strerror(error.errno or errno.EIO)}")
