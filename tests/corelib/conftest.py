"""What the tests of corelib share: a loop that is closed again, and a clock that moves only when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from corelib import EventLoop, event_loop, promise, timer
from corelib.turn import thread_data


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    with EventLoop() as made:
        yield made


@pytest.fixture
def failures(loop: EventLoop) -> list[Exception]:
    """What callbacks let out, instead of the log."""
    seen: list[Exception] = []
    loop.on_exception = lambda error, context: seen.append(error)
    return seen


class FakeClock:
    """monotonic_ns for the package; `sleep` is what the poller does meanwhile: nothing becomes ready, time
    passes."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance_ms(self, ms: float) -> None:
        self.now += int(ms * 1_000_000)

    def sleep(self, seconds: float | None, most: int) -> list[tuple[int, int]]:
        assert seconds is not None, "it would sleep for ever"
        self.now += round(seconds * 1e9)
        return []


@pytest.fixture
def clock(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    for module in (event_loop, promise, thread_data, timer):
        monkeypatch.setattr(module, "monotonic_ns", fake)
    monkeypatch.setattr(thread_data.current().poller, "poll", fake.sleep)
    return fake


@pytest.fixture
def forked() -> Callable[[Callable[[], object]], object]:
    """Runs a function in a forked child; its exit code, 0 when it returned."""
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
