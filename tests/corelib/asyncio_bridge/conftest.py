"""Owns what the tests of the bridge to asyncio share: both ways to run a coroutine, and nothing left over.
Must not know what a test runs.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from corelib import EventLoop, Timer, asyncio_bridge
from corelib.turn import interrupts, thread_loop

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    fds = len(os.listdir("/proc/self/fd"))
    yield
    assert thread_loop.current_or_none() is None
    assert signal.set_wakeup_fd(-1) == -1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not interrupts.pending
    assert len(os.listdir("/proc/self/fd")) == fds


def run_as_guest(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine as asyncio_bridge.run does, but by turns of EventLoop.exec()."""
    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        task = guest.create_task(main)
        task.add_done_callback(lambda _: loop.quit())
        loop.exec()
        return task.result()


@pytest.fixture(params=["host", "guest"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Both ways of running a coroutine: every test that takes this must pass with each."""
    return asyncio_bridge.run if request.param == "host" else run_as_guest


def after(ms: float, callback: Callable[[], object]) -> Timer:
    timer = Timer.create_single_shot(ms, callback)
    timer.start()
    return timer
