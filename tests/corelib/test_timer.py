"""Owns the tests of when timers fire, and that they never fire inside themselves.
Must not know how the loop waits.
"""

from __future__ import annotations

import threading
import weakref
from functools import partial

import pytest

from corelib import EventLoop, NoEventLoop, Timer, WaitMode, WrongThread
from tests.corelib.conftest import FakeClock

POLL = WaitMode.POLL_FOR_EVENTS


def run_ms(loop: EventLoop, clock: FakeClock, ms: float) -> None:
    end = clock.now + int(ms * 1_000_000)
    while clock.now < end:
        loop.pump(timeout=(end - clock.now) / 1e9)


def test_a_single_shot_fires_once_for_each_start(loop: EventLoop, clock: FakeClock) -> None:
    seen: list[bool] = []
    timer = Timer.create_single_shot(10, lambda: seen.append(timer.is_active))
    assert (timer.is_active, timer.interval, timer.is_single_shot) == (False, 10, True)
    run_ms(loop, clock, 50)
    assert seen == [], "made stopped"
    timer.start()
    assert timer.is_active
    run_ms(loop, clock, 50)
    assert seen == [False]
    timer.start(5)
    run_ms(loop, clock, 5)
    assert seen == [False, False]
    assert timer.interval == 5


def test_a_repeating_timer_fires_thirty_times_in_thirty_intervals(loop: EventLoop, clock: FakeClock) -> None:
    fired: list[int] = []
    start = clock.now
    timer = Timer.create_repeating(10, lambda: fired.append(clock.now))
    timer.start()
    run_ms(loop, clock, 300)
    assert fired == [start + tick * 10_000_000 for tick in range(1, 31)]
    assert not timer.is_single_shot


def test_missed_ticks_are_skipped_and_the_phase_is_kept(loop: EventLoop, clock: FakeClock) -> None:
    fired: list[float] = []
    start = clock.now

    def busy_at_first() -> None:
        fired.append((clock.now - start) / 1e6)
        if len(fired) == 1:
            clock.advance_ms(34)

    timer = Timer.create_repeating(10, busy_at_first)
    timer.start()
    run_ms(loop, clock, 70)
    assert fired == [10, 50, 60, 70]


def test_a_tick_that_falls_on_the_return_of_the_callback_was_missed(
    loop: EventLoop, clock: FakeClock
) -> None:
    fired: list[float] = []
    start = clock.now
    timer = Timer.create_repeating(
        10, lambda: (fired.append((clock.now - start) / 1e6), clock.advance_ms(10))
    )
    timer.start()
    run_ms(loop, clock, 60)
    assert fired == [10, 30, 50]


def test_a_timer_does_not_recurse_when_its_callback_waits_longer_than_the_interval(
    loop: EventLoop, clock: FakeClock
) -> None:
    depths: list[int] = []
    depth = 0
    other: list[float] = []

    def wait_300_ms() -> None:
        nonlocal depth
        depth += 1
        depths.append(depth)
        start = clock.now
        turns = 0
        while clock.now < start + 300_000_000:
            loop.pump(timeout=(start + 300_000_000 - clock.now) / 1e9)
            turns += 1
        assert turns <= 40, "nested turns must sleep although the timer is overdue"
        depth -= 1

    timer = Timer.create_repeating(10, wait_300_ms)
    witness = Timer.create_repeating(10, lambda: other.append(clock.now))
    timer.start()
    witness.start()
    run_ms(loop, clock, 640)
    assert depths == [1, 1, 1]
    assert len(other) >= 60


def test_timers_fire_in_order_of_deadline_and_ties_in_order_of_starting(
    loop: EventLoop, clock: FakeClock
) -> None:
    seen: list[str] = []
    timers = [
        Timer.create_single_shot(ms, partial(seen.append, name))
        for ms, name in [(30, "c"), (10, "a1"), (20, "b"), (10, "a2")]
    ]
    for timer in timers:
        timer.start()
    clock.advance_ms(100)
    assert loop.pump(POLL) == 4
    assert seen == ["a1", "a2", "b", "c"]


def test_a_timer_started_in_a_turn_waits_for_the_next_even_with_no_interval(
    loop: EventLoop, clock: FakeClock
) -> None:
    seen: list[str] = []
    again = Timer.create_single_shot(0, lambda: (seen.append("again"), again.start()))
    again.start()
    repeating = Timer.create_repeating(0, lambda: seen.append("repeating"))
    repeating.start()
    for turn in range(1, 4):
        clock.advance_ms(1)
        loop.pump(POLL)
        assert len(seen) == 2 * turn


def test_start_leaves_a_started_timer_alone_and_restart_does_not(loop: EventLoop, clock: FakeClock) -> None:
    fired: list[float] = []
    start = clock.now
    timer = Timer.create_single_shot(10, lambda: fired.append((clock.now - start) / 1e6))
    timer.start()
    clock.advance_ms(5)
    timer.start(100)
    assert timer.interval == 10
    timer.restart()
    run_ms(loop, clock, 50)
    assert fired == [15]


def test_set_interval_counts_from_the_next_tick(loop: EventLoop, clock: FakeClock) -> None:
    fired: list[float] = []
    start = clock.now
    timer = Timer.create_repeating(10, lambda: fired.append((clock.now - start) / 1e6))
    timer.start()
    clock.advance_ms(1)
    timer.set_interval(25)
    run_ms(loop, clock, 60)
    assert fired == [10, 35, 60]


def test_a_timer_may_be_restarted_and_stopped_in_its_callback(loop: EventLoop, clock: FakeClock) -> None:
    fired: list[float] = []
    start = clock.now

    def callback() -> None:
        fired.append((clock.now - start) / 1e6)
        clock.advance_ms(3)
        if len(fired) == 1:
            timer.restart(20)
        else:
            timer.stop()

    timer = Timer.create_repeating(10, callback)
    timer.start()
    run_ms(loop, clock, 100)
    assert fired == [10, 33]
    assert not timer.is_active


def test_a_timer_stopped_by_a_sibling_does_not_fire(loop: EventLoop, clock: FakeClock) -> None:
    seen: list[str] = []
    first = Timer.create_single_shot(10, lambda: (seen.append("first"), second.stop()))
    second = Timer.create_single_shot(10, lambda: seen.append("second"))
    first.start()
    second.start()
    run_ms(loop, clock, 50)
    assert seen == ["first"]


def test_a_callback_that_raises_does_not_stop_a_repeating_timer(
    loop: EventLoop, clock: FakeClock, failures: list[Exception]
) -> None:
    timer = Timer.create_repeating(10, lambda: 1 / 0)
    timer.start()
    run_ms(loop, clock, 30)
    assert len(failures) == 3
    assert timer.is_active


def test_an_interrupt_out_of_a_callback_does_not_stop_a_repeating_timer(
    loop: EventLoop, clock: FakeClock
) -> None:
    seen: list[int] = []

    def interrupted_at_first() -> None:
        seen.append(clock.now)
        if len(seen) == 1:
            raise KeyboardInterrupt

    timer = Timer.create_repeating(10, interrupted_at_first)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_ms(loop, clock, 30)
    run_ms(loop, clock, 10)
    assert len(seen) == 2


def test_the_loop_keeps_a_started_timer_alive_and_no_other(loop: EventLoop, clock: FakeClock) -> None:
    seen: list[str] = []

    class Witness:
        def fired(self) -> None:
            seen.append("fired")

    witness = Witness()
    Timer.create_single_shot(10, witness.fired).start()
    kept = weakref.ref(witness)
    Timer.create_single_shot(10, witness.fired)
    del witness
    run_ms(loop, clock, 20)
    assert seen == ["fired"]
    assert kept() is None


def test_a_timer_may_have_no_callback(loop: EventLoop, clock: FakeClock) -> None:
    timer = Timer.create_single_shot(10)
    timer.start()
    run_ms(loop, clock, 10)
    assert not timer.is_active


@pytest.mark.parametrize("interval", [-1, float("nan"), float("-inf")])
def test_intervals_out_of_range_are_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="number of milliseconds"):
        Timer.create_single_shot(interval)


def test_start_needs_a_loop() -> None:
    timer = Timer.create_single_shot(10)
    timer.stop()
    with pytest.raises(NoEventLoop):
        timer.start()
    assert not timer.is_active


def test_another_thread_may_not_stop_a_timer(loop: EventLoop) -> None:
    timer = Timer.create_single_shot(10)
    timer.start()
    errors: list[WrongThread] = []

    def stop() -> None:
        try:
            timer.stop()
        except WrongThread as error:
            errors.append(error)

    thread = threading.Thread(target=stop)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert timer.is_active
