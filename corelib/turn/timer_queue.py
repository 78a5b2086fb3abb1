"""Owns the order in which timers come due. Must not know clocks, loops or what a timer is: it is pure, and
time is passed in, as nanoseconds of one clock.
"""

from __future__ import annotations

from heapq import heappop, heappush
from operator import itemgetter
from typing import Generic, TypeVar

T = TypeVar("T")

_COMPACTION_FLOOR = 64
# A place in the heap is one int, the deadline above and a sequence number below: 3.11 compares two ints in
# half the time of two tuples.
SEQUENCE_BITS = 64
_LONGEST_SECONDS = 1e9
_NS_PER_SECOND = 1_000_000_000


def deadline_after(now_ns: int, seconds: float | None) -> int | None:
    """The moment `seconds` after `now_ns`, in nanoseconds; None (never) for None, math.inf and 30 years.

    A negative timeout has passed already, as the rest of a deadline may have.

    Raises:
        ValueError: NaN.
        TypeError: not a number.
    """
    if seconds is None or check_timeout(seconds) > _LONGEST_SECONDS:
        return None
    return now_ns + int(seconds * _NS_PER_SECOND) if seconds > 0 else now_ns


def check_timeout(seconds: float) -> float:
    """Return the timeout.

    Raises:
        ValueError: NaN.
        TypeError: not a number.
    """
    try:
        if seconds > 0 or seconds <= 0:  # Neither is true of NaN.
            return seconds
    except TypeError:
        raise TypeError(f"a timeout is a number of seconds, or None for no end, not {seconds!r}") from None
    raise ValueError("a timeout is a number of seconds, or None for no end, not NaN")


class TimerQueue(Generic[T]):
    """A heap of deadlines.

    Cancelling only drops the item. Its place in the heap is dropped when it becomes the first, or with all
    others when more than a third of the heap is dead."""

    __slots__ = ("_armed", "_sequence", "heap")

    def __init__(self) -> None:
        self.heap: list[int] = []
        """Places, the soonest first, some of them cancelled: `pop_due` and `next_deadline` skip those. Public
        for the turn, which sees by `heap[0] >> SEQUENCE_BITS` whether anything can be due. The list is never
        replaced."""
        self._armed: dict[int, T] = {}
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, deadline_ns: int, item: T) -> int:
        """Queue `item`; return a ticket for cancel(). Equal deadlines come due in the order of arming."""
        self._sequence = sequence = self._sequence + 1
        place = deadline_ns << SEQUENCE_BITS | sequence
        self._armed[place] = item
        heappush(self.heap, place)
        return place

    def cancel(self, ticket: int) -> None:
        """Drop the item of a ticket; no error if it has come due already."""
        armed = self._armed
        if armed.pop(ticket, None) is not None and 2 * len(self.heap) > 3 * len(armed) + _COMPACTION_FLOOR:
            # In place, as the turn may be looking at this very list. A sorted list is a heap.
            self.heap[:] = sorted(armed)

    def next_deadline(self) -> int | None:
        """The soonest deadline; None if nothing is armed."""
        heap, armed = self.heap, self._armed
        while heap:
            place = heap[0]
            if place in armed:
                return place >> SEQUENCE_BITS
            heappop(heap)
        return None

    def pop_due(self, now_ns: int) -> T | None:
        """Remove and return the first item that is due at `now_ns`; None if there is none."""
        heap = self.heap
        end = now_ns + 1 << SEQUENCE_BITS
        while heap and heap[0] < end:
            item = self._armed.pop(heappop(heap), None)
            if item is not None:
                return item
        return None

    def armed(self) -> list[tuple[int, T]]:
        """The armed items with their deadlines, the soonest first."""
        return [
            (place >> SEQUENCE_BITS, item)
            for place, item in sorted(self._armed.copy().items(), key=itemgetter(0))
        ]

    def clear(self) -> list[T]:
        """Remove and return all items."""
        items = list(self._armed.values())
        self.heap.clear()
        self._armed.clear()
        return items
