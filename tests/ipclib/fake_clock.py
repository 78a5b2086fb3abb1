"""Owns a clock that moves as a test says, for `EventLoop(clock=...)`. Must not know what is tested."""

from __future__ import annotations

from corelib.turn.clock import Poll


class FakeClock:
    """A clock that moves only when a test moves it, or when the loop sleeps and nothing is ready."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def now_ns(self) -> int:
        return self.now

    def polling(self, poll: Poll) -> Poll:
        def look_and_move_on(seconds: float | None, most: int) -> list[tuple[int, int]]:
            ready = poll(0.0, most)
            if not ready:
                assert seconds is not None, "it would sleep for ever"
                self.now += round(seconds * 1e9)
            return ready

        return look_and_move_on

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)
