"""Owns Timer: when it is due next, and that its own callback never runs inside itself.
Must not know how the loop waits; it uses the thread's timer queue alone.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident

from corelib.turn import thread_loop
from corelib.turn.interrupts import calls_user_code
from corelib.turn.not_copied import NotCopied
from corelib.turn.thread_loop import ThreadLoop

_NS_PER_MS = 1_000_000
# Timers with longer intervals, of 31 years up to math.inf, never come due.
_LONGEST_MS = 1e12
_INTERVAL = "a timer's interval is a number of milliseconds from 0 on, or math.inf for never"
NEVER_NS = 1 << 62
"""The interval of a timer that never comes due, in nanoseconds: 146 years."""


class Timer(NotCopied):
    """Calls `on_timeout` once or repeatedly, in turns of the loop of the thread that started it.

    It is made stopped, as in LibCore. The loop keeps a started timer alive.

    A repeating timer keeps its phase: it comes due at its first deadline plus whole intervals, and skips the
    ticks that it missed while the loop was busy or its own callback ran. Intervals are milliseconds of the
    loop's clock; with math.inf, or more than 31 years, it never fires."""

    __slots__ = (
        "_deadline",
        "_interval_ms",
        "_interval_ns",
        "_running",
        "_single_shot",
        "_thread",
        "_ticket",
        "on_timeout",
    )

    def __init__(
        self, interval_ms: float, on_timeout: Callable[[], object] | None = None, *, single_shot: bool = False
    ) -> None:
        self.on_timeout = on_timeout
        self._single_shot = single_shot
        self._running = False
        self._thread: ThreadLoop
        self._ticket = 0
        self._deadline: int | None = None
        """When it is due, in nanoseconds; None while it is stopped. It is in the timer queue from start()
        until it fires, and again when its callback has returned."""
        self.set_interval(interval_ms)

    @classmethod
    def create_single_shot(cls, interval_ms: float, callback: Callable[[], object] | None = None) -> Timer:
        """A timer that fires once for each start."""
        return cls(interval_ms, callback, single_shot=True)

    @classmethod
    def create_repeating(cls, interval_ms: float, callback: Callable[[], object] | None = None) -> Timer:
        """A timer that fires until it is stopped."""
        return cls(interval_ms, callback)

    @property
    def is_active(self) -> bool:
        """Whether it is started. A single shot is stopped before its callback runs."""
        return self._deadline is not None

    @property
    def interval(self) -> float:
        """The interval in milliseconds."""
        return self._interval_ms

    @property
    def is_single_shot(self) -> bool:
        """Whether it stops when it fires."""
        return self._single_shot

    def start(self, interval_ms: float | None = None) -> None:
        """Start it in the calling thread; no effect if it is started already (LibCore's rule).

        Raises:
            NoEventLoop: the thread has no loop.
            ValueError: the interval is negative or NaN.
        """
        if self._deadline is not None:
            return
        if interval_ms is not None:
            self.set_interval(interval_ms)
        self._thread = thread = thread_loop.current()
        # Never due at once, so a timer started in a turn fires in a later one.
        self._deadline = thread.now_ns() + (self._interval_ns or 1)
        if not self._running:
            self._ticket = thread.timers.arm(self._deadline, self)

    def restart(self, interval_ms: float | None = None) -> None:
        """Stop it and start it with the whole interval."""
        self.stop()
        self.start(interval_ms)

    def stop(self) -> None:
        """Stop it; no error if it is stopped.

        Raises:
            WrongThread: another thread started it.
        """
        if self._deadline is None:
            return
        thread = self._thread
        if get_ident() != thread.ident:
            thread.require_own_thread()
        self._deadline = None
        thread.timers.cancel(self._ticket)

    def set_interval(self, interval_ms: float) -> None:
        """Change the interval from the next start or tick on; the present deadline stays.

        Raises:
            ValueError: the interval is negative or NaN.
        """
        try:
            if 0 <= interval_ms <= _LONGEST_MS:
                self._interval_ns = int(interval_ms * _NS_PER_MS)
            elif interval_ms > _LONGEST_MS:
                self._interval_ns = NEVER_NS
            else:
                raise ValueError(f"{_INTERVAL}, not {interval_ms!r}")
        except TypeError:
            raise TypeError(f"{_INTERVAL}, not {interval_ms!r}") from None
        self._interval_ms = interval_ms

    @property
    def user_code(self) -> object:
        """The callback, for instruments."""
        return self.on_timeout

    @calls_user_code
    def fire(self) -> None:
        """Call `on_timeout`, then queue the next tick, if any. Called by the turn, which has dequeued it."""
        due = self._deadline
        if self._single_shot:
            self._deadline = None
        self._running = True
        try:
            if self.on_timeout is not None:
                self.on_timeout()
        finally:
            self._running = False
            if self._deadline is not None:
                if self._deadline == due:
                    interval = self._interval_ns or 1
                    self._deadline = due + ((self._thread.now_ns() - due) // interval + 1) * interval
                self._ticket = self._thread.timers.arm(self._deadline, self)

    def forget(self) -> None:
        """Become stopped. Called when the loop is closed with this timer in its queue."""
        self._deadline = None

    def __repr__(self) -> str:
        kind = "single shot" if self._single_shot else "repeating"
        state = "stopped" if self._deadline is None else "running" if self._running else "started"
        return f"<Timer {self._interval_ms} ms, {kind}, {state}, on_timeout={self.on_timeout!r}>"
