"""Owns the tests with large numbers: callbacks that raise, timers, nested loops, threads and signals.
Must not know how the loop keeps any of them.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import signal
import socket
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

import pytest

from corelib import CustomEvent, EventLoop, EventReceiver, Notifier, Timer, WaitMode
from corelib.turn import thread_loop
from tests.corelib.conftest import FakeClock

POLL = WaitMode.POLL_FOR_EVENTS
Callback = Callable[[], object]
# In seconds: far more than any test takes, so that a hang fails and a slow machine does not.
GUARD = 30.0


class Receiver(EventReceiver):
    def __init__(self, callback: Callback) -> None:
        super().__init__()
        self.callback = callback

    def custom_event(self, event: CustomEvent) -> None:
        self.callback()


class Source:
    """Make each call of `trigger` and the turn after it call both callbacks."""

    def __init__(self, loop: EventLoop, failing: Callback, sibling: Callback) -> None:
        self.callbacks = (failing, sibling)
        self.loop = loop
        self.start()

    def start(self) -> None: ...

    def trigger(self) -> None: ...

    def stop(self) -> None: ...


class Timers(Source):
    def start(self) -> None:
        self.timers = [Timer.create_repeating(0, callback) for callback in self.callbacks]
        for timer in self.timers:
            timer.start()

    def stop(self) -> None:
        for timer in self.timers:
            timer.stop()


class Notifiers(Source):
    def start(self) -> None:
        self.pairs = [socket.socketpair() for _ in self.callbacks]
        for _, theirs in self.pairs:
            theirs.send(b"x")
        self.notifiers = [
            Notifier(mine, Notifier.Type.READ, callback)
            for (mine, _), callback in zip(self.pairs, self.callbacks, strict=True)
        ]

    def stop(self) -> None:
        for notifier, pair in zip(self.notifiers, self.pairs, strict=True):
            notifier.close()
            for each in pair:
                each.close()


class Deferred(Source):
    def trigger(self) -> None:
        for callback in self.callbacks:
            self.loop.deferred_invoke(callback)


class Signals(Source):
    def start(self) -> None:
        for callback in self.callbacks:
            self.loop.register_signal(signal.SIGUSR1, partial(self.call, callback))

    def call(self, callback: Callback, _signo: int) -> None:
        callback()

    def trigger(self) -> None:
        signal.raise_signal(signal.SIGUSR1)


class Events(Source):
    def start(self) -> None:
        self.receivers = [Receiver(callback) for callback in self.callbacks]

    def trigger(self) -> None:
        for receiver in self.receivers:
            self.loop.post_event(receiver, CustomEvent(1))


@pytest.mark.parametrize("source", [Timers, Notifiers, Deferred, Signals, Events])
def test_a_callback_may_raise_a_thousand_times(
    loop: EventLoop, failures: list[Exception], source: type[Source]
) -> None:
    numbers = itertools.count()
    ran = 0

    def fail() -> None:
        raise ValueError(next(numbers))

    def run() -> None:
        nonlocal ran
        ran += 1

    made = source(loop, fail, run)
    deadline = time.monotonic() + GUARD
    while len(failures) < 1000 or ran < 1000:
        made.trigger()
        loop.pump()
        assert time.monotonic() < deadline, (len(failures), ran)
    made.stop()
    assert [error.args for error in failures] == [(number,) for number in range(len(failures))], "each once"
    assert ran == len(failures) == 1000
    loop.deferred_invoke(partial(loop.quit, 5))
    assert loop.exec() == 5


class Ticker:
    """One of many timers, and the deadline that follows from all that was done to it."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.timer = Timer.create_single_shot(0, self)
        self.due: int | None = None

    def arm(self, interval_ms: int) -> None:
        self.timer.restart(interval_ms)
        self.due = self.crowd.clock.now + (interval_ms * 1_000_000 or 1)

    def cancel(self) -> None:
        self.timer.stop()
        self.due = None

    def __call__(self) -> None:
        due, self.due = self.due, None
        assert due is not None, "fired after its cancel"
        self.crowd.fired(due)


class Crowd:
    def __init__(self, clock: FakeClock, size: int, changes: int) -> None:
        self.clock = clock
        self.rng = random.Random(4)
        self.changes = changes
        self.fires = 0
        self.last_due = 0
        self.queue = thread_loop.current().timers
        self.tickers = [Ticker(self) for _ in range(size)]
        for ticker in self.tickers:
            ticker.arm(self.rng.randrange(60_000))

    def fired(self, due: int) -> None:
        assert due <= self.clock.now, "early"
        assert due >= self.last_due, "out of order"
        assert len(self.queue.heap) <= 2 * len(self.queue) + 66, "cancelled timers take memory"
        self.last_due = due
        self.fires += 1
        if self.changes:
            self.changes -= 1
            self.rng.choice(self.tickers).cancel()
            self.rng.choice(self.tickers).arm(self.rng.randrange(1_000))
            # Callbacks take time: some timers are late.
            self.clock.now += self.rng.randrange(200_000)


@pytest.mark.slow
def test_a_hundred_thousand_timers_are_armed_and_cancelled_at_random(
    loop: EventLoop, clock: FakeClock, failures: list[Exception]
) -> None:
    crowd = Crowd(clock, size=100_000, changes=100_000)
    while len(crowd.queue):
        loop.pump()
    assert failures == []
    assert crowd.fires > 100_000
    lost = [ticker for ticker in crowd.tickers if ticker.due is not None or ticker.timer.is_active]
    assert lost == []
    assert len(crowd.queue.heap) <= 66
    alive = weakref.WeakSet(crowd.tickers)
    crowd.tickers.clear()
    gc.collect()
    assert len(alive) == 0


def test_a_thousand_late_timers_skip_and_never_burst(loop: EventLoop, clock: FakeClock) -> None:
    rng = random.Random(5)
    ticks = [0] * 1000
    intervals = [rng.randrange(1, 50) for _ in ticks]
    began = clock.now

    def tick(number: int) -> None:
        ticks[number] += 1
        assert (clock.now - began) // 1_000_000 >= intervals[number] * ticks[number]

    timers = [
        Timer.create_repeating(interval, partial(tick, number)) for number, interval in enumerate(intervals)
    ]
    for timer in timers:
        timer.start()
    for turns in range(1, 101):
        clock.advance_ms(rng.randrange(500))
        loop.pump(POLL)
        assert max(ticks) <= turns
    assert min(ticks) > 50
    for timer in timers:
        timer.stop()


def test_a_zero_interval_starves_nobody(loop: EventLoop) -> None:
    mine, theirs = socket.socketpair()
    theirs.send(b"x")
    counts = dict.fromkeys(("zero", "other", "deferred", "notifier"), 0)

    def count(name: str) -> None:
        counts[name] += 1

    def go_on() -> None:
        count("deferred")
        loop.deferred_invoke(go_on)

    timers = [
        Timer.create_repeating(interval, partial(count, name))
        for interval, name in [(0, "zero"), (1, "other")]
    ]
    for timer in timers:
        timer.start()
    notifier = Notifier(mine, Notifier.Type.READ, partial(count, "notifier"))
    go_on()
    deadline = time.monotonic() + GUARD
    turns = 0
    while min(counts.values()) < 100:
        loop.pump()
        turns += 1
        assert time.monotonic() < deadline, counts
        assert counts["zero"] <= turns
        assert counts["deferred"] == turns + 1
    for timer in timers:
        timer.stop()
    notifier.close()
    mine.close()
    theirs.close()


def test_a_hundred_nested_loops_each_quit_on_their_own(loop: EventLoop) -> None:
    depth = 100
    codes: list[int] = []
    returned: list[int] = []
    loops = [loop]

    def nest() -> None:
        if len(loops) > depth:
            loops[-1].quit(len(loops) - 1)
            return
        with EventLoop() as inner:
            level = len(loops)
            loops.append(inner)
            inner.deferred_invoke(nest)
            codes.append(inner.exec())
            returned.append(level)
            assert not any(outer.was_exit_requested() for outer in loops[:level])
            assert EventLoop.current() is loops[level - 1]
            loops[level - 1].quit(level - 1)

    loop.deferred_invoke(nest)
    assert loop.exec() == 0
    assert returned == list(range(depth, 0, -1))
    assert codes == returned


def test_spin_until_works_inside_exec_inside_spin_until(loop: EventLoop) -> None:
    steps: list[str] = []

    def innermost() -> None:
        assert loop.spin_until(lambda: "deferred" in steps, timeout=GUARD)
        steps.append("inner spin")
        inner.quit(7)

    def middle() -> None:
        inner.deferred_invoke(innermost)
        inner.deferred_invoke(lambda: steps.append("deferred"))
        steps.append(f"exec {inner.exec()}")

    with EventLoop() as inner:
        loop.deferred_invoke(middle)
        assert loop.spin_until(lambda: "exec 7" in steps, timeout=GUARD)
    assert steps == ["deferred", "inner spin", "exec 7"]
    assert not loop.was_exit_requested()


@pytest.mark.slow
def test_eight_threads_post_a_hundred_thousand_each(loop: EventLoop) -> None:
    posters, calls = 8, 100_000
    arrived = [0] * posters
    misplaced = 0
    start = threading.Barrier(posters)

    def arrive(poster: int, number: int) -> None:
        nonlocal misplaced
        misplaced += number != arrived[poster]
        arrived[poster] += 1

    def post(poster: int) -> None:
        start.wait()
        for number in range(calls):
            loop.deferred_invoke(partial(arrive, poster, number))
        loop.quit(poster)

    threads = [threading.Thread(target=post, args=(poster,)) for poster in range(posters)]
    for thread in threads:
        thread.start()
    stops = 0
    while any(thread.is_alive() for thread in threads) or loop.was_exit_requested():
        loop.deferred_invoke(loop.quit)
        loop.exec()
        stops += 1
    for thread in threads:
        thread.join()
    while loop.pump(POLL):
        pass
    assert stops, "callbacks that were queued when exec ended are there for the next"
    assert arrived == [calls] * posters
    assert misplaced == 0


WAKERS: dict[str, Callable[[EventLoop], object]] = {
    "wake": EventLoop.wake,
    "post": lambda loop: loop.deferred_invoke(int),
    "quit": EventLoop.quit,
    "signal": lambda loop: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1),
}


@pytest.mark.parametrize(
    "waker",
    [
        waker if waker in ("wake", "signal") else pytest.param(waker, marks=pytest.mark.slow)
        for waker in WAKERS
    ],
)
def test_a_thousand_wakes_that_race_with_sleep_are_never_lost(loop: EventLoop, waker: str) -> None:
    rounds = 1000
    loop.register_signal(signal.SIGUSR1, lambda signo: None)
    rng = random.Random(6)
    barrier = threading.Barrier(2)

    def race() -> None:
        for _ in range(rounds):
            barrier.wait()
            for _ in range(rng.randrange(200)):
                pass
            WAKERS[waker](loop)
            barrier.wait()

    thread = threading.Thread(target=race)
    thread.start()
    for _ in range(rounds):
        barrier.wait()
        deadline = time.monotonic_ns() + int(GUARD * 1e9)
        loop.pump(timeout=GUARD)
        assert time.monotonic_ns() < deadline, "the wake was lost"
        barrier.wait()
        while loop.pump(POLL):
            pass
        loop.unquit()
    thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("from_another_thread", [False, True])
def test_twenty_thousand_signals_and_wakes_during_one_callback_are_drained(
    loop: EventLoop, from_another_thread: bool
) -> None:
    signals = (signal.SIGUSR1, signal.SIGUSR2)
    delivered = dict.fromkeys(signals, 0)
    is_busy = False

    def note(signo: int) -> None:
        assert not is_busy, "never inside a callback that makes no turns"
        delivered[signal.Signals(signo)] += 1

    def storm() -> None:
        for _ in range(10_000):
            for signo in signals:
                os.kill(os.getpid(), signo)
                # More than a pipe holds: neither wake nor signal may block when it is full.
                for _ in range(4):
                    loop.wake()

    def busy() -> None:
        nonlocal is_busy
        is_busy = True
        if from_another_thread:
            thread = threading.Thread(target=storm)
            thread.start()
            thread.join()
        else:
            storm()
        is_busy = False

    for signo in signals:
        loop.register_signal(signo, note)
    loop.deferred_invoke(busy)
    loop.pump()
    while loop.pump(POLL):
        pass
    assert min(delivered.values()) >= 1
    wake_fd = thread_loop.current().poller.wake_fd
    for _ in range(100):
        loop.pump(POLL)
    assert (wake_fd, Notifier.Type.READ.value) not in thread_loop.current().poller.poll(0.0, 64), (
        "it can sleep again"
    )
    loop.deferred_invoke(partial(loop.quit, 3))
    assert loop.exec() == 3
