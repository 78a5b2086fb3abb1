"""SerenityOS's LibCore for Python: an event loop, and what hangs on it. Knows fds, time, threads, signals and
callbacks. The names that programs use; everything else in the package is its own business.
"""

from __future__ import annotations

from corelib import session
from corelib.anonymous_buffer import AnonymousBuffer
from corelib.coroutine import run_async, sleep_ms
from corelib.errors import (
    AddressInUse,
    BufferRefused,
    Cancelled,
    CorelibError,
    DescriptorsTruncated,
    EventLoopClosed,
    NoEventLoop,
    NotWatchable,
    SocketPathError,
    TimedOut,
    UsageError,
    WrongThread,
)
from corelib.event_loop import EventLoop, WaitMode, deferred_invoke
from corelib.instruments import Instrument
from corelib.local_server import LocalServer
from corelib.local_socket import LocalSocket, PeerCredentials
from corelib.notifier import Notifier
from corelib.promise import Promise
from corelib.snapshot import Snapshot
from corelib.timer import Timer

__all__ = [
    "AddressInUse",
    "AnonymousBuffer",
    "BufferRefused",
    "Cancelled",
    "CorelibError",
    "DescriptorsTruncated",
    "EventLoop",
    "EventLoopClosed",
    "Instrument",
    "LocalServer",
    "LocalSocket",
    "NoEventLoop",
    "NotWatchable",
    "Notifier",
    "PeerCredentials",
    "Promise",
    "Snapshot",
    "SocketPathError",
    "TimedOut",
    "Timer",
    "UsageError",
    "WaitMode",
    "WrongThread",
    "deferred_invoke",
    "run_async",
    "session",
    "sleep_ms",
]
