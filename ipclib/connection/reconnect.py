"""Owns the search for a service that was lost: when it is tried again, and what is logged.
Must not know messages or links.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable

from corelib import LocalSocket, Timer
from corelib.turn import current_thread_loop
from ipclib.connection.connecting import NOT_THERE_YET
from ipclib.connection.origin import Origin
from ipclib.connection.trust import Way
from ipclib.errors import ServiceUnavailable

logger = logging.getLogger("ipclib")

# Seconds.
_FIRST_DELAY = 0.02
_LONGEST_DELAY = 2.0


class Reconnecting(Origin):
    """Looks for the service at a path whenever it was lost, until it is found or stop() is called.

    The delay doubles with each try, from 20 ms to 2 s. A service that was found and lost again within 2 s is
    retried at the current delay, so that a service which accepts and dies at once costs little.
    """

    __slots__ = (
        "_delay",
        "_found_at",
        "_is_stopped",
        "_last_reason",
        "_now_ns",
        "_on_found",
        "_timer",
        "_way",
    )

    def __init__(self, way: Way, on_found: Callable[[LocalSocket], object]) -> None:
        self._way = way
        self._on_found = on_found
        self._now_ns = current_thread_loop().now_ns
        self._delay = _FIRST_DELAY
        """Seconds until the next try."""
        self._found_at = self._now_ns()
        self._is_stopped = False
        self._last_reason = ""
        """The last reason that was logged in this search."""
        self._timer: Timer | None = None
        """Runs while the service is looked for; else None."""

    @property
    def is_looking(self) -> bool:
        """Whether the service is being looked for."""
        return self._timer is not None

    def lost(self) -> bool:
        """Look for the service again. True, and nothing is done, if stop() was called."""
        if self._is_stopped:
            return True
        if self._now_ns() - self._found_at > _LONGEST_DELAY * 1e9:
            self._delay = _FIRST_DELAY
        self._last_reason = ""
        self._wait()
        return False

    def stop(self) -> bool:
        """Stop looking. True if the service was being looked for."""
        self._is_stopped = True
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()
        return timer is not None

    def _wait(self) -> None:
        # A new timer each time: `on_found` may lose the service again and wait for it, and a timer does not
        # fire while its own callback runs.
        self._timer = Timer.create_single_shot(self._delay * 1000, self._try)
        self._timer.start()
        self._delay = min(2 * self._delay, _LONGEST_DELAY)

    def _try(self) -> None:
        try:
            socket = self._way.connect()
        except OSError as error:
            self._log(error)
            self._wait()
            return
        self._timer = None
        self._found_at = self._now_ns()
        self._on_found(socket)

    def _log(self, error: OSError) -> None:
        """Log an error that waiting alone may not fix, once while it lasts."""
        is_untrusted = isinstance(error, ServiceUnavailable)
        reason = str(error) if is_untrusted else os.strerror(error.errno or errno.EIO)
        if error.errno not in (*NOT_THERE_YET, errno.EAGAIN) and reason != self._last_reason:
            self._last_reason = reason
            logger.warning("%s: still looking for the service there: %s", self._way.path, reason)
