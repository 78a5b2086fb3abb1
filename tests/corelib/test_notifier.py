"""Owns the tests of notifiers: when they are activated, and when not.
Must not know epoll.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from corelib import EventLoop, NoEventLoop, Notifier, NotWatchable, Timer, WaitMode, WrongThread

POLL = WaitMode.POLL_FOR_EVENTS
READ, WRITE = Notifier.Type.READ, Notifier.Type.WRITE


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


Pair = tuple[socket.socket, socket.socket]


def test_a_notifier_is_activated_while_data_is_left(loop: EventLoop, pair: Pair) -> None:
    seen: list[str] = []
    notifier = Notifier(pair[0], READ, lambda: seen.append("ready"))
    assert (notifier.fd, notifier.type, notifier.is_enabled) == (pair[0].fileno(), READ, True)
    assert loop.pump(POLL) == 0
    pair[1].send(b"x")
    assert [loop.pump(), loop.pump()] == [1, 1]
    pair[0].recv(1)
    assert loop.pump(POLL) == 0
    assert len(seen) == 2
    notifier.close()


def test_a_notifier_waits_for_the_directions_of_its_type(loop: EventLoop, pair: Pair) -> None:
    seen: list[str] = []
    notifier = Notifier(pair[0].fileno(), WRITE, lambda: seen.append("room"))
    loop.pump()
    assert seen == ["room"]
    notifier.set_type(READ)
    loop.pump(POLL)
    assert seen == ["room"]
    notifier.set_type(READ | WRITE)
    pair[1].send(b"x")
    assert loop.pump() == 1, "once, though both directions are ready"
    notifier.close()


def test_a_disabled_notifier_ignores_even_a_hang_up(loop: EventLoop, pair: Pair) -> None:
    seen: list[str] = []
    notifier = Notifier(pair[0], READ, lambda: seen.append("ready"))
    notifier.set_enabled(False)
    pair[1].close()
    loop.pump(POLL)
    assert seen == []
    notifier.set_enabled(True)
    loop.pump()
    assert seen == ["ready"]
    notifier.close()
    notifier.close()
    assert loop.pump(POLL) == 0


def test_a_hang_up_activates_both_directions(loop: EventLoop) -> None:
    reader, writer = os.pipe()
    seen: list[str] = []
    notifier = Notifier(writer, WRITE, lambda: seen.append("write"))
    os.close(reader)
    loop.pump()
    assert seen == ["write"]
    notifier.close()
    os.close(writer)


def test_a_notifier_without_a_callback_lets_the_loop_sleep(loop: EventLoop, pair: Pair) -> None:
    notifier = Notifier(pair[0], READ)
    pair[1].send(b"x")
    assert loop.pump(POLL) == 0
    seen: list[str] = []
    notifier.on_activation = lambda: seen.append("ready")
    assert loop.pump() == 1
    notifier.on_activation = None
    assert notifier.on_activation is None
    assert loop.pump(POLL) == 0
    notifier.close()


def test_a_sibling_that_was_closed_in_the_same_batch_is_not_called(loop: EventLoop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    seen: list[str] = []
    notifiers: list[Notifier] = []

    def close_all() -> None:
        seen.append("called")
        for notifier in notifiers:
            notifier.close()

    for mine, theirs in pairs:
        theirs.send(b"x")
        notifiers.extend([Notifier(mine, READ, close_all), Notifier(mine, READ, close_all)])
    loop.pump()
    assert seen == ["called"]
    for mine, theirs in pairs:
        mine.close()
        theirs.close()


def test_an_fd_that_was_closed_and_opened_again_in_one_batch_is_another_file(loop: EventLoop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    by_fd = {mine.fileno(): mine for mine, _ in pairs}
    notifiers: dict[int, Notifier] = {}
    wrong: list[int] = []
    fresh: list[socket.socket] = []

    def replace_the_others(own: int) -> None:
        called.append(own)
        for fd, notifier in notifiers.items():
            notifier.close()
            if fd != own:
                by_fd[fd].close()
                one, other = socket.socketpair()
                fresh.extend([one, other])
                assert fd in (one.fileno(), other.fileno())
                notifiers[fd] = Notifier(fd, READ, partial(wrong.append, fd))

    called: list[int] = []
    for mine, theirs in pairs:
        theirs.send(b"x")
        fd = mine.fileno()
        notifiers[fd] = Notifier(mine, READ, partial(replace_the_others, fd))
    loop.pump()
    loop.pump(POLL)
    assert len(called) == 1
    assert wrong == []
    for notifier in notifiers.values():
        notifier.close()
    for each in [*fresh, *(end for both in pairs for end in both)]:
        each.close()


def test_after_a_nested_turn_the_outer_one_polls_again(loop: EventLoop) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    seen: list[str] = []

    def read_in_a_nested_turn(mine: socket.socket) -> None:
        assert mine.recv(10) == b"x", "another turn has read it, so the outer one must not report it again"
        seen.append("read")
        loop.pump(POLL)

    notifiers = [Notifier(mine, READ, partial(read_in_a_nested_turn, mine)) for mine, _ in pairs]
    for mine, theirs in pairs:
        mine.setblocking(False)
        theirs.send(b"x")
    errors: list[Exception] = []
    loop.on_exception = lambda error, context: errors.append(error)
    loop.pump()
    assert seen == ["read"] * 3
    assert errors == []
    for notifier in notifiers:
        notifier.close()
    for mine, theirs in pairs:
        mine.close()
        theirs.close()


def test_a_notifier_is_not_activated_inside_itself_and_nested_turns_can_sleep(
    loop: EventLoop, pair: Pair
) -> None:
    activations: list[str] = []
    nested_turns = 0

    def wait_for_a_timer() -> None:
        nonlocal nested_turns
        activations.append("in")
        done: list[int] = []
        timer = Timer.create_single_shot(30, lambda: done.append(1))
        timer.start()
        while not done:
            loop.pump()
            nested_turns += 1
        activations.append("out")

    notifier = Notifier(pair[0], READ, wait_for_a_timer)
    pair[1].send(b"x")
    loop.pump()
    assert activations == ["in", "out"]
    assert nested_turns < 10, "a turn or two, and not one after another until the timer fires"
    assert loop.pump() == 1, "data that it left unread are reported again"
    notifier.close()


def test_a_reentrant_notifier_is_activated_inside_itself(loop: EventLoop, pair: Pair) -> None:
    depths: list[int] = []
    depth = 0

    def nest() -> None:
        nonlocal depth
        depth += 1
        depths.append(depth)
        if depth < 3:
            loop.pump(POLL)
        else:
            pair[0].recv(1)
        depth -= 1

    notifier = Notifier(pair[0], READ, nest, reentrant=True)
    pair[1].send(b"x")
    loop.pump()
    assert depths == [1, 2, 3]
    notifier.close()


def test_a_callback_may_close_its_muted_notifier(loop: EventLoop, pair: Pair) -> None:
    seen: list[str] = []

    def close() -> None:
        seen.append("once")
        loop.pump(POLL)
        notifier.close()

    notifier = Notifier(pair[0], READ, close)
    pair[1].send(b"x")
    loop.pump()
    assert loop.pump(POLL) == 0
    assert seen == ["once"]


def test_a_callback_that_raises_is_called_again(
    loop: EventLoop, pair: Pair, failures: list[Exception]
) -> None:
    notifier = Notifier(pair[0], READ, lambda: 1 / 0)
    pair[1].send(b"x")
    loop.pump()
    loop.pump()
    assert [type(error) for error in failures] == [ZeroDivisionError] * 2
    notifier.close()


def test_unwatchable_fds_are_refused(loop: EventLoop, tmp_path: os.PathLike[str], pair: Pair) -> None:
    with open(os.path.join(tmp_path, "file"), "w") as file, pytest.raises(NotWatchable, match="regular file"):
        Notifier(file, READ, print)
    pair[0].close()
    with pytest.raises(NotWatchable, match="closed"):
        Notifier(pair[0], READ, print)


def test_a_notifier_needs_a_loop(pair: Pair) -> None:
    with pytest.raises(NoEventLoop):
        Notifier(pair[0], READ)


def test_another_thread_may_not_use_a_notifier(loop: EventLoop, pair: Pair) -> None:
    notifier = Notifier(pair[0], READ, print)
    errors: list[WrongThread] = []

    def close() -> None:
        try:
            notifier.close()
        except WrongThread as error:
            errors.append(error)

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert len(errors) == 1
    assert notifier.is_enabled
    notifier.close()


def test_a_notifier_may_be_closed_while_its_fd_is_checked() -> None:
    """A finaliser does so: the exception of a closed file's fileno() is an allocation."""
    failures: list[Exception] = []
    here, there = socket.socketpair()

    class File:
        is_closing = False

        def fileno(self) -> int:
            if self.is_closing:
                notifier.close()
                raise ValueError
            return here.fileno()

    with EventLoop() as loop:
        loop.on_exception = lambda error, context: failures.append(error)
        file = File()
        notifier = Notifier(file, Notifier.Type.READ, lambda: None)
        file.is_closing = True
        there.send(b"x")
        loop.pump()
        assert failures == []
        assert not loop.snapshot().notifiers
    here.close()
    there.close()
