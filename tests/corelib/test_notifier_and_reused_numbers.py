"""Owns the tests of notifiers whose file is closed under them, and whose number another file gets.
Must not know epoll.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from corelib import EventLoop, Notifier, NotWatchable, WaitMode

POLL = WaitMode.POLL_FOR_EVENTS
READ = Notifier.Type.READ


class File:
    """A ready file, and another ready one of the same kind that gets its number.

    `how` is what fileno() does once it is closed: return -1, or raise."""

    def __init__(self, kind: str, how: str) -> None:
        self._make = {"socket": self._socket, "pipe": self._pipe, "eventfd": self._eventfd}[kind]
        self._how = how
        self._is_open = True
        self._others: list[int] = []
        self.number = self._make()

    def fileno(self) -> int:
        if self._is_open:
            return self.number
        if self._how == "raises OSError":
            raise OSError("handle is closed")
        if self._how == "raises ValueError":
            raise ValueError("I/O operation on closed file")
        if self._how == "raises AttributeError":
            raise AttributeError("'NoneType' object has no attribute 'fileno'")
        return -1

    def replace(self) -> None:
        """Close it, and open another that gets the number."""
        os.close(self.number)
        self._is_open = False
        another = self._make()
        if another != self.number:
            os.dup2(another, self.number)
            self._others.append(another)

    def close(self) -> None:
        for fd in [self.number, *self._others]:
            os.close(fd)

    def _socket(self) -> int:
        mine, theirs = socket.socketpair()
        theirs.send(b"x")
        self._others.append(theirs.detach())
        return mine.detach()

    def _pipe(self) -> int:
        reading, writing = os.pipe()
        os.write(writing, b"x")
        self._others.append(writing)
        return reading

    def _eventfd(self) -> int:
        return os.eventfd(1)


HOW = ["returns -1", "raises OSError", "raises ValueError", "raises AttributeError"]


# All eventfds have one inode, so that only their objects can be told apart.
@pytest.fixture(
    params=[
        *(("socket", how, "object") for how in HOW),
        ("pipe", "raises OSError", "object"),
        ("eventfd", "returns -1", "object"),
        ("eventfd", "raises OSError", "object"),
        ("socket", "", "number"),
        ("pipe", "", "number"),
    ],
    ids="-".join,
)
def given_as(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    kind, how, form = request.param
    return kind, how, form


@pytest.fixture
def file(given_as: tuple[str, str, str]) -> Iterator[File]:
    kind, how, _ = given_as
    made = File(kind, how)
    yield made
    made.close()


@pytest.fixture
def given(file: File, given_as: tuple[str, str, str]) -> int | File:
    return file if given_as[2] == "object" else file.number


def require_one_line(caplog: pytest.LogCaptureFixture, notifier: Notifier) -> None:
    assert caplog.text.count("its fd was closed") == 1
    assert not notifier.is_enabled
    assert "closed" in repr(notifier)


def test_a_number_used_again_in_the_callback_ends_the_notifier(
    loop: EventLoop, file: File, given: int | File, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def replace_after_nested_turns() -> None:
        calls.append("called")
        loop.pump(POLL)
        loop.pump(POLL)
        file.replace()

    notifier = Notifier(given, READ, replace_after_nested_turns)
    for _ in range(3):
        loop.pump(POLL)
    assert calls == ["called"]
    require_one_line(caplog, notifier)


def test_a_number_used_again_between_two_awaits_is_not_awaited(
    loop: EventLoop, file: File, given: int | File, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier(given, READ)

    async def read_twice() -> str:
        await notifier
        file.replace()
        await notifier
        return "activated for another file"

    with pytest.raises(NotWatchable, match="make a new notifier"):
        loop.run_until_complete(read_twice())
    with pytest.raises(NotWatchable):
        notifier.activation()
    require_one_line(caplog, notifier)


def test_a_number_used_again_while_it_is_awaited_rejects_the_activation(
    loop: EventLoop, file: File, given: int | File, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier(given, READ)
    activation = notifier.activation()
    file.replace()
    loop.pump(POLL)
    with pytest.raises(NotWatchable):
        activation.await_(timeout=0)
    require_one_line(caplog, notifier)


Rest = Callable[[Notifier], Callable[[], object]]


def _disable(notifier: Notifier) -> Callable[[], object]:
    notifier.set_enabled(False)
    return lambda: notifier.set_enabled(True)


def _take_the_callback_away(notifier: Notifier) -> Callable[[], object]:
    callback, notifier.on_activation = notifier.on_activation, None
    return lambda: setattr(notifier, "on_activation", callback)


@pytest.mark.parametrize("rest", [_disable, _take_the_callback_away])
def test_a_number_used_again_while_nothing_is_watched_is_refused(
    loop: EventLoop, file: File, given: int | File, rest: Rest, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    notifier = Notifier(given, READ, lambda: calls.append("called"))
    go_on = rest(notifier)
    file.replace()
    with pytest.raises(NotWatchable):
        go_on()
    loop.pump(POLL)
    assert calls == []
    require_one_line(caplog, notifier)


def test_a_notifier_that_never_watched_does_not_begin_with_another_file(
    loop: EventLoop, file: File, given: int | File
) -> None:
    notifier = Notifier(given, READ)
    file.replace()
    with pytest.raises(NotWatchable):
        notifier.on_activation = print


def test_a_number_that_is_reused_while_it_watches_ends_the_notifier(
    loop: EventLoop, file: File, given: int | File, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []
    notifier = Notifier(given, READ, lambda: calls.append("called"))
    loop.pump(POLL)
    file.replace()
    for _ in range(3):
        loop.pump(POLL)
    assert calls == ["called"]
    require_one_line(caplog, notifier)


def test_the_next_file_can_have_a_notifier_of_its_own(loop: EventLoop, file: File, given: int | File) -> None:
    calls: list[str] = []
    first = Notifier(given, READ, lambda: calls.append("first"))
    first.set_enabled(False)
    file.replace()
    second = Notifier(file.number, READ, lambda: calls.append("second"))
    with suppress(NotWatchable):
        first.set_enabled(True)
    loop.pump(POLL)
    assert calls == ["second"]
    second.close()


@pytest.mark.parametrize("error", [OSError("handle is closed"), ValueError("I/O operation on closed file")])
def test_a_closed_file_is_refused_at_once(loop: EventLoop, error: Exception) -> None:
    class Closed:
        def fileno(self) -> int:
            raise error

    with pytest.raises(NotWatchable, match="closed"):
        Notifier(Closed(), READ, print)
    for number in (-1, 10**6, 1 << 40):
        with pytest.raises(NotWatchable, match="closed"):
            Notifier(number, READ, print)


def test_a_file_that_is_still_open_is_watched_again(loop: EventLoop, file: File, given: int | File) -> None:
    """Whatever rests in between, and although a fileno() that raises says nothing about the file."""
    calls: list[str] = []
    with ExitStack() as stack:
        notifier = Notifier(given, READ, lambda: calls.append("called"))
        stack.callback(notifier.close)
        for rest in (_disable, _take_the_callback_away):
            rest(notifier)()
            loop.pump(POLL)
        notifier.set_type(READ | Notifier.Type.WRITE)
        loop.pump(POLL)
    assert calls == ["called"] * 3
