"""Owns the tests of files closed under their notifiers, fds used again, and notifiers toggled at random.
Must not know epoll.
"""

from __future__ import annotations

import logging
import random
import socket
import time
from collections.abc import Iterator
from functools import partial

import pytest

from corelib import EventLoop, Notifier, Timer, WaitMode
from corelib.turn import thread_loop
from corelib.turn.poller import MOST_READY

POLL = WaitMode.POLL_FOR_EVENTS
READ, WRITE = Notifier.Type.READ, Notifier.Type.WRITE
GUARD = 15.0


class Sockets:
    """A function that makes pairs of sockets, closed after the test."""

    def __init__(self) -> None:
        self.made: list[socket.socket] = []

    def pair(self, *, ready: bool = False) -> tuple[socket.socket, socket.socket]:
        mine, theirs = socket.socketpair()
        self.made += [mine, theirs]
        if ready:
            theirs.send(b"x")
        return mine, theirs

    def at(self, number: int, *, ready: bool = False) -> socket.socket:
        """A socket with this fd, which was closed just now."""
        mine, theirs = self.pair()
        assert number in (mine.fileno(), theirs.fileno())
        one, other = (mine, theirs) if mine.fileno() == number else (theirs, mine)
        if ready:
            other.send(b"x")
        return one

    def close(self) -> None:
        for each in self.made:
            each.close()
        self.made.clear()


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    made = Sockets()
    yield made
    made.close()


def never() -> None:
    raise AssertionError("called for a file that is closed")


def is_busy(loop: EventLoop) -> bool:
    """Whether the kernel still reports an fd that no turn handles."""
    for _ in range(10):
        loop.pump(POLL)
    return bool(thread_loop.current().poller.poll(0.0, MOST_READY))


def assert_disabled(notifier: Notifier, caplog: pytest.LogCaptureFixture) -> None:
    assert not notifier.is_enabled
    mentions = [record for record in caplog.records if f"fd {notifier.fd}," in record.getMessage()]
    assert [(record.name, record.levelno) for record in mentions] == [("corelib", logging.ERROR)]
    assert "close the notifier before the file" in mentions[0].getMessage()


def test_a_closed_file_is_found_while_the_loop_is_active(
    loop: EventLoop, sockets: Sockets, failures: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    mine, _theirs = sockets.pair()
    notifier = Notifier(mine, READ, never)
    mine.close()
    timer = Timer.create_repeating(5, lambda: None)
    timer.start()
    assert loop.spin_until(lambda: not notifier.is_enabled, timeout=GUARD)
    timer.stop()
    assert_disabled(notifier, caplog)
    assert failures == []
    notifier.close()


def test_a_closed_file_is_found_while_the_loop_never_sleeps(
    loop: EventLoop, sockets: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    mine, _theirs = sockets.pair()
    notifier = Notifier(mine, READ, never)
    mine.close()
    busy = Timer.create_repeating(0, lambda: None)
    busy.start()
    assert loop.spin_until(lambda: not notifier.is_enabled, timeout=GUARD)
    busy.stop()
    assert_disabled(notifier, caplog)


def test_a_closed_file_is_found_at_once_when_its_fd_is_watched_again(
    loop: EventLoop, sockets: Sockets, failures: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    mine, _theirs = sockets.pair()
    number = mine.fileno()
    stale = Notifier(mine, READ, never)
    mine.close()
    seen: list[str] = []
    fresh = Notifier(sockets.at(number, ready=True), READ, lambda: seen.append("fresh"))
    assert_disabled(stale, caplog)
    loop.pump()
    assert seen == ["fresh"]
    stale.close()
    loop.pump()
    assert seen == ["fresh"] * 2, "closing the stale one leaves the other alone"
    fresh.close()
    assert failures == []


@pytest.mark.slow
def test_an_fd_may_be_used_again_ten_thousand_times(
    loop: EventLoop, failures: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """The same few fds are used again: a notifier is never called for a later file, and none is missed."""
    rng = random.Random(7)
    stale: list[Notifier] = []
    called = 0

    def heard() -> None:
        nonlocal called
        called += 1

    for round in range(10_000):
        mine, theirs = socket.socketpair()
        theirs.send(b"x")
        notifier = Notifier(mine, READ, heard)
        loop.pump(POLL)
        assert called == round + 1, "missed"
        notifier.on_activation = never
        if rng.random() < 0.5:
            notifier.close()
        else:
            stale.append(notifier)
        mine.close()
        theirs.close()
        if rng.random() < 0.1:
            loop.pump(POLL)
    mine, theirs = socket.socketpair()
    with mine, theirs:
        theirs.send(b"x")
        loop.pump(POLL)
        assert loop.spin_until(lambda: not stale[-1].is_enabled, timeout=GUARD)
    assert failures == []
    assert [notifier for notifier in stale if notifier.is_enabled] == []
    assert len(caplog.records) == len(stale)
    assert not is_busy(loop)


@pytest.mark.parametrize("when", ["ready before", "ready after"])
def test_a_closed_file_that_a_duplicate_keeps_open_is_found(
    loop: EventLoop, sockets: Sockets, failures: list[Exception], caplog: pytest.LogCaptureFixture, when: str
) -> None:
    """epoll goes on reporting the number."""
    mine, theirs = sockets.pair(ready=when == "ready before")
    notifier = Notifier(mine, READ, never)
    sockets.made.append(mine.dup())
    mine.close()
    if when == "ready after":
        theirs.send(b"x")
    loop.pump()
    assert failures == []
    assert_disabled(notifier, caplog)
    assert not is_busy(loop)


@pytest.mark.parametrize("is_watched", [False, True])
def test_an_fd_may_be_another_files_while_a_duplicate_keeps_the_first_open(
    loop: EventLoop,
    sockets: Sockets,
    failures: list[Exception],
    caplog: pytest.LogCaptureFixture,
    is_watched: bool,
) -> None:
    mine, theirs = sockets.pair()
    number = mine.fileno()
    stale = Notifier(mine, READ, never)
    duplicate = mine.dup()
    sockets.made.append(duplicate)
    mine.close()
    fresh = sockets.at(number)
    if is_watched:
        notifier = Notifier(fresh, READ, never)
    theirs.send(b"x")
    loop.pump(POLL)
    loop.pump(POLL)
    assert failures == []
    assert_disabled(stale, caplog)
    assert not is_busy(loop)
    if is_watched:
        assert notifier.is_enabled
        seen: list[str] = []
        notifier.on_activation = lambda: seen.append("fresh")
        sockets.made[-1 if sockets.made[-2] is fresh else -2].send(b"x")
        loop.pump()
        assert seen == ["fresh"]
        notifier.close()


def test_a_callback_may_close_the_files_of_ready_siblings(
    loop: EventLoop, sockets: Sockets, failures: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    called: list[int] = []
    pairs = [sockets.pair(ready=True) for _ in range(5)]

    def close_the_others(own: int) -> None:
        called.append(own)
        for number, (mine, _) in enumerate(pairs):
            if number != own:
                mine.close()

    notifiers = [
        Notifier(mine, READ, partial(close_the_others, number)) for number, (mine, _) in enumerate(pairs)
    ]
    for _ in range(10):
        loop.pump(POLL)
    assert set(called) == {called[0]}, "only the first is called, again and again"
    assert len(called) > 1
    for number, notifier in enumerate(notifiers):
        if number == called[0]:
            assert notifier.is_enabled
            notifier.close()
        else:
            assert_disabled(notifier, caplog)
    assert failures == []


def test_a_disabled_notifier_can_watch_the_next_file_with_its_fd(
    loop: EventLoop, sockets: Sockets, caplog: pytest.LogCaptureFixture
) -> None:
    mine, _theirs = sockets.pair()
    number = mine.fileno()
    seen: list[str] = []
    notifier = Notifier(mine, READ, lambda: seen.append("ready"))
    mine.close()
    loop.pump(POLL)
    assert loop.spin_until(lambda: not notifier.is_enabled, timeout=GUARD)
    sockets.at(number, ready=True)
    notifier.set_enabled(True)
    loop.pump()
    assert seen == ["ready"]
    notifier.close()


@pytest.mark.slow
def test_notifiers_are_enabled_and_disabled_at_random_inside_callbacks(
    loop: EventLoop, sockets: Sockets, failures: list[Exception]
) -> None:
    """Sixty notifiers that are always ready toggle one another: each is called exactly when enabled."""
    rng = random.Random(8)
    size = 60
    calls = [0] * size
    notifiers: list[Notifier] = []
    enabled = [True] * size

    def change(own: int) -> None:
        assert enabled[own], "called while disabled"
        calls[own] += 1
        for _ in range(3):
            other = rng.randrange(size)
            enabled[other] = rng.random() < 0.6
            notifiers[other].set_enabled(enabled[other])
            notifiers[rng.randrange(size)].set_type(rng.choice([READ, WRITE, READ | WRITE]))

    for number in range(size):
        mine, _ = sockets.pair(ready=True)
        notifiers.append(Notifier(mine, READ, partial(change, number)))
    for _ in range(500):
        loop.pump(POLL)
        if not any(enabled):
            enabled[0] = True
            notifiers[0].set_enabled(True)
    assert failures == []
    assert min(calls) > 0
    for number, notifier in enumerate(notifiers):
        notifier.on_activation = partial(calls.__setitem__, number, 0)
        notifier.set_enabled(True)
    loop.pump(POLL)
    assert calls == [0] * size, "none is left out"
    for notifier in notifiers:
        notifier.close()
    assert not is_busy(loop)


def test_a_muted_notifier_costs_no_time(loop: EventLoop, sockets: Sockets) -> None:
    """A hundred closed files, most without a duplicate: a few turns find them all, and the loop sleeps."""
    notifiers = []
    for number in range(100):
        mine, _ = sockets.pair(ready=True)
        notifiers.append(Notifier(mine, READ, never))
        if number % 3 == 0:
            sockets.made.append(mine.dup())
        mine.close()
    deadline = time.monotonic() + GUARD
    turns = 0
    while any(notifier.is_enabled for notifier in notifiers):
        loop.pump(POLL)
        turns += 1
        assert time.monotonic() < deadline
    assert not is_busy(loop)
