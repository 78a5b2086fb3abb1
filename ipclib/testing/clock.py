"""Owns ManualClock, the time of a test: it moves when the test says so, or when the loop would sleep.
Must not know what waits for the time to pass.
"""

from __future__ import annotations

from collections.abc import Callable

Poll = Callable[[float | None, int], list[tuple[int, int]]]


class ManualClock:
    """A clock for `EventLoop(clock=...)`, by which an hour passes at once.

    It moves by advance(), and by as much as the loop would sleep when no fd is ready. A test that waits for
    another process needs the system's clock: on this one its timeouts pass at once.
    """

    def __init__(self) -> None:
        self._now_ns = 1_000_000_000

    def now_ns(self) -> int:
        """The present moment, in nanoseconds."""
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """Let time pass: what became due meanwhile happens in the next turns."""
        self._now_ns += round(seconds * 1e9)

    def polling(self, poll: Poll) -> Poll:
        """Called by the loop: return a poll that moves the clock in place of a sleep."""

        def look_and_move_on(seconds: float | None, most: int) -> list[tuple[int, int]]:
            ready = poll(0.0, most)
            if not ready:
                if seconds is None:
                    raise AssertionError(
                        "the test waits for ever: no timer is started and no fd is ready (on a ManualClock "
                        "only what happens in this process can end a wait)"
                    )
                self._now_ns += round(seconds * 1e9)
            return ready

        return look_and_move_on
