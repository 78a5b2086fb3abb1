"""Owns the tests of clocks: that everything that hangs on a loop lives in the time of its clock.
Must not know how a turn sleeps.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from corelib import EventLoop, LocalSocket, Promise, TimedOut, Timer, UsageError, asyncio_bridge
from corelib.turn import current_thread_loop
from tests.corelib.conftest import FakeClock

HOUR = 3600.0


def test_a_loop_lives_in_the_systems_time_by_default(loop: EventLoop) -> None:
    assert current_thread_loop().now_ns is time.monotonic_ns


def test_timers_promises_and_conditions_pass_an_hour_at_once(loop: EventLoop, clock: FakeClock) -> None:
    fired: list[int] = []
    began = clock.now
    timer = Timer.create_single_shot(HOUR * 1000, lambda: fired.append(clock.now))
    timer.start()
    assert not loop.spin_until(lambda: False, timeout=HOUR / 2)
    with pytest.raises(TimedOut):
        Promise[int]().await_(timeout=HOUR)
    assert fired == [began + int(HOUR * 1e9)]


def test_a_snapshot_tells_due_times_of_the_clock(loop: EventLoop, clock: FakeClock) -> None:
    timer = Timer.create_single_shot(500)
    timer.start()
    clock.advance_ms(200)
    assert [state.due_in_ms for state in loop.snapshot().timers] == [300.0]


def test_a_blocking_wait_passes_in_the_time_of_the_clock(loop: EventLoop, clock: FakeClock) -> None:
    began = clock.now
    one, other = LocalSocket.pair()
    assert not one.wait_readable(timeout=HOUR)
    assert clock.now == began + int(HOUR * 1e9)
    other.send(b"x")
    assert one.wait_readable(timeout=HOUR)
    assert clock.now == began + int(HOUR * 1e9)


def test_asyncio_sleeps_in_the_time_of_the_clock(loop: EventLoop, clock: FakeClock) -> None:
    began = clock.now
    asyncio_bridge.run(asyncio.sleep(HOUR))
    assert (clock.now - began) / 1e9 == pytest.approx(HOUR, abs=0.01)


def test_a_guest_asyncio_loop_sleeps_in_the_time_of_the_clock(loop: EventLoop, clock: FakeClock) -> None:
    began = clock.now
    with asyncio_bridge.hosted() as guest:
        task = guest.create_task(asyncio.sleep(HOUR))
        assert loop.spin_until(task.done)
    assert (clock.now - began) / 1e9 == pytest.approx(HOUR, abs=0.01)


def test_all_loops_of_a_thread_share_one_clock(loop: EventLoop, clock: FakeClock) -> None:
    with EventLoop(clock=clock) as second, EventLoop() as third:
        assert not second.spin_until(lambda: False, timeout=HOUR)
        assert not third.spin_until(lambda: False, timeout=HOUR)
    with pytest.raises(UsageError, match="an event loop with another clock"):
        EventLoop(clock=FakeClock())
