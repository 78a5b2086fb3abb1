"""What must not stand still: looks are counted, by a timer that runs only while something is under way."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket, Promise, Timer
from ipclib import Limits
from ipclib.connection.watchdog import Watch, Watchdog
from tests.ipclib import clock_service
from tests.ipclib.fake_clock import FakeClock
from tests.ipclib.pairs import Pair, link_of, raw_peer

GUARD = 30.0
QUICK = Limits(frame_timeout=0.05)


class Thing:
    """Something that may stand still."""

    def __init__(self, patience: float) -> None:
        self.progress: int | None = None
        self.stalls = 0
        self.watch = Watch(patience, lambda: self.progress, self.stall)

    def stall(self) -> None:
        self.stalls += 1


def test_a_watch_that_does_not_move_is_reported_after_its_patience() -> None:
    thing = Thing(patience=2.0)
    thing.watch.begin(interval=0.5)
    thing.progress = 7
    assert [thing.watch.look() for _ in range(4)] == [True] * 4
    assert thing.stalls == 0
    thing.watch.look()
    assert thing.stalls == 1
    for _ in range(4):
        thing.watch.look()
    assert thing.stalls == 2


def test_a_watch_that_moves_is_not_reported() -> None:
    thing = Thing(patience=1.0)
    thing.watch.begin(interval=0.5)
    for number in range(100):
        thing.progress = number // 2
        assert thing.watch.look()
    assert thing.stalls == 0


def test_a_watch_that_ended_begins_anew() -> None:
    thing = Thing(patience=1.0)
    thing.watch.begin(interval=0.5)
    for progress in (1, 1, None, 1, 1, None):
        thing.progress = progress
        assert thing.watch.look() is (progress is not None)
    assert thing.stalls == 0


def test_the_timer_runs_only_while_something_is_under_way(loop: EventLoop) -> None:
    slow, quick = Thing(patience=100.0), Thing(patience=0.01)
    watchdog = Watchdog(lambda: (slow.watch, quick.watch))
    assert len(loop.snapshot().timers) == 0
    quick.progress = 1
    watchdog.wake()
    assert loop.spin_until(lambda: quick.stalls == 2, timeout=GUARD)
    assert slow.stalls == 0
    quick.progress = None
    assert loop.spin_until(lambda: not watchdog.is_awake, timeout=GUARD)
    assert len(loop.snapshot().timers) == 0


@pytest.mark.parametrize("begun", [b"\x10", b"\x10\0\0\0", b"\x10\0\0\0abcd"])
def test_a_frame_that_does_not_end_costs_the_connection(
    loop: EventLoop, clock: Any, begun: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    raw, service = raw_peer(clock, QUICK)
    with raw:
        raw.send(begun)
        assert loop.spin_until(lambda: service.died == 1, timeout=GUARD)
    assert "was not complete after 0.05 s (frame_timeout)" in caplog.text


def test_slow_frames_that_each_end_in_time_are_handled(loop: EventLoop, clock: Any) -> None:
    """A byte in each turn: the stream as a whole never ends, each frame does."""
    client_bytes = one_way_frame(clock, 1) * 3
    raw, service = raw_peer(clock, Limits(frame_timeout=30.0))
    with raw:
        for at in range(len(client_bytes)):
            raw.send(client_bytes[at : at + 1])
            loop.pump()
        assert loop.spin_until(lambda: len(service.numbers) == 3, timeout=GUARD)
        assert service.is_open
        service.shutdown()


def test_an_idle_client_is_not_taken_for_a_late_frame(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock, QUICK)
    with raw:
        raw.send(one_way_frame(clock, 1))
        assert loop.spin_until(lambda: service.numbers == [1], timeout=GUARD)
        elapsed: list[bool] = []
        Timer.create_single_shot(150, lambda: elapsed.append(True)).start()
        assert loop.spin_until(lambda: bool(elapsed), timeout=GUARD)
        assert service.is_open
        service.shutdown()


def test_a_client_that_reads_nothing_is_dropped(
    loop: EventLoop, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    raw, service = raw_peer(clock, QUICK)
    with raw:
        while not link_of(service).sender.size:
            service.async_tick(1)
        assert loop.spin_until(lambda: service.died == 1, timeout=GUARD)
    assert "reads nothing" in caplog.text


def test_a_service_that_reads_nothing_is_waited_for(loop: EventLoop, clock: Any) -> None:
    here, there = LocalSocket.pair()
    client = clock.ConnectionToServer(here, limits=QUICK)
    while not link_of(client).sender.size:
        client.async_log(1, "x" * 1000)
    elapsed: list[bool] = []
    Timer.create_single_shot(200, lambda: elapsed.append(True)).start()
    assert loop.spin_until(lambda: bool(elapsed), timeout=GUARD)
    assert client.is_open
    client.shutdown()
    there.close()


def test_a_client_hears_once_of_a_service_that_is_silent_and_once_of_its_return(
    loop: EventLoop, fake_clock: FakeClock, clock: Any
) -> None:
    heard: list[tuple[str, float]] = []

    class Client(clock.ConnectionToServer):  # type: ignore[misc]
        def may_have_become_unresponsive(self) -> None:
            heard.append(("unresponsive", fake_clock.now_ns() - started))

        def did_become_responsive(self) -> None:
            heard.append(("responsive", fake_clock.now_ns() - started))

    here, there = LocalSocket.pair()
    client = Client(here)
    service = clock_service.handlers(clock)(there, 1)
    started = fake_clock.now_ns()
    answer: Promise[int] = client.async_held(3)
    assert not loop.spin_until(lambda: bool(heard), timeout=2.9)
    assert loop.spin_until(lambda: bool(heard), timeout=1.0)
    assert not loop.spin_until(lambda: len(heard) > 1, timeout=60.0), "once"
    service.promises.pop(3).resolve(3)
    assert answer.await_(GUARD) == 3
    assert [name for name, _when in heard] == ["unresponsive", "responsive"]
    client.shutdown()
    service.shutdown()


def test_an_idle_connection_has_no_timer(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, limits=QUICK)
    pair.client.add(1, 2)
    assert len(loop.snapshot().timers) == 1
    assert loop.spin_until(lambda: not loop.snapshot().timers, timeout=GUARD)
    pair.close()


def one_way_frame(clock: Any, number: int) -> bytes:
    """log(number, "") as LibIPC writes it."""
    message = clock.ClockServer.Log
    payload = struct.pack("=iI", number, 0)
    return struct.pack("=IIi", len(payload) + 8, message.__ipc__.magic, message.__ipc__.id) + payload
