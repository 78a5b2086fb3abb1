"""Owns the clocks of loops: which moment it is, and how a sleep passes.
Must not know what anybody measures or waits for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

Poll = Callable[[float | None, int], list[tuple[int, int]]]
"""`poll(seconds, most)`: sleep for at most `seconds` (None: without end) until an fd is ready; return at most
`most` pairs of an fd and its events."""


class Clock(Protocol):
    """The time that a thread's loops live in: `EventLoop(clock=...)`.

    Everything that hangs on the loop reads this clock: timers, timeouts, deadlines, snapshots. A clock of
    your own makes tests of an hour pass at once. The loop does not poll busily under it."""

    def now_ns(self) -> int:
        """The present moment, in nanoseconds: 0 or more, and never going back."""
        ...

    def polling(self, poll: Poll) -> Poll:
        """Return what the loop calls instead of the system's `poll`, which is the argument.

        The result sleeps in its own way: a clock for tests calls `poll(0.0, most)` and moves `now_ns` on by
        `seconds` if nothing is ready."""
        ...


class SystemClock:
    """The system's monotonic clock, and real sleep. It adds no Python function to either."""

    now_ns = staticmethod(time.monotonic_ns)

    def polling(self, poll: Poll) -> Poll:
        """Return `poll` itself."""
        return poll


SYSTEM_CLOCK = SystemClock()
