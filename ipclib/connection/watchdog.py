"""Owns the one timer of a connection that notices activities without progress.
Must not know what they are: each is observed through a value that changes with its progress.
"""

from __future__ import annotations

from collections.abc import Callable

from corelib import Timer

# Seconds between two looks.
_SHORTEST_INTERVAL = 0.001
_LONGEST_INTERVAL = 0.5
# A stall is noticed at most a quarter of `stall_after` late.
_LOOKS_BEFORE_A_STALL = 4


class Watch:
    """One watched activity.

    `progress()` returns None while it is idle, and else a value that changes with its progress. `stalled()`
    is called after `stall_after` seconds without a change, and again after as many more; never if that is
    math.inf.
    """

    __slots__ = ("_idle_looks", "_looks_allowed", "_progress", "_seen", "_stalled", "stall_after")

    def __init__(
        self, stall_after: float, progress: Callable[[], object | None], stalled: Callable[[], None]
    ) -> None:
        self.stall_after = stall_after
        self._progress = progress
        self._stalled = stalled
        self._looks_allowed = 0.0
        self._seen: object | None = None
        self._idle_looks = 0

    def begin(self, interval: float) -> None:
        """Prepare for a look every `interval` seconds."""
        self._looks_allowed = self.stall_after / interval

    def look(self) -> bool:
        """Look at the progress once; False if the activity is idle.

        Looks are counted, not seconds, so time in which this process itself stood still does not count.
        """
        seen = self._progress()
        if seen is None or seen != self._seen:
            self._seen = seen
            self._idle_looks = 0
            return seen is not None
        self._idle_looks += 1
        if self._idle_looks >= self._looks_allowed:
            self._idle_looks = 0
            self._stalled()
        return True


class Watchdog:
    """The watches of one connection. They are made when there is first something to watch."""

    __slots__ = ("_make", "_timer", "_watches", "is_awake")

    def __init__(self, make: Callable[[], tuple[Watch, ...]]) -> None:
        self._make = make
        self._watches: tuple[Watch, ...] = ()
        self._timer: Timer | None = None
        self.is_awake = False
        """True while the timer runs, which is only while an activity is under way."""

    def wake(self) -> None:
        """Start the timer: an activity is under way."""
        if self.is_awake:
            return
        self.is_awake = True
        if self._timer is None:
            self._timer = self._new_timer()
        self._timer.start()

    def stop(self) -> None:
        """Stop the timer."""
        self.is_awake = False
        if self._timer is not None:
            self._timer.stop()

    def _new_timer(self) -> Timer:
        self._watches = self._make()
        shortest = min(watch.stall_after for watch in self._watches)
        interval = min(_LONGEST_INTERVAL, max(_SHORTEST_INTERVAL, shortest / _LOOKS_BEFORE_A_STALL))
        for watch in self._watches:
            watch.begin(interval)
        return Timer.create_repeating(interval * 1000, self._look)

    def _look(self) -> None:
        under_way = [watch.look() for watch in self._watches]
        if not any(under_way):
            self.stop()
