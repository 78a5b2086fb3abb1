"""Owns what the tests of corelib share: a loop that is closed again, and a clock that moves as tests say.
Must not know what is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from corelib import EventLoop
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
                assert seconds is not None, "it would sleep without end"
                self.now += round(seconds * 1e9)
            return ready

        return look_and_move_on

    def advance_ms(self, ms: float) -> None:
        self.now += int(ms * 1_000_000)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def loop(request: pytest.FixtureRequest) -> Iterator[EventLoop]:
    """A loop of the test's thread; on the fake clock if the test takes that too."""
    fake = request.getfixturevalue("clock") if "clock" in request.fixturenames else None
    with EventLoop(clock=fake) as made:
        yield made


@pytest.fixture
def failures(loop: EventLoop) -> list[Exception]:
    """The exceptions of callbacks, which are not logged then."""
    seen: list[Exception] = []
    loop.on_exception = lambda error, context: seen.append(error)
    return seen


@pytest.fixture
def forked() -> Callable[[Callable[[], object]], object]:
    """A function that runs another in a forked child and returns the exit code, 0 if it returned."""
    import os
    import traceback

    def run(function: Callable[[], object]) -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                function()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return run
