"""SerenityOS's LibCore for Python: an event loop, and what hangs on it. Knows fds, time, threads, signals and
callbacks. The names that programs use; everything else in the package is its own business.
"""

from __future__ import annotations

from corelib import session
from corelib.anonymous_buffer import AnonymousBuffer
from corelib.errors import (
    AddressInUse,
    BufferRefused,
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
from corelib.local_server import LocalServer
from corelib.local_socket import LocalSocket, PeerCredentials
from corelib.notifier import Notifier
from corelib.promise import Promise
from corelib.timer import Timer

__all__ = [
    "AddressInUse",
    "AnonymousBuffer",
    "BufferRefused",
    "CorelibError",
    "DescriptorsTruncated",
    "EventLoop",
    "EventLoopClosed",
    "LocalServer",
    "LocalSocket",
    "NoEventLoop",
    "NotWatchable",
    "Notifier",
    "PeerCredentials",
    "Promise",
    "SocketPathError",
    "TimedOut",
    "Timer",
    "UsageError",
    "WaitMode",
    "WrongThread",
    "deferred_invoke",
    "session",
]
