"""Owns the order in which things come due. Pure: time is passed in, as nanoseconds of one clock.
May not know clocks, loops or what a timer is.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from operator import itemgetter
from typing import Generic, TypeVar

T = TypeVar("T")

_COMPACTION_FLOOR = 64
# A place in the heap is one int, deadline above and sequence below: it compares in half the time of a tuple.
SEQUENCE_BITS = 64
_LONGEST_SECONDS = 1e9


def deadline_after(now_ns: int, seconds: float | None) -> int | None:
    """The moment `seconds` after `now_ns`, in nanoseconds; None, for ever, stays None. ValueError for NaN."""
    if seconds is None or seconds > _LONGEST_SECONDS:
        return None
    if math.isnan(seconds):
        raise ValueError("a timeout is a number of seconds or None, not NaN")
    return now_ns + int(max(seconds, 0.0) * 1e9)


class TimerQueue(Generic[T]):
    """A heap of deadlines. Cancelling only forgets the item; its place in the heap is dropped when it
    surfaces, or all at once when more than a third of the heap is dead.
    """

    __slots__ = ("_armed", "_sequence", "heap")

    def __init__(self) -> None:
        #: Places, soonest first. May begin with cancelled ones; only `pop_due` and `next_deadline` know.
        #: Public for the turn, which sees by `heap[0] >> SEQUENCE_BITS` whether anything can be due. The list
        #: is never replaced.
        self.heap: list[int] = []
        self._armed: dict[int, T] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, deadline_ns: int, item: T) -> int:
        """Queue `item`; the ticket cancels it. Equal deadlines come due in the order of arming."""
        self._sequence = sequence = self._sequence + 1
        place = deadline_ns << SEQUENCE_BITS | sequence
        self._armed[place] = item
        heappush(self.heap, place)
        return place

    def cancel(self, ticket: int) -> None:
        """Forget what was armed under `ticket`; fine if it came due already."""
        armed = self._armed
        if armed.pop(ticket, None) is not None and 2 * len(self.heap) > 3 * len(armed) + _COMPACTION_FLOOR:
            # In place: the turn may be looking at this very list. Sorted, it is a heap.
            self.heap[:] = sorted(armed)

    def next_deadline(self) -> int | None:
        """The soonest deadline, None when nothing is armed."""
        heap, armed = self.heap, self._armed
        while heap:
            place = heap[0]
            if place in armed:
                return place >> SEQUENCE_BITS
            heappop(heap)
        return None

    def pop_due(self, now_ns: int) -> T | None:
        """Take out the first item that is due at `now_ns`, None when none is."""
        heap = self.heap
        end = now_ns + 1 << SEQUENCE_BITS
        while heap and heap[0] < end:
            item = self._armed.pop(heappop(heap), None)
            if item is not None:
                return item
        return None

    def armed(self) -> list[tuple[int, T]]:
        """The deadlines and items that are armed, soonest first."""
        return [
            (place >> SEQUENCE_BITS, item)
            for place, item in sorted(self._armed.copy().items(), key=itemgetter(0))
        ]

    def clear(self) -> list[T]:
        """Forget everything, and tell what it was."""
        forgotten = list(self._armed.values())
        self.heap.clear()
        self._armed.clear()
        return forgotten
