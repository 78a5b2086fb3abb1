"""Owns the pipe that ends a thread's sleep, from other threads and from signal handlers.
Must not know the loop: the sleeper polls `fd` and drains it.
"""

from __future__ import annotations

import io
import os
import signal

from corelib.errors import EventLoopClosed

_DRAIN_BYTES = 4096


class WakeUp:
    """A pipe whose read end wakes the sleeper.

    Not an eventfd: that takes eight bytes, and the C signal handler of signal.set_wakeup_fd writes one."""

    __slots__ = ("_reader", "_signal_fd_before", "_writer")

    def __init__(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A closed FileIO raises, so a late wake from another thread never writes to a reused number.
        self._reader = io.FileIO(reader, "r")
        self._writer = io.FileIO(writer, "w")
        self._signal_fd_before: int | None = None

    @property
    def fd(self) -> int:
        """The read end: readable after a wake(), until drained."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End the sleep, or the next one. Never blocks: a full pipe wakes as well.

        Raises:
            EventLoopClosed: the pipe is closed.
        """
        try:
            self._writer.write(b"\0")
        except ValueError:
            raise EventLoopClosed from None

    def drain(self) -> None:
        """Discard the wakes so far; after more than 4096 of them, `fd` stays readable."""
        self._reader.read(_DRAIN_BYTES)

    def watch_signals(self) -> None:
        """Make every signal wake too. Main thread only.

        Otherwise a signal just before the system call would not end the sleep, and after one during it PEP
        475 would sleep on."""
        self._signal_fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def close(self) -> None:
        """Close the pipe, and restore the fd that signals woke before."""
        if self._signal_fd_before is not None:
            signal.set_wakeup_fd(self._signal_fd_before)
            self._signal_fd_before = None
        self._writer.close()
        self._reader.close()
