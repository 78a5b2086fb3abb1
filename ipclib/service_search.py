"""How a service is found at its path: waited for, or looked for again and again beside everything else.

Knows sockets and the loop, no messages.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable

from corelib import EventLoop, LocalSocket, Timer, WaitMode, session
from ipclib.errors import ServiceUnavailable

logger = logging.getLogger("ipclib")

_RETRY_NS = 20_000_000
_NOT_THERE_YET = (errno.ENOENT, errno.ECONNREFUSED)
# connect(2) fails with EAGAIN where the service's queue of clients is full, and would otherwise wait.
_PATIENCE_IN_A_QUEUE = 5.0

_FIRST_DELAY_MS = 20.0
_LONGEST_DELAY_MS = 2000.0


def find_service(path: str, patience: float) -> LocalSocket:
    """Connect to the service at a path, pumping the loop for up to `patience` seconds while nobody is there.

    Raises ServiceUnavailable when they are over, or at once for what is no matter of patience.
    """
    path = session.socket_path(path)
    started = time.monotonic_ns()
    while True:
        try:
            return LocalSocket.connect(path)
        except OSError as error:
            patience_ns = int(_patience_with(error, patience) * 1e9)
            now = time.monotonic_ns()
            if now - started >= patience_ns:
                raise _unavailable(path, error) from error
        EventLoop.current().pump(WaitMode.WAIT_FOR_EVENTS, min(started + patience_ns - now, _RETRY_NS) / 1e9)


class ServiceSearch:
    """Looks for a service that was lost, by a timer, until it is found or nobody looks any longer.

    From try to try it waits twice as long, 20 ms to 2 s. A service that was found but did not last is looked
    for at the pace of before, so that one which accepts and dies at once costs little.
    """

    __slots__ = ("_delay_ms", "_found_at", "_on_found", "_path", "_refusal", "_timer")

    def __init__(self, path: str, on_found: Callable[[LocalSocket], object]) -> None:
        self._path = session.socket_path(path)
        self._on_found = on_found
        self._delay_ms = _FIRST_DELAY_MS
        self._found_at = time.monotonic_ns()
        self._refusal: int | None = None
        self._timer: Timer | None = None

    def start(self) -> None:
        """The service was lost."""
        if time.monotonic_ns() - self._found_at > _LONGEST_DELAY_MS * 1e6:
            self._delay_ms = _FIRST_DELAY_MS
        self._refusal = None
        self._wait()

    def stop(self) -> None:
        """Look no more; fine when nobody does."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _wait(self) -> None:
        # Another timer each time: what on_found calls may lose the service again and wait for it, and a timer
        # does not fire while its own callback runs.
        self._timer = Timer.create_single_shot(self._delay_ms, self._try)
        self._timer.start()
        self._delay_ms = min(2 * self._delay_ms, _LONGEST_DELAY_MS)

    def _try(self) -> None:
        try:
            socket = LocalSocket.connect(self._path)
        except OSError as error:
            self._note(error)
            self._wait()
            return
        self._timer = None
        self._found_at = time.monotonic_ns()
        self._on_found(socket)

    def _note(self, error: OSError) -> None:
        """Log what waiting alone may not mend; once, however long it lasts."""
        if error.errno not in (*_NOT_THERE_YET, errno.EAGAIN, self._refusal):
            self._refusal = error.errno
            reason = os.strerror(error.errno or errno.EIO)
            logger.warning("%s: still looking for the service there: %s", self._path, reason)


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
