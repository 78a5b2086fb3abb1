"""What must not stand still: an answer that is awaited, a frame that has begun, bytes that wait to leave.

Owns the one timer of a connection for all of these, which runs only while one of them is under way.
Knows them by a value that changes when they move.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from corelib import Timer

_LONGEST_INTERVAL = 0.5
_LOOKS_IN_A_PATIENCE = 4


class Watch:
    """One of them. `progress()` is None while it is not under way; `stalled()` is called when it has not
    moved for `patience` seconds, and again after as many more."""

    __slots__ = ("_idle_looks", "_patient_looks", "_progress", "_seen", "_stalled", "patience")

    def __init__(
        self, patience: float, progress: Callable[[], object | None], stalled: Callable[[], None]
    ) -> None:
        self.patience = patience
        self._progress = progress
        self._stalled = stalled
        self._patient_looks = 0
        self._seen: object | None = None
        self._idle_looks = 0

    def begin(self, interval: float) -> None:
        """It will be looked at every so many seconds."""
        self._patient_looks = math.ceil(self.patience / interval)

    def look(self) -> bool:
        """Whether it is under way. Looks are counted, not seconds: while this process itself stood still,
        nothing was looked at."""
        seen = self._progress()
        if seen is None or seen != self._seen:
            self._seen = seen
            self._idle_looks = 0
            return seen is not None
        self._idle_looks += 1
        if self._idle_looks >= self._patient_looks:
            self._idle_looks = 0
            self._stalled()
        return True


class Watchdog:
    """The watches of one connection, made when there is something to watch."""

    __slots__ = ("_make", "_timer", "_watches", "is_awake")

    def __init__(self, make: Callable[[], tuple[Watch, ...]]) -> None:
        self._make = make
        self._watches: tuple[Watch, ...] = ()
        self._timer: Timer | None = None
        self.is_awake = False
        """Whether the timer runs."""

    def wake(self) -> None:
        """Something is under way."""
        if self.is_awake:
            return
        self.is_awake = True
        if self._timer is None:
            self._timer = self._new_timer()
        self._timer.start()

    def stop(self) -> None:
        """Watch no more."""
        self.is_awake = False
        if self._timer is not None:
            self._timer.stop()

    def _new_timer(self) -> Timer:
        self._watches = self._make()
        shortest = min(watch.patience for watch in self._watches)
        interval = min(_LONGEST_INTERVAL, shortest / _LOOKS_IN_A_PATIENCE)
        for watch in self._watches:
            watch.begin(interval)
        return Timer.create_repeating(interval * 1000, self._look)

    def _look(self) -> None:
        under_way = [watch.look() for watch in self._watches]
        if not any(under_way):
            self.stop()
