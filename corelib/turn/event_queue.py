"""Owns the callbacks that wait for a turn, posted from any thread and shared by nested turns.
Must not know loops, fds or time: a function that is passed in wakes the sleeper.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Callback = Callable[[], object]


class EventQueue:
    """First in, first out. `deque` makes append and popleft atomic; only the owning thread takes.

    No wake-up is lost and none is wasted: the loop sets `sleeping` BEFORE it looks whether anything is
    queued, and a poster appends BEFORE it looks at `sleeping`. So either the loop sees the item or the poster
    sees the sleeper."""

    __slots__ = ("_wake", "items", "sleeping", "taken")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.items: deque[Callback] = deque()
        self.sleeping = False
        """Whether a post must call `wake`."""
        self.taken = 0
        """How many were ever taken, counted by the turn that takes them. A turn runs callbacks until this has
        reached what `taken + len(items)` was at first; nested turns raise it too."""

    def post(self, callback: Callback) -> None:
        """Queue a callback; from any thread, and from a signal handler.

        Raises:
            EventLoopClosed: the queue is closed; raised by `wake`.
        """
        self.items.append(callback)
        if self.sleeping:
            self._wake()

    def close(self) -> None:
        """Drop what is queued. Later posts raise, as each tries to wake the closed sleeper."""
        self.sleeping = True
        # A concurrent post may still append: to a deque that keeps nothing.
        dropped, self.items = self.items, deque(maxlen=0)
        self.taken += len(dropped)
