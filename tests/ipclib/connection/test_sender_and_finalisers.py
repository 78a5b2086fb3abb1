"""A sender that finalisers enter at any allocation: frames stay whole, leave once, and keep their order."""

from __future__ import annotations

import errno
import gc
import os
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corelib import EventLoop, WaitMode
from ipclib import File
from tests.ipclib.collector import Finaliser, collecting
from tests.ipclib.connection.scripted_socket import Sending

_SHAPES = ["small", "pieces", "large", "file"]


class Author:
    """Numbers the frames that it sends, in different shapes, so that the stream tells whose each is."""

    def __init__(self, name: int, sending: Sending) -> None:
        self.name = name
        self.written = 0
        self._sender = sending.sender

    def send(self, shape: str, way: str = "send") -> None:
        number, self.written = self.written, self.written + 1
        padding = bytes([self.name]) * (40_000 if shape == "large" else 10 + number % 7)
        head = b"%02d%04d%06d" % (self.name, number, len(padding))
        files = [File(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))] if shape == "file" else []
        frame: Any = (head, padding[:5], padding[5:]) if shape == "pieces" else head + padding
        getattr(self._sender, way)(frame, files)


def _frames_in(stream: bytes, *, cut_off: bool = False) -> dict[int, list[int]]:
    """The numbers of each author's frames, in the stream's order; `cut_off` allows a last incomplete one."""
    found: dict[int, list[int]] = defaultdict(list)
    at = 0
    while at < len(stream):
        if cut_off and len(stream) - at < 12:
            break
        author, number, size = (
            int(stream[at : at + 2]),
            int(stream[at + 2 : at + 6]),
            int(stream[at + 6 : at + 12]),
        )
        if cut_off and at + 12 + size > len(stream):
            break
        assert stream[at + 12 : at + 12 + size] == bytes([author]) * size, "a whole frame"
        found[author].append(number)
        at += 12 + size
    return found


def _open_fds() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


_STEPS = st.lists(
    st.tuples(st.sampled_from(_SHAPES), st.sampled_from(["send", "send_now", "put"]))
    | st.just(("flush", ""))
    | st.just(("turn", "")),
    min_size=1,
    max_size=12,
)
_ACTS = st.lists(st.sampled_from([*_SHAPES, "now", "flush"]), min_size=1, max_size=3)
_SCRIPT = st.lists(st.integers(0, 60) | st.sampled_from([0, 1000, 39_000]), max_size=20)


def _check_drained(loop: EventLoop, sending: Sending) -> None:
    """Let the loop send the rest; then nothing waits, and nothing keeps the loop awake."""
    sending.sender.flush()
    for _ in range(100):
        loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert (sending.sender.size, sending.sender.is_locked) == (0, False)
    assert not loop.snapshot().notifiers, "nothing watches a socket into which nothing is to be written"


def _do(author: Author, sending: Sending, loop: EventLoop, steps: list[tuple[str, str]]) -> None:
    for shape, way in steps:
        if shape == "flush":
            sending.sender.flush()
        elif shape == "turn":
            loop.deferred_invoke(lambda: author.send("small"))
            loop.pump()
        else:
            author.send(shape, way)


@settings(deadline=None)  # The collector and the loop take their time.
@given(steps=_STEPS, acts=_ACTS, script=_SCRIPT, threshold=st.integers(1, 40), times=st.integers(1, 6))
def test_every_author_s_frames_leave_once_and_in_order(
    steps: list[tuple[str, str]], acts: list[str], script: list[int], threshold: int, times: int
) -> None:
    with EventLoop() as loop:
        sending = Sending(script)
        author, other = Author(1, sending), Author(2, sending)
        entered: list[str] = []

        def enter() -> None:
            for act in acts:
                entered.append(act)
                if act == "flush":
                    sending.sender.flush()
                elif act == "now":
                    other.send("small", "send_now")
                else:
                    other.send(act)

        with collecting(threshold):
            Finaliser(enter, times)
            _do(author, sending, loop, steps)
        while len(entered) < len(acts) * times:
            gc.collect()
        _check_drained(loop, sending)
        found = _frames_in(sending.socket.stream)
        assert found[1] == list(range(author.written))
        assert found[2] == list(range(other.written))
        sender = sending.sender
        assert (sender.frames, sender.sent) == (author.written + other.written, len(sending.socket.stream))
        sending.close()


_EVERY_SHAPE = pytest.mark.parametrize(
    "shape",
    ["small", "file", *(pytest.param(shape, marks=pytest.mark.slow) for shape in ("pieces", "large"))],
)
_EVERY_SCRIPT = pytest.mark.parametrize(
    "script",
    [[0, 0, 5, 0, 20_000, 0], *(pytest.param(script, marks=pytest.mark.slow) for script in ([], [0], [5]))],
)


@_EVERY_SHAPE
@pytest.mark.parametrize("way", ["send", "send_now", "put"])
@_EVERY_SCRIPT
def test_a_finaliser_may_send_at_every_allocation_of_every_way(
    shape: str, way: str, script: list[int]
) -> None:
    """One threshold after the other: each lets the collector run at another allocation."""
    for threshold in range(1, 30):
        with EventLoop() as loop:
            sending = Sending(script)
            author, other = Author(1, sending), Author(2, sending)

            def enter(sending: Sending = sending, other: Author = other) -> None:
                other.send("small")
                sending.sender.flush()
                other.send("small", "send_now")

            with collecting(threshold):
                Finaliser(enter)
                author.send(shape, way)
                author.send("small", way)
            _check_drained(loop, sending)
            assert _frames_in(sending.socket.stream) == {1: [0, 1], 2: [0, 1]}
            sending.close()


def _check_closed(loop: EventLoop, sending: Sending) -> None:
    sender = sending.sender
    assert (sender.size, sender.takes_frames, sender.is_locked) == (0, False, False)
    assert not loop.snapshot().notifiers, "nothing watches a closed socket"
    sender.flush()
    loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert not loop.snapshot().notifiers


@_EVERY_SHAPE
@pytest.mark.parametrize("way", ["send", "send_now", "put"])
@_EVERY_SCRIPT
def test_a_finaliser_may_close_the_sender_at_every_allocation(
    shape: str, way: str, script: list[int]
) -> None:
    before = _open_fds()
    for threshold in range(1, 30):
        with EventLoop() as loop, warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            sending = Sending(script)
            author = Author(1, sending)
            at_close: list[int] = []

            def close(sending: Sending = sending, at_close: list[int] = at_close) -> None:
                sending.close()
                at_close.append(len(sending.socket.calls))

            with collecting(threshold):
                Finaliser(close)
                author.send(shape, way)
                author.send("small", way)
            _check_closed(loop, sending)
            assert len(sending.socket.calls) == at_close[0]
    assert _open_fds() == before


@pytest.mark.slow
@settings(deadline=None)  # The collector and the loop take their time.
@given(
    steps=_STEPS,
    script=st.lists(
        st.integers(0, 60) | st.sampled_from([OSError(errno.EPIPE, "gone"), OSError(errno.EIO, "broken")]),
        max_size=12,
    ),
    threshold=st.integers(1, 40),
    after=st.integers(1, 6),
)
def test_a_finaliser_that_closes_leaves_a_prefix_and_nothing_open(
    steps: list[tuple[str, str]], script: list[int | OSError], threshold: int, after: int
) -> None:
    before = _open_fds()
    with EventLoop() as loop:
        sending = Sending(script)
        sending.owner.on_failure = sending.close  # type: ignore[method-assign]
        author, other = Author(1, sending), Author(2, sending)
        calls: list[None] = []

        def enter() -> None:
            calls.append(None)
            other.send("file")
            if len(calls) == after:
                sending.close()

        with collecting(threshold):
            Finaliser(enter, after)
            _do(author, sending, loop, steps)
        while len(calls) < after:
            gc.collect()
        found = _frames_in(sending.socket.stream, cut_off=True)
        for name in (1, 2):
            assert found[name] == list(range(len(found[name])))
        _check_closed(loop, sending)
        sending.close()
    assert _open_fds() == before


@pytest.mark.parametrize("act", ["send", "flush", "close"])
def test_a_finaliser_in_the_middle_of_the_system_call_only_queues(act: str, loop: EventLoop) -> None:
    """The collector runs in code of the user alone; the scripted socket is such code, the system's is not."""
    sending = Sending([3])
    author, other = Author(1, sending), Author(2, sending)
    send: Callable[..., int] = sending.socket.send
    sizes: list[int] = []

    def act_and_send(data: Any, flags: int) -> int:
        sending.sender._send = send  # The sender has bound it, as it is called for each frame.
        if act == "send":
            other.send("small")
        elif act == "flush":
            sending.sender.flush()
        else:
            sending.close()
        sizes.append(len(sending.socket.calls))
        return send(data, flags)

    sending.sender._send = act_and_send  # As above.
    author.send("small")
    assert sizes == [0], "nothing was written by the inner one"
    if act == "close":
        _check_closed(loop, sending)
    else:
        _check_drained(loop, sending)
        assert _frames_in(sending.socket.stream)[1] == [0]
        assert len(_frames_in(sending.socket.stream)[2]) == (act == "send")
    sending.close()
