"""Owns the pipe that ends a thread's sleep, from other threads and from signal handlers.
Must not know the loop: the sleeper polls `fd` and drains it.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal

from corelib.errors import EventLoopClosed
from corelib.turn.not_copied import NotCopied

_DRAIN_BYTES = 4096
# The C signal handler writes the signal's number, wake() this.
_NO_SIGNAL = b"\0"


class WakeUp(NotCopied):
    """A pipe whose read end wakes the sleeper.

    Not an eventfd: that takes eight bytes, and the C signal handler of signal.set_wakeup_fd writes one.

    A process has one wake-up fd for signals, and whoever sets it last has it: stock asyncio takes it for its
    signal handlers, and sets none when the last one is removed. Only setting another one tells which it is,
    at the cost of two system calls. So a loop takes it when it is made, unless somebody else has it, and
    looks again before each long sleep. Without it, a signal that comes just before the system call is only
    handled at the end of a short sleep."""

    __slots__ = ("_is_closed", "_lender", "_reader", "_writer", "_writing")

    def __init__(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._reader = io.FileIO(reader, "r")
        self._writer = io.FileIO(writer, "w")
        self._is_closed = False
        self._writing = 0
        """How many wake() are on the stacks of all threads. The last one closes the write end of a closed
        pipe, so none writes to another file that has got its number. Python switches threads at calls and
        jumps, never in the middle of `_writing += 1`. A lock would block a child that is forked meanwhile."""
        self._lender: int | None = None
        """Somebody else's wake-up fd, while signals wake ours instead."""

    @property
    def fd(self) -> int:
        """The read end: readable after a wake(), until drained."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End the sleep, or the next one. Never blocks: a full pipe wakes as well.

        Raises:
            EventLoopClosed: the pipe is closed.
        """
        self._writing += 1
        try:
            if self._is_closed:
                raise EventLoopClosed
            self._writer.write(_NO_SIGNAL)
        except BrokenPipeError:
            raise EventLoopClosed from None
        finally:
            self._writing -= 1
            if self._is_closed:
                self._close_writer()

    def drain(self) -> None:
        """Discard the wakes so far; after more than 4096 of them, `fd` stays readable."""
        came = self._reader.read(_DRAIN_BYTES)
        if self._lender is not None:
            _pass_on(came, self._lender)

    def offer_to_signals(self) -> None:
        """Make every signal wake too, unless somebody else has the wake-up fd. Main thread only."""
        self.watch_signals()
        self.return_signals()

    def watch_signals(self) -> None:
        """Make every signal wake too, until return_signals(). Main thread only.

        Otherwise a signal just before the system call would not end the sleep, and after one during it PEP
        475 would sleep on."""
        ours = self._writer.fileno()
        before = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if before not in (-1, ours):
            self._lender = before

    def return_signals(self) -> bool:
        """Give the wake-up fd back if somebody else had it, with the signals that have come meanwhile.

        Return whether wakes may have been discarded with these."""
        if self._lender is None:
            return False
        lender, self._lender = self._lender, None
        try:
            signal.set_wakeup_fd(lender, warn_on_full_buffer=False)
        except (OSError, ValueError):
            return False  # Its owner has closed it without a word: ours stays.
        _pass_on(self._reader.read(_DRAIN_BYTES), lender)
        return True

    def stop_watching_signals(self) -> None:
        """Set no wake-up fd if it is ours; somebody else's stays. Main thread only."""
        self.return_signals()
        current = signal.set_wakeup_fd(-1)
        if current not in (-1, self._writer.fileno()):
            with contextlib.suppress(OSError, ValueError):
                signal.set_wakeup_fd(current, warn_on_full_buffer=False)

    def close(self) -> None:
        """Close the pipe; twice is fine."""
        self._is_closed = True
        self._close_writer()
        self._reader.close()

    def _close_writer(self) -> None:
        if not self._writing:
            self._writer.close()


def _pass_on(came: bytes | None, fd: int) -> None:
    signals = (came or b"").replace(_NO_SIGNAL, b"")
    if signals:
        with contextlib.suppress(OSError):
            os.write(fd, signals)
