"""Owns SerenityOS's LibCore for Python: an event loop, and fds, timers, threads, signals and callbacks on it.
Must not know messages. `__all__` has the names for programs; the rest of the package is private, except what
`corelib.turn.__all__` names.
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
from corelib.event_loop import EventLoop, deferred_invoke
from corelib.event_receiver import ChildEvent, CustomEvent, Event, EventReceiver, TimerEvent
from corelib.file_watcher import FileWatcher, FileWatcherEvent
from corelib.notifier import Notifier
from corelib.process import Argument, Process
from corelib.promise import Promise
from corelib.snapshot import Snapshot
from corelib.sockets.local_server import LocalServer
from corelib.sockets.local_socket import LocalSocket, PeerCredentials
from corelib.sockets.tcp_server import TCPServer
from corelib.sockets.tcp_socket import SocketAddress, TCPSocket
from corelib.timer import Timer
from corelib.turn import interrupts
from corelib.turn.clock import Clock
from corelib.turn.instruments import Instrument
from corelib.turn.wait_mode import WaitMode

__all__ = [
    "AddressInUse",
    "AnonymousBuffer",
    "Argument",
    "BufferRefused",
    "Cancelled",
    "ChildEvent",
    "Clock",
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

interrupts.protect(__name__)
