"""Owns the errors of corelib, split by who is at fault: the program, the system around it, or the peer.
Must not know the rest of the package. An error that the kernel reports clearly stays the OSError that it is.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

AWAITED_ELSEWHERE = (
    "a promise is awaited in a coroutine that neither run_async nor corelib.asyncio_bridge runs: in an "
    "asyncio program call asyncio_bridge.run(main()), not asyncio.run(main()); else call run_async(coroutine)"
)


class CorelibError(Exception):
    """The base of all errors that corelib itself raises."""


class UsageError(CorelibError, RuntimeError):
    """The program asked for something impossible; the text says what to do instead."""


class NoEventLoop(UsageError):
    """The calling thread has no EventLoop yet."""

    def __init__(self) -> None:
        super().__init__(_how_to_get_a_loop())


class EventLoopClosed(UsageError):
    """The loop was closed, its thread has ended, or it belongs to the parent of this forked process."""

    def __init__(
        self,
        text: str = "this event loop is closed, or its thread has ended, or it belongs to the parent of this "
        "forked process: make a new one",
    ) -> None:
        super().__init__(text)


class WrongThread(UsageError):
    """A loop, timer or notifier was used from a thread that is not its own."""


class NotWatchable(UsageError, OSError):
    """No notifier can watch this fd: it is closed, or of a kind that is always ready."""


class SocketPathError(CorelibError, OSError):
    """A socket path, or a folder on the way to it, cannot be used as it is."""


class AddressInUse(SocketPathError):
    """Another server is alive at this socket path or TCP address, and was left alone."""


class DescriptorsTruncated(CorelibError):
    """The peer sent more fds than the receiver takes; those that arrived were closed."""


class TimedOut(CorelibError, TimeoutError):
    """The timeout of a wait has passed."""


class Cancelled(BaseException):
    """The promise was cancelled, or the coroutine in which this is raised.

    It is not an Exception, since nobody is at fault: `except Exception` does not catch it, and `finally`
    blocks run."""


class BufferRefused(CorelibError, ValueError):
    """An fd that another process passed is not the shared memory that it was said to be."""


def _how_to_get_a_loop() -> str:
    # Only if the program uses asyncio: corelib itself does not import it.
    if "asyncio" in sys.modules and _runs(sys.modules["asyncio"]):
        return (
            "this thread runs an asyncio loop that is not on a corelib event loop: start the program with "
            "corelib.asyncio_bridge.run(main()) instead of asyncio.run(main()), and both share one loop"
        )
    if threading.current_thread() is not threading.main_thread():
        return (
            "this thread has no event loop: make one first, `loop = EventLoop()`, and keep it open; to use "
            "another thread's, call loop.deferred_invoke(...) or loop.call_from_thread(...) on that loop"
        )
    return "this thread has no event loop: make one first, `loop = EventLoop()`, and keep it open"


def _runs(asyncio: Any) -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
