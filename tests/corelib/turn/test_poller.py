"""Owns the tests of the kernel's set of fds: in step with the watchers, in whatever order files are closed.
Must not know notifiers.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from corelib.errors import EventLoopClosed, NotWatchable
from corelib.turn.poller import MOST_READY, READABLE, WRITABLE, Poller, wait_for
from corelib.turn.wakeup import WakeUp


class Watcher:
    def __init__(self) -> None:
        self.interest = 0
        self.reentrant = True
        self.callback: Callable[[], object] = lambda: None
        self.orphaned = 0

    def activate(self) -> None: ...

    def orphan(self) -> None:
        self.orphaned += 1


@pytest.fixture
def poller() -> Iterator[Poller]:
    wakeup = WakeUp()
    made = Poller(wakeup.fd)
    yield made
    made.close()
    wakeup.close()


def ready(poller: Poller) -> list[tuple[int, int]]:
    return poller.poll(0.0, MOST_READY)


def test_watchers_of_one_fd_share_its_entry(poller: Poller) -> None:
    one, other = socket.socketpair()
    with one, other:
        reader, writer = Watcher(), Watcher()
        poller.watch(one.fileno(), reader, READABLE)
        assert ready(poller) == []
        poller.watch(one.fileno(), writer, WRITABLE)
        assert ready(poller) == [(one.fileno(), WRITABLE)]
        other.send(b"x")
        assert ready(poller) == [(one.fileno(), READABLE | WRITABLE)]
        poller.watch(one.fileno(), writer, 0)
        assert ready(poller) == [(one.fileno(), READABLE)]
        poller.watch(one.fileno(), reader, 0)
        assert ready(poller) == []
        assert (reader.interest, writer.interest) == (0, 0)


def test_a_hang_up_is_not_reported_for_an_fd_without_watchers(poller: Poller) -> None:
    one, other = socket.socketpair()
    with one:
        watcher = Watcher()
        poller.watch(one.fileno(), watcher, READABLE)
        poller.watch(one.fileno(), watcher, 0)
        other.close()
        assert ready(poller) == []


def test_regular_files_and_closed_fds_are_refused(poller: Poller, tmp_path: os.PathLike[str]) -> None:
    watcher = Watcher()
    with open(os.path.join(tmp_path, "file"), "w") as file:
        with pytest.raises(NotWatchable, match="not a regular file"):
            poller.watch(file.fileno(), watcher, READABLE)
        number = file.fileno()
    with pytest.raises(NotWatchable, match=f"fd {number} "):
        poller.watch(number, watcher, READABLE)
    assert watcher.interest == 0
    assert poller.watchers == {}


def test_a_file_may_be_closed_before_its_watcher(poller: Poller) -> None:
    one, other = socket.socketpair()
    watcher = Watcher()
    fd = one.fileno()
    poller.watch(fd, watcher, READABLE)
    one.close()
    poller.watch(fd, watcher, 0)
    other.close()
    assert ready(poller) == []


def test_a_file_that_a_duplicate_keeps_open_is_not_reported_without_end(poller: Poller) -> None:
    one, other = socket.socketpair()
    bystander, its_peer = socket.socketpair()
    with other, bystander, its_peer:
        watcher, another = Watcher(), Watcher()
        fd = one.fileno()
        poller.watch(fd, watcher, READABLE)
        poller.watch(bystander.fileno(), another, READABLE)
        duplicate = one.dup()
        one.close()
        poller.watch(fd, watcher, 0)
        other.send(b"x")
        its_peer.send(b"x")
        assert ready(poller) == [(bystander.fileno(), READABLE)]
        duplicate.close()


def test_an_fd_that_names_another_file_orphans_the_old_watchers(poller: Poller) -> None:
    one, other = socket.socketpair()
    fresh, its_peer = socket.socketpair()
    with other, its_peer:
        fd = one.fileno()
        before, after = Watcher(), Watcher()
        poller.watch(fd, before, READABLE)
        os.dup2(fresh.fileno(), fd)
        fresh.close()
        poller.watch(fd, after, READABLE)
        assert (before.orphaned, after.orphaned) == (1, 0)
        assert before.interest == 0
        its_peer.send(b"x")
        assert ready(poller) == [(fd, READABLE)]
        assert poller.watchers[fd] == (after,)
        one.close()


def test_a_watcher_does_not_move_to_another_file(poller: Poller) -> None:
    one, other = socket.socketpair()
    fresh, its_peer = socket.socketpair()
    with other, its_peer:
        watcher = Watcher()
        poller.watch(one.fileno(), watcher, READABLE)
        os.dup2(fresh.fileno(), one.fileno())
        fresh.close()
        poller.watch(one.fileno(), watcher, WRITABLE)
        assert watcher.orphaned == 1
        assert ready(poller) == []
        one.close()


def test_a_sibling_of_a_closed_file_may_still_be_disabled(poller: Poller) -> None:
    one, other = socket.socketpair()
    with other:
        fd = one.fileno()
        disabled, forgotten = Watcher(), Watcher()
        poller.watch(fd, disabled, READABLE)
        poller.watch(fd, forgotten, WRITABLE)
        one.close()
        poller.watch(fd, disabled, 0)
        assert (disabled.orphaned, forgotten.orphaned) == (0, 1)
        assert fd not in poller.watchers


def test_an_audit_finds_watchers_that_would_never_be_activated(poller: Poller) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    watchers = [Watcher() for _ in pairs]
    for (one, _), watcher in zip(pairs, watchers, strict=True):
        poller.watch(one.fileno(), watcher, READABLE)
    poller.audit()
    assert [watcher.orphaned for watcher in watchers] == [0, 0, 0]
    pairs[1][0].close()
    poller.audit()
    poller.audit()
    assert [watcher.orphaned for watcher in watchers] == [0, 1, 0]
    for _, other in pairs[::2]:
        other.send(b"x")
    assert [fd for fd, _ in ready(poller)] == [pairs[0][0].fileno(), pairs[2][0].fileno()]
    for one, other in pairs:
        one.close()
        other.close()


def test_after_closing_only_disabling_is_possible() -> None:
    wakeup = WakeUp()
    poller = Poller(wakeup.fd)
    one, other = socket.socketpair()
    with one, other:
        watcher = Watcher()
        poller.watch(one.fileno(), watcher, READABLE)
        poller.close()
        assert watcher.interest == 0
        poller.watch(one.fileno(), watcher, 0)
        with pytest.raises(EventLoopClosed):
            poller.watch(one.fileno(), watcher, READABLE)
    wakeup.close()


def test_wait_for_waits_for_the_given_fds_alone() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert wait_for({one.fileno(): READABLE}, 0.0) == []
        assert wait_for({one.fileno(): READABLE | WRITABLE}, 60.0) == [(one.fileno(), WRITABLE)]
        other.send(b"x")
        assert wait_for({one.fileno(): READABLE}, 60.0) == [(one.fileno(), READABLE)]
