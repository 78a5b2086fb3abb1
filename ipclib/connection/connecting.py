"""Owns connecting to the socket path of a service: how long it is retried, and how a failure is explained.
Must not know messages or links.
"""

from __future__ import annotations

import errno
import os

from corelib import EventLoop, LocalSocket, WaitMode
from corelib.turn import current_thread_loop
from ipclib.connection.seconds import check_seconds
from ipclib.connection.trust import Way
from ipclib.errors import ServiceUnavailable

# Seconds.
_RETRY_AFTER = 0.02
NOT_THERE_YET = (errno.ENOENT, errno.ECONNREFUSED)
"""The errors of connect(2) while no service listens at a path."""
# Seconds. A non-blocking connect(2) fails with EAGAIN while the service's queue of clients is full; a
# blocking one would wait.
_TIME_IN_A_FULL_QUEUE = 5.0


def connect(way: Way, patience: float) -> LocalSocket:
    """Connect to a service; retry for up to `patience` seconds while none is there.

    The loop is pumped meanwhile.

    Raises:
        ServiceUnavailable: no service listened there in time, or waiting cannot help.
        ValueError, TypeError: `patience` is not a number of seconds.
    """
    check_seconds("patience", patience)
    now_ns = current_thread_loop().now_ns
    started = now_ns()
    while True:
        try:
            return way.connect()
        except ServiceUnavailable:
            raise
        except OSError as error:
            left = _time_to_try(error, patience) - (now_ns() - started) / 1e9
            if left <= 0:
                raise _unavailable(way.path, error, patience) from error
        EventLoop.current().pump(WaitMode.WAIT_FOR_EVENTS, min(left, _RETRY_AFTER))


def _time_to_try(error: OSError, patience: float) -> float:
    """For how many seconds to retry after an error."""
    if error.errno == errno.EAGAIN:
        return max(patience, _TIME_IN_A_FULL_QUEUE)
    return patience if error.errno in NOT_THERE_YET else 0.0


def _unavailable(path: str, error: OSError, patience: float) -> ServiceUnavailable:
    if error.errno in NOT_THERE_YET and patience:
        return ServiceUnavailable(f"nobody listened at {path} within {patience:g} s; start the service")
    if error.errno in NOT_THERE_YET:
        return ServiceUnavailable(
            f"nobody listens at {path}; start the service, or wait for it with patience=SECONDS"
        )
    if error.errno == errno.EAGAIN:
        return ServiceUnavailable(f"the service at {path} has accepted nobody for a while; it may be hanging")
    return ServiceUnavailable(f"cannot connect to {path}: {os.strerror(error.errno or errno.EIO)}")
