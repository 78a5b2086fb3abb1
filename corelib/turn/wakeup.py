"""Owns the pipe that ends a thread's sleep, from other threads and from signal handlers.
Knows no loop; whoever sleeps polls `fd` and drains it.
"""

from __future__ import annotations

import io
import os
import signal

from corelib.errors import EventLoopClosed

_DRAIN_BYTES = 4096


class WakeUp:
    """A pipe, not an eventfd: the C signal handler behind signal.set_wakeup_fd writes one byte, an eventfd
    takes eight."""

    __slots__ = ("_reader", "_signal_fd_before", "_writer")

    def __init__(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # FileIO knows whether it is closed, so a late wake from another thread never writes to a reused
        # number.
        self._reader = io.FileIO(reader, "r")
        self._writer = io.FileIO(writer, "w")
        self._signal_fd_before: int | None = None

    @property
    def fd(self) -> int:
        """Readable after a wake(), until drained."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End the sleep, or the next one. Never blocks: a full pipe wakes as well. EventLoopClosed when
        closed."""
        try:
            self._writer.write(b"\0")
        except ValueError:
            raise EventLoopClosed from None

    def drain(self) -> None:
        """Forget the wakes so far (if there were more than a pipe read holds, `fd` stays readable)."""
        self._reader.read(_DRAIN_BYTES)

    def watch_signals(self) -> None:
        """Let every signal wake too. Without it a signal that comes just before the system call would not end
        the sleep, and PEP 475 would sleep on after one that comes during it. Main thread only."""
        self._signal_fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def close(self) -> None:
        """Give the signals back to whom they woke before, and close the pipe."""
        if self._signal_fd_before is not None:
            signal.set_wakeup_fd(self._signal_fd_before)
            self._signal_fd_before = None
        self._writer.close()
        self._reader.close()
