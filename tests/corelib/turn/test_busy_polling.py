"""Owns the tests of how long a turn polls before it sleeps: the rules alone, and in a loop.
Must not know what the polls find.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from corelib import EventLoop, LocalSocket, Notifier, UsageError, WaitMode
from corelib.turn import ThreadLoop, current_thread_loop, processors
from corelib.turn.busy_polling import BusyPolling, default_bound_us
from tests.corelib.conftest import FakeClock

BOUND = 100_000
SHORT = 2 * BOUND
LONG = 100 * BOUND
NOBODYS = 1 << 20
GUARD = 30.0


@pytest.fixture
def polling() -> BusyPolling:
    """Rules that may poll."""
    made = BusyPolling(100)
    made.allow(True)
    return made


@pytest.fixture
def eager(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadLoop]:
    """The loop of this thread, which polls for 100 us before it sleeps next."""
    monkeypatch.setattr(processors, "usable", lambda: 2)
    with EventLoop(busy_poll_us=100):
        thread = current_thread_loop()
        grown(thread.busy_polling)
        yield thread


def ready_after(times: int) -> Callable[[float | None, int], list[tuple[int, int]]]:
    """A poll that finds nothing `times` times, then an fd that nobody watches."""
    answers: Iterator[list[tuple[int, int]]] = iter([[]] * times + [[(NOBODYS, 1)]])
    return lambda _seconds, _most: next(answers)


def grown(polling: BusyPolling) -> BusyPolling:
    while polling.budget_ns < BOUND:
        polling.learn(SHORT)
    return polling


def test_the_budget_begins_with_0_and_grows_with_each_short_wait(polling: BusyPolling) -> None:
    budgets = [polling.budget_ns]
    for _ in range(5):
        polling.learn(SHORT)
        budgets.append(polling.budget_ns)
    assert budgets == [0, 10_000, 20_000, 40_000, 80_000, 100_000]


def test_one_long_wait_ends_polling(polling: BusyPolling) -> None:
    grown(polling).learn(LONG)
    assert polling.budget_ns == 0
    polling.learn(LONG)
    assert polling.budget_ns == 0


def test_a_turn_polls_until_something_is_ready_and_counts_it(eager: ThreadLoop) -> None:
    eager.now_ns = lambda: 0
    eager.poller.poll = ready_after(3)
    eager.turn(WaitMode.WAIT_FOR_EVENTS)
    polling = eager.busy_polling
    assert (polling.polls, polling.hits, polling.budget_ns) == (1, 1, BOUND)


def test_a_turn_sleeps_when_the_budget_is_spent(eager: ThreadLoop) -> None:
    ticks = iter(range(0, 10 * BOUND, 1000))
    eager.now_ns = lambda: next(ticks)
    polled_at_once = 0

    def poll(seconds: float | None, _most: int) -> list[tuple[int, int]]:
        nonlocal polled_at_once
        if seconds == 0.0:
            polled_at_once += 1
            return []
        return [(NOBODYS, 1)]

    eager.poller.poll = poll
    eager.turn(WaitMode.WAIT_FOR_EVENTS)
    assert (eager.busy_polling.polls, eager.busy_polling.hits) == (1, 0)
    assert polled_at_once == BOUND // 1000 + 1


def test_a_loop_on_another_clock_than_the_systems_never_polls_busily(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "usable", lambda: 2)
    with EventLoop(busy_poll_us=100, clock=clock):
        assert current_thread_loop().busy_polling.bound_ns == 0


def test_a_peer_that_is_always_a_little_late_costs_few_polls(polling: BusyPolling) -> None:
    polled = 0
    for _ in range(10_000):
        polled += polling.budget_ns
        polling.learn(SHORT)
    assert polled < 10_000 * 2000, "under 2 us for each wait of 200"


def test_a_hit_ends_the_caution_after_misses(polling: BusyPolling) -> None:
    for _ in range(1000):
        polling.learn(SHORT)
    grown(polling).misses = 0
    polling.learn(SHORT)
    waits = 0
    while polling.budget_ns < BOUND:
        polling.learn(SHORT)
        waits += 1
    assert waits == 2 + 5, "a rest of two, and growing"


def test_a_bound_of_0_never_polls(polling: BusyPolling) -> None:
    off = BusyPolling(0)
    off.allow(True)
    for _ in range(100):
        off.learn(0)
    assert off.budget_ns == 0
    grown(polling).allow(False)
    for _ in range(100):
        polling.learn(SHORT)
    assert (polling.budget_ns, polling.bound_ns) == (0, 0)
    polling.allow(True)
    assert grown(polling).budget_ns == BOUND


@pytest.mark.parametrize("bound", [-1, 101, 1e9, float("nan")])
def test_a_bound_out_of_range_is_refused(loop: EventLoop, bound: float) -> None:
    with pytest.raises(UsageError, match=r"busy_poll_us is 0 to 100 microseconds, not"):
        EventLoop(busy_poll_us=bound)


def test_the_environment_sets_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORELIB_BUSY_POLL_US", raising=False)
    assert default_bound_us() == 100
    monkeypatch.setenv("CORELIB_BUSY_POLL_US", "50")
    assert default_bound_us() == 50
    monkeypatch.setenv("CORELIB_BUSY_POLL_US", "off")
    with pytest.raises(UsageError, match="CORELIB_BUSY_POLL_US is 'off': set it to 0 to 100 microseconds"):
        default_bound_us()


def _echo_times(loop: EventLoop, count: int) -> None:
    """Bytes back and forth with a thread that answers at once."""
    ours, theirs = LocalSocket.pair()
    received = 0

    def echo() -> None:
        for _ in range(count):
            theirs.wait_readable()
            theirs.send(theirs.receive() or b"")

    def on_readable() -> None:
        nonlocal received
        received += len(ours.receive() or b"")
        if received < count:
            ours.send(b"x")

    thread = threading.Thread(target=echo)
    thread.start()
    notifier = Notifier(ours, Notifier.Type.READ, on_readable)
    ours.send(b"x")
    assert loop.spin_until(lambda: received == count, GUARD)
    thread.join()
    notifier.close()


@pytest.mark.parametrize("usable", [1, 1.5])
def test_a_thread_with_less_than_two_processors_never_polls(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch, usable: float
) -> None:
    monkeypatch.setattr(processors, "usable", lambda: usable)
    with EventLoop(busy_poll_us=100) as polite:
        _echo_times(polite, 500)
        assert polite.snapshot().polls == 0


def test_quick_events_are_polled_for_and_slow_ones_are_not(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "usable", lambda: 2)
    with EventLoop(busy_poll_us=100) as eager:
        grown(current_thread_loop().busy_polling)
        ours, theirs = LocalSocket.pair()
        notifier = Notifier(ours, Notifier.Type.READ, lambda: ours.receive())
        theirs.send(b"x")
        eager.pump()
        before = eager.snapshot()
        assert (before.polls, before.poll_hits) == (1, 1)
        assert "polled 1 times, 1 in time; now for 100 us" in str(before)
        for _ in range(3):
            timer = threading.Timer(0.02, theirs.send, (b"x",))
            timer.start()
            eager.pump()
            timer.join()
        after = eager.snapshot()
        assert after.polls == before.polls + 1, "in vain once; then it sleeps"
        assert (after.poll_hits, after.poll_us) == (1, 0)
        notifier.close()


def test_the_least_quota_of_the_control_groups_counts(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("cgroup")

    def quota(own: str, **limits: str) -> float:
        """The least of the limits, as files of this fake tree hold them."""
        for path, text in limits.items():
            file = root / path.replace("__", "/").replace("_max", ".max").replace("cpu_cfs", "cpu.cfs")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (root / "own").write_text(own)
        return processors.least_quota(str(root / "own"), str(root))

    assert quota("0::/\n") == float("inf")
    assert quota("0::/a/b\n", a__cpu_max="max 100000\n") == float("inf")
    assert quota("0::/a/b\n", a__cpu_max="150000 100000\n") == 1.5, "groups around it count too"
    assert quota("0::/a/b\n", a__b__cpu_max="50000 100000\n") == 0.5
    assert quota("3:memory:/a/b\n") == float("inf")
    old = {"cpu__c__cpu_cfs_quota_us": "300000\n", "cpu__c__cpu_cfs_period_us": "100000\n"}
    assert quota("4:cpu,cpuacct:/c\n", **old) == 3.0
    assert quota("4:cpu,cpuacct:/c\n", cpu__c__cpu_cfs_quota_us="-1\n") == float("inf")
    assert processors.least_quota(str(root / "missing"), str(root)) == float("inf")


def test_processors_are_counted_by_affinity_and_by_quota() -> None:
    before = os.sched_getaffinity(0)
    assert processors.usable() == min(len(before), processors.least_quota())
    os.sched_setaffinity(0, {min(before)})
    try:
        assert processors.usable() == min(1, processors.least_quota())
    finally:
        os.sched_setaffinity(0, before)
