"""Frames on their way into a socket: their order, their system calls, and what a full socket means."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corelib import EventLoop, LocalSocket
from corelib.turn import current_thread_loop
from ipclib import File
from ipclib.connection.sender import flush_blocking
from tests.ipclib.connection.scripted_socket import Sending

Make = Callable[..., Sending]


@pytest.fixture
def make(loop: EventLoop) -> Iterator[Make]:
    """Makes senders with scripted sockets, which are closed with the test."""
    made: list[Sending] = []

    def make(script: Sequence[int | OSError] = (), **options: Any) -> Sending:
        made.append(Sending(script, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def _file() -> File:
    return File(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))


def _open_fds() -> int:
    gc.collect()  # What other tests left.
    return len(os.listdir("/proc/self/fd"))


_FRAMES = st.lists(
    st.binary(min_size=1, max_size=50)
    | st.tuples(st.binary(min_size=1), st.binary(), st.binary(min_size=1))
    | st.integers(60_000, 70_000).map(bytes)
)


@settings(deadline=None)  # The collector and the loop take their time.
@given(_FRAMES, st.lists(st.integers(0, 40)), st.sampled_from(["send", "send_now", "put"]))
def test_the_stream_is_the_frames_whatever_the_socket_takes(
    frames: list[Any], takes: list[int], way: str
) -> None:
    with EventLoop():
        sending = Sending(takes)
        sender = sending.sender
        expected = b""
        for frame in frames:
            getattr(sender, way)(frame, [])
            expected += frame if isinstance(frame, bytes) else b"".join(frame)
        if way == "put":
            assert sender.size == sender.high_water == len(expected)
        for _ in range(len(takes) + 1):
            sender.flush()
        assert sending.socket.stream == expected
        assert (sender.size, sender.sent, sender.frames) == (0, len(expected), len(frames))
        sending.close()


@settings(deadline=None)  # The collector and the loop take their time.
@given(_FRAMES, st.lists(st.integers(0, 40)))
def test_the_loop_sends_what_a_full_socket_has_left(frames: list[Any], takes: list[int]) -> None:
    with EventLoop() as loop:
        sending = Sending(takes)
        for frame in frames:
            sending.sender.send(frame, [])
        assert loop.spin_until(lambda: not sending.sender.size and not loop.snapshot().notifiers, 30)
        assert sending.socket.stream == b"".join(
            frame if isinstance(frame, bytes) else b"".join(frame) for frame in frames
        )
        sending.close()


def test_small_frames_leave_in_one_call(make: Make) -> None:
    sending = make()
    for number in range(100):
        sending.sender.put(b"%3d" % number, [])
    sending.sender.flush()
    assert len(sending.socket.calls) == 1


def test_frames_beyond_64_kib_leave_in_calls_of_their_own(make: Make) -> None:
    sending = make()
    for _ in range(5):
        sending.sender.put(bytes(30_000), [])
    sending.sender.flush()
    assert [len(data) for data, _fds in sending.socket.calls] == [60_000, 60_000, 30_000]


def test_the_pieces_of_a_large_frame_are_not_joined(make: Make) -> None:
    """sendmsg takes 1,024 of them at once."""
    sending = make()
    sending.sender.send(tuple(b"%4d" % number for number in range(3000)), [])
    while sending.sender.size:
        sending.sender.flush()
    assert [len(data) for data, _fds in sending.socket.calls] == [4096, 4096, 3808]
    assert sending.socket.stream == b"".join(b"%4d" % number for number in range(3000))


def test_a_frame_with_descriptors_has_a_call_to_itself(make: Make) -> None:
    sending = make()
    for frame, files in ((b"a", []), (b"b", []), (b"with", [_file(), _file()]), (b"c", []), (b"d", [])):
        sending.sender.put(frame, files)
    sending.sender.flush()
    assert sending.socket.calls == [(b"ab", 0), (b"with", 2), (b"cd", 0)]
    assert sending.sender.fds_sent == 2


@pytest.mark.parametrize("takes", [[0, 2], [1, 0, 1]])
def test_descriptors_go_with_the_first_byte_and_only_then_are_closed(make: Make, takes: list[int]) -> None:
    file = _file()
    before = _open_fds()
    sending = make(takes)
    sockets = _open_fds() - before
    sending.sender.put(b"frame", [file])
    with pytest.raises(ValueError, match="empty"):
        file.fileno()
    assert _open_fds() == before + sockets
    while sending.sender.size:
        sending.sender.flush()
        assert _open_fds() == before + sockets - bool(sending.socket.calls)
    assert [fds for _data, fds in sending.socket.calls] == [1] + [0] * (len(sending.socket.calls) - 1)
    assert sending.sender.fds_sent == 1


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_a_closed_sender_has_closed_what_waited_and_takes_no_more(make: Make, end: str) -> None:
    before = _open_fds()
    sending = make()
    sockets = _open_fds() - before
    sender = sending.sender
    sender.put(b"small", [])
    sender.put(b"frame", [_file()])
    getattr(sender, end)()
    assert (sender.size, sender.takes_frames) == (0, False)
    assert _open_fds() == before + sockets
    for way in (sender.send, sender.send_now, sender.put):
        way(b"late", [])
        way(b"late", [_file()])
        way((b"late", b"r"), [])
    sender.flush()
    assert (sender.size, sending.socket.calls, sender.frames) == (0, [], 2)
    assert _open_fds() == before + sockets
    getattr(sender, end)()


def test_outside_a_turn_a_frame_leaves_at_once(make: Make) -> None:
    sending = make()
    sending.sender.send(b"frame", [])
    assert sending.socket.stream == b"frame"


def test_the_frames_of_a_turn_leave_together_at_its_end(loop: EventLoop, make: Make) -> None:
    sending = make()
    seen: list[bytes] = []

    def send() -> None:
        sending.sender.send(b"one", [])
        sending.sender.send(b"two", [])
        assert sending.sender.flush_is_due
        seen.append(sending.socket.stream)

    loop.deferred_invoke(send)
    loop.pump()
    assert seen == [b""]
    assert sending.socket.calls == [(b"onetwo", 0)]
    assert not sending.sender.flush_is_due


def test_a_frame_that_is_sent_now_takes_those_before_it_along(loop: EventLoop, make: Make) -> None:
    sending = make()

    def send() -> None:
        sending.sender.send(b"one", [])
        sending.sender.send_now(b"two", [])
        assert sending.socket.calls == [(b"onetwo", 0)]
        sending.sender.send(b"three", [])

    loop.deferred_invoke(send)
    loop.pump()
    assert sending.socket.stream == b"onetwothree"


def test_a_cork_holds_frames_back_until_the_outermost_ends(make: Make) -> None:
    sending = make()
    with sending.sender.cork():
        sending.sender.send(b"one", [])
        with sending.sender.cork():
            sending.sender.send(b"two", [])
        assert sending.sender.corks == 1
        assert sending.socket.calls == []
    assert sending.socket.calls == [(b"onetwo", 0)]
    assert sending.sender.corks == 0


def test_a_cork_that_an_exception_ends_lets_its_frames_leave(make: Make) -> None:
    sending = make()
    with contextlib.suppress(LookupError), sending.sender.cork():
        sending.sender.send(b"one", [])
        raise LookupError
    assert sending.socket.stream == b"one"


def test_a_full_socket_is_reported_and_watched_until_all_has_left(loop: EventLoop, make: Make) -> None:
    sending = make([2, 0, 2])
    sending.sender.send(b"frame", [])
    assert sending.owner.reports == ["full"]
    assert (sending.sender.size, sending.sender.sent) == (3, 2)
    (notifier,) = loop.snapshot().notifiers
    assert notifier.fd == sending.socket.fileno()
    assert loop.spin_until(lambda: not sending.sender.size, 30)
    assert sending.owner.reports[-1] == "drained"
    assert sending.owner.reports.count("drained") == 1
    assert not loop.snapshot().notifiers
    sending.sender.send(b"next", [])
    assert sending.socket.stream == b"framenext"


def test_high_water_is_the_most_that_ever_waited(make: Make) -> None:
    sending = make([0, 0])
    sending.sender.send(b"12345", [])
    sending.sender.send(b"678", [])
    assert sending.sender.high_water == 8
    sending.sender.flush()
    sending.sender.send(b"9", [])
    assert (sending.sender.size, sending.sender.high_water) == (0, 8)


@pytest.mark.parametrize("error", [errno.EPIPE, errno.ECONNRESET])
@pytest.mark.parametrize("way", ["send_now", "put"])
def test_a_peer_that_has_stopped_reading_is_reported_and_gets_no_more(
    make: Make, error: int, way: str
) -> None:
    before = _open_fds()
    sending = make([OSError(error, "gone")])
    sockets = _open_fds() - before
    sender = sending.sender
    getattr(sender, way)(b"frame", [])
    sender.put(b"with", [_file()])
    sender.flush()
    assert sending.owner.reports == ["stopped reading"]
    assert (sender.takes_frames, sender.size, sender.is_locked) == (False, 0, False)
    sender.send(b"late", [_file()])
    assert sending.socket.calls == []
    assert _open_fds() == before + sockets


def test_a_cork_lets_go_before_the_thread_makes_a_turn_or_blocks(loop: EventLoop, make: Make) -> None:
    sending = make()
    seen: list[bytes] = []
    with sending.sender.cork():
        sending.sender.send(b"one", [])
        loop.deferred_invoke(lambda: seen.append(sending.socket.stream))
        loop.pump()
        sending.sender.send(b"two", [])
        here, there = LocalSocket.pair()
        here.wait(True, False, 0)
        seen.append(sending.socket.stream)
        sending.sender.send(b"three", [])
        loop.deferred_invoke(lambda: sending.sender.send(b"four", []))
        loop.pump()
        seen.append(sending.socket.stream)
        assert len(sending.socket.calls) == 4
    assert seen == [b"one", b"onetwo", b"onetwothreefour"]
    here.close()
    there.close()


def test_many_corks_without_a_turn_between_them_leave_one_callback(loop: EventLoop, make: Make) -> None:
    sending = make()
    for _ in range(5):
        with sending.sender.cork():
            sending.sender.send(b"x", [])
    assert sending.socket.calls == [(b"x", 0)] * 5
    assert len(current_thread_loop().turn_end) == 1
    loop.deferred_invoke(lambda: None)
    loop.pump()
    assert not current_thread_loop().turn_end


@pytest.mark.parametrize("way", ["send_now", "put"])
def test_another_error_is_reported_to_the_owner(make: Make, way: str) -> None:
    sending = make([OSError(errno.EPERM, "Operation not permitted")])
    getattr(sending.sender, way)(b"frame", [])
    sending.sender.flush()
    assert sending.owner.reports[0] == "failed: Operation not permitted"
    assert not sending.sender.is_locked


def test_blocking_sends_everything_without_the_loop(make: Make) -> None:
    sending = make([1, 0, 1, 0, 1])
    sending.sender.send(b"frame", [])
    flush_blocking(sending.sender, None)
    assert (sending.socket.stream, sending.sender.size) == (b"frame", 0)


def test_blocking_ends_when_the_socket_is_not_writable_in_time(make: Make) -> None:
    sending = make([0, 0, 0, 0])
    waits: list[float | None] = []

    def wait_writable(timeout: float | None) -> bool:
        waits.append(timeout)
        return len(waits) < 3

    sending.socket.wait_writable = wait_writable  # type: ignore[method-assign]
    sending.sender.send(b"frame", [])
    flush_blocking(sending.sender, 0)
    assert sending.sender.size == 5
    assert waits == [0.0, 0.0, 0.0]
