"""SerenityOS's LibCore for Python: an event loop, and what hangs on it. Knows fds, time, threads, signals and
callbacks. The names that programs use; everything else in the package is its own business.
"""

from __future__ import annotations

from corelib import session
from corelib._version import __version__
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
from corelib.event_receiver import ChildEvent, CustomEvent, Event, EventReceiver, TimerEvent
from corelib.file_watcher import FileWatcher, FileWatcherEvent
from corelib.notifier import Notifier
from corelib.process import Process
from corelib.promise import Promise
from corelib.snapshot import Snapshot
from corelib.sockets.local_server import LocalServer
from corelib.sockets.local_socket import LocalSocket, PeerCredentials
from corelib.sockets.tcp_server import TCPServer
from corelib.sockets.tcp_socket import SocketAddress, TCPSocket
from corelib.timer import Timer
from corelib.turn.instruments import Instrument

__all__ = [
    "AddressInUse",
    "AnonymousBuffer",
    "BufferRefused",
    "Cancelled",
    "ChildEvent",
    "CorelibError",
    "CustomEvent",
    "DescriptorsTruncated",
    "Event",
    "EventLoop",
    "EventLoopClosed",
    "EventReceiver",
    "FileWatcher",
    "FileWatcherEvent",
    "Instrument",
    "LocalServer",
    "LocalSocket",
    "NoEventLoop",
    "NotWatchable",
    "Notifier",
    "PeerCredentials",
    "Process",
    "Promise",
    "Snapshot",
    "SocketAddress",
    "SocketPathError",
    "TCPServer",
    "TCPSocket",
    "TimedOut",
    "Timer",
    "TimerEvent",
    "UsageError",
    "WaitMode",
    "WrongThread",
    "__version__",
    "deferred_invoke",
    "run_async",
    "session",
    "sleep_ms",
]
