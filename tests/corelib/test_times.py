"""Owns the tests of negative, infinite, huge and nonsensical times, alike wherever a time is taken.
Must not know what is waited for.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from corelib import EventLoop, EventReceiver, Promise, TimedOut, Timer, asyncio_bridge, run_async, sleep_ms
from corelib.turn.blocking import block_on
from tests.corelib.conftest import FakeClock

Wait = Callable[[EventLoop, Any], object]
NEVER = [math.inf, 1e300, 10**400, 40 * 365 * 86400]
PASSED = [0, -1, -math.inf, -(10**400), -0.0]


def await_(loop: EventLoop, seconds: Any) -> object:
    promise: Promise[None] = Promise()
    loop.deferred_invoke(lambda: loop.deferred_invoke(lambda: promise.resolve(None)))
    try:
        promise.await_(seconds)
    except TimedOut:
        return False
    return True


def within(loop: EventLoop, seconds: Any) -> object:
    promise: Promise[None] = Promise()
    limited = promise.within(seconds)
    limited.when_rejected(lambda error: None)
    loop.pump(timeout=0.1)
    promise.resolve(None)
    return limited.is_resolved


def spin_until(loop: EventLoop, seconds: Any) -> object:
    done: list[int] = []
    loop.deferred_invoke(lambda: loop.deferred_invoke(lambda: done.append(1)))
    return loop.spin_until(lambda: done, timeout=seconds)


def pump(loop: EventLoop, seconds: Any) -> object:
    timer = Timer.create_single_shot(5, lambda: None)
    timer.start()
    try:
        return loop.pump(timeout=seconds) == 1
    finally:
        timer.stop()


def block(loop: EventLoop, seconds: Any) -> object:
    reader, writer = os.pipe()
    os.write(writer, b"x" if seconds in NEVER else b"")
    try:
        return block_on(reader, 1, seconds)
    finally:
        os.close(reader)
        os.close(writer)


WAITS: list[Wait] = [await_, within, spin_until, pump, block]


@pytest.mark.parametrize("seconds", NEVER)
@pytest.mark.parametrize("wait", WAITS)
def test_an_infinite_or_huge_timeout_never_passes(
    loop: EventLoop, clock: FakeClock, wait: Wait, seconds: float
) -> None:
    assert wait(loop, seconds)


@pytest.mark.parametrize("seconds", PASSED)
@pytest.mark.parametrize("wait", WAITS)
def test_a_negative_timeout_has_passed(loop: EventLoop, clock: FakeClock, wait: Wait, seconds: float) -> None:
    assert not wait(loop, seconds)


@pytest.mark.parametrize("seconds", [1, 1.5, True, Fraction(1, 3)])
@pytest.mark.parametrize("wait", WAITS[:-1])
def test_every_kind_of_number_is_a_timeout(
    loop: EventLoop, clock: FakeClock, wait: Wait, seconds: float
) -> None:
    assert wait(loop, seconds)


@pytest.mark.parametrize("wait", WAITS)
def test_nonsense_is_refused_as_a_timeout_at_once(loop: EventLoop, wait: Wait) -> None:
    with pytest.raises(ValueError, match=r"a timeout is a number of seconds, .* not NaN"):
        wait(loop, math.nan)
    with pytest.raises(TypeError, match=r"a timeout is a number of seconds, .* not '1'"):
        wait(loop, "1")


def repeating(loop: EventLoop, interval: Any) -> object:
    return Timer.create_repeating(interval, lambda: None)


def started(loop: EventLoop, interval: Any) -> object:
    return Timer.create_single_shot(1).start(interval)


def sleeping(loop: EventLoop, interval: Any) -> object:
    return sleep_ms(interval)


def of_a_receiver(loop: EventLoop, interval: Any) -> object:
    return EventReceiver().start_timer(interval)


INTERVALS: list[Wait] = [repeating, started, sleeping, of_a_receiver]


@pytest.mark.parametrize("take", INTERVALS)
def test_an_interval_is_a_number_from_nothing_to_infinity(
    loop: EventLoop, clock: FakeClock, take: Wait
) -> None:
    for interval in (-1, math.nan, -math.inf, -(10**400)):
        with pytest.raises(ValueError, match=r"an? .*interval is a number of milliseconds from 0 on"):
            take(loop, interval)
    for nonsense in ("1", [], 1j) if take is started else ("1", [], 1j, None):
        with pytest.raises(TypeError, match="interval is a number of milliseconds"):
            take(loop, nonsense)
    for interval in (math.inf, 1e300, 10**400):
        take(loop, interval)


def test_an_infinite_timer_never_fires_and_shows_it(loop: EventLoop, clock: FakeClock) -> None:
    timer = Timer.create_repeating(math.inf, lambda: 1 / 0)
    timer.start()
    clock.now += 50 * 365 * 86400 * 10**9
    loop.deferred_invoke(lambda: None)
    assert loop.pump() == 1
    (state,) = loop.snapshot().timers
    assert state.due_in_ms == math.inf


@pytest.mark.parametrize("hosting", ["host", "guest"])
@pytest.mark.parametrize("seconds", [math.inf, 40 * 365 * 86400, 1e300])
def test_asyncio_may_sleep_for_ever(hosting: str, seconds: float) -> None:
    errors: list[BaseException] = []

    async def sleeps() -> None:
        await asyncio.sleep(seconds)

    async def main() -> None:
        sleeping = asyncio.ensure_future(sleeps())
        asyncio.get_running_loop().call_later(seconds, print).cancel()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(sleeping), 0.001)
        await asyncio.wait_for(asyncio.sleep(0), seconds)
        sleeping.cancel()

    with EventLoop() as loop:
        loop.on_exception = lambda error, context: errors.append(error)
        if hosting == "host":
            asyncio_bridge.run(main())
        else:
            with asyncio_bridge.hosted() as hosted:
                task = hosted.create_task(main())
                assert loop.spin_until(task.done, timeout=30)
                task.result()
                hosted.create_task(sleeps())  # Cancelled at the end.
    assert errors == []


def test_a_coroutine_may_sleep_for_ever_and_be_cancelled(loop: EventLoop) -> None:
    async def sleeps() -> None:
        await sleep_ms(math.inf)

    task = run_async(sleeps())
    loop.pump(timeout=0)
    assert task.cancel()
    assert loop.spin_until(lambda: task.is_cancelled, timeout=30)
