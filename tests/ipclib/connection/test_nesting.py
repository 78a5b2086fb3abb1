"""Blocking calls that wait above others on one stack: how many one peer may have, and for how long."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from corelib import EventLoop, LocalSocket, Promise, Timer, run_async
from ipclib import CallTimeout, ErrorKind, Limits, NestedTooDeep, RemoteError
from ipclib.connection.nesting import Nesting, nesting_of_thread
from ipclib.protocol import wire
from ipclib.protocol.events import CallFailed, RequestRefused
from tests.ipclib import clock_service
from tests.ipclib.fake_clock import FakeClock
from tests.ipclib.pairs import Pair
from tests.ipclib.protocol.two_ends import Ends, joined, trailed

GUARD = 20.0
SECOND = 1_000_000_000


@attrs.define
class Waits:
    depth: int
    began: int = 0
    deadline: int | None = None
    settled: bool = False


def _add(nesting: Nesting, peer: object | None, now: int = 0, most: int = 64) -> Waits | None:
    """Handle a message of a peer if there is one, and add a call, if it may wait."""
    depth = len(nesting.serving)
    if peer is not None:
        nesting.serving.append(peer)
    if nesting.calls and nesting.refusal(most, now) is not None:
        del nesting.serving[depth:]
        return None
    call = Waits(len(nesting.serving), now)
    nesting.calls.append(call)
    return call


def _filled(nesting: Nesting, peer: object | None, most: int = 64) -> int:
    count = 0
    while _add(nesting, peer, most=most):
        count += 1
    return count


def test_one_peer_may_have_half_of_what_others_leave() -> None:
    nesting = Nesting()
    counts = [_filled(nesting, f"peer {number}") for number in range(8)]
    assert counts == [32, 16, 8, 4, 2, 1, 1, 0]


def test_calls_for_no_peer_may_fill_the_stack() -> None:
    nesting = Nesting()
    assert _filled(nesting, None) == 64
    assert _filled(nesting, "peer") == 0
    assert "64 blocking calls wait on this thread already (max_nesting)" in (nesting.refusal(64, 0) or "")


def test_a_peer_may_hold_up_the_answered_call_of_another_for_a_second() -> None:
    nesting = Nesting()
    outer = _add(nesting, "honest")
    assert outer is not None
    assert _add(nesting, "other", now=0)
    assert _add(nesting, "other", now=5 * SECOND), "nobody is held up yet"
    outer.settled = True
    assert not _add(nesting, "other", now=5 * SECOND)
    assert _add(nesting, "third", now=5 * SECOND), "it has held up nobody"
    assert _add(nesting, "third", now=6 * SECOND)
    assert not _add(nesting, "third", now=6 * SECOND + 1)
    assert _add(nesting, None, now=9 * SECOND)


def test_a_call_whose_time_is_over_is_held_up_as_one_that_is_answered() -> None:
    nesting = Nesting()
    outer = _add(nesting, None)
    assert outer is not None
    outer.deadline = 3 * SECOND
    assert _add(nesting, "other", now=0)
    assert _add(nesting, "other", now=2 * SECOND)
    assert not _add(nesting, "other", now=3 * SECOND)


def test_a_peer_that_holds_up_itself_alone_may_go_on() -> None:
    nesting = Nesting()
    for second in range(20):
        call = _add(nesting, "peer", now=second * SECOND)
        assert call is not None
        call.settled = True


# With connections


class Raw:
    """A raw client of a service whose descend() asks its client back."""

    def __init__(self, loop: EventLoop, clock: Any) -> None:
        self.clock = clock
        self.loop = loop
        self.socket, there = socket.socketpair()
        self.socket.setblocking(False)
        self.service = clock_service.handlers(clock)(LocalSocket.adopt(there), 1)
        self._buffer = bytearray()
        self.answers: dict[int, str] = {}
        self.asked: list[int] = []

    def ask_back(self, serial: int) -> None:
        self.socket.send(trailed(self.clock.ClockServer.Descend, struct.pack("=i", 1), serial))

    def answer(self, serial: int) -> None:
        self.socket.send(trailed(self.clock.ClockClient.AscendResponse, struct.pack("=i", 0), serial))

    def read(self) -> None:
        try:
            self._buffer += self.socket.recv(1 << 20)
        except BlockingIOError:
            return
        while len(self._buffer) >= 4:
            (size,) = struct.unpack_from("=I", self._buffer)
            end = 4 + size
            _size, key = wire.HEADER.unpack_from(self._buffer)
            magic, id = wire.magic_and_id(key)
            if id == wire.FAILURE_ID:
                serial, kind, _text = wire.parse_failure(self._buffer, 0, end)  # type: ignore[arg-type]
                self.answers[serial] = kind.name
            elif id >= wire.FIRST_MESSAGE_ID:
                serial = wire.serial_of(self._buffer, end)  # type: ignore[arg-type]
                if magic == self.clock.ClockClient.MAGIC:
                    self.asked.append(serial)
                else:
                    self.answers[serial] = "result"
            del self._buffer[:end]

    def close(self) -> None:
        self.service.shutdown()
        self.socket.close()


@pytest.fixture
def raws(loop: EventLoop, clock: Any) -> Iterator[list[Raw]]:
    raws = [Raw(loop, clock) for _ in range(3)]
    yield raws
    for raw in raws:
        raw.close()


def test_nested_calls_of_one_client_leave_the_stack_to_others(loop: EventLoop, raws: list[Raw]) -> None:
    bad, honest, _other = raws
    for serial in range(1, 65):
        bad.ask_back(serial)
    refused_first: list[str] = []

    def go_on() -> None:
        """Run on top of the stack: all of the bad client's requests have been looked at."""
        for raw in (bad, honest):
            raw.read()
        if len(bad.answers) == 32 and not refused_first:
            refused_first.extend(bad.answers.values())
            honest.ask_back(1)
        for serial in honest.asked:
            honest.answer(serial)
        honest.asked.clear()
        if honest.answers:
            for serial in bad.asked:
                bad.answer(serial)
            bad.asked.clear()

    timer = Timer.create_repeating(1, go_on)
    timer.start()
    assert loop.spin_until(lambda: len(bad.answers) == 64, timeout=GUARD)
    timer.stop()
    assert honest.answers == {1: "result"}
    assert refused_first == ["REFUSED"] * 32
    assert sorted(bad.answers.values()) == ["REFUSED"] * 32 + ["result"] * 32
    assert nesting_of_thread().calls == []


def test_a_client_that_keeps_asking_cannot_hold_up_another_for_long(
    loop: EventLoop, raws: list[Raw], fake_clock: FakeClock
) -> None:
    honest, nagging, _other = raws
    for raw in raws:
        raw.service.descend = lambda depth, raw=raw: raw.service.ascend(depth, timeout=1.0)
    began = fake_clock.now_ns()
    serial = 0

    def nag() -> None:
        nonlocal serial
        serial += 1
        nagging.ask_back(serial)
        nagging.read()
        honest.read()
        for asked in honest.asked:
            honest.answer(asked)
        honest.asked.clear()

    timer = Timer.create_repeating(300, nag)
    honest.ask_back(1)
    timer.start()
    assert loop.spin_until(lambda: honest.read() or 1 in honest.answers, timeout=60)
    timer.stop()
    assert honest.answers == {1: "result"}
    assert (fake_clock.now_ns() - began) / SECOND < 4
    assert "REFUSED" in nagging.answers.values()


def test_the_refusal_reaches_a_handler_as_an_error_of_its_own(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock)
    refused: list[str] = []

    def ascend(depth: int) -> int:
        try:
            return 1 + int(pair.client.descend(depth - 1))
        except NestedTooDeep as error:
            refused.append(str(error))
            raise
        except RemoteError:
            return 1

    pair.client.ascend = ascend
    levels = pair.client.descend(100)
    assert 20 < levels < 64
    pair.close()


def test_a_coroutine_s_call_is_not_counted_for_the_peer_below_it(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock)
    seen: list[object | None] = []

    async def note() -> None:
        seen.append(nesting_of_thread().served)

    gate: Promise[None] = Promise()

    async def waits() -> None:
        await gate
        await note()

    def ascend(_depth: int) -> int:
        gate.resolve(None)
        assert nesting_of_thread().served is not None
        return int(pair.client.add(1, 2))

    pair.client.ascend = ascend
    task = run_async(waits())
    assert pair.client.descend(1) == 4
    assert task.is_resolved
    assert seen == [None]
    pair.close()


def test_a_describe_call_counts_too(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, Limits(max_nesting=1))
    pair.service.descend = lambda depth: len(pair.service.describe(GUARD))
    with pytest.raises(RemoteError, match="max_nesting") as refused:
        pair.client.descend(1)
    assert refused.value.kind is ErrorKind.REFUSED
    pair.close()


def test_calls_leave_the_stack_however_they_end(pair: Pair) -> None:
    with pytest.raises(CallTimeout):
        pair.client.held(1, timeout=0.001)
    with pytest.raises(RemoteError):
        pair.client.fail("x", True)
    assert (nesting_of_thread().calls, nesting_of_thread().served) == ([], None)


def test_handlers_that_await_on_the_stack_leave_it_to_others(loop: EventLoop, raws: list[Raw]) -> None:
    bad, honest, _other = raws
    gate: Promise[int] = Promise()
    depths: list[int] = []

    def descend(depth: int) -> int:
        depths.append(len(nesting_of_thread().serving))
        return gate.await_(GUARD)

    bad.service.descend = descend
    honest.service.descend = lambda depth: 7
    for serial in range(1, 101):
        bad.ask_back(serial)

    def go_on() -> None:
        for raw in (bad, honest):
            raw.read()
        if len(bad.answers) == 60:
            honest.ask_back(1)
        if honest.answers:
            gate.resolve(5)

    timer = Timer.create_repeating(1, go_on)
    timer.start()
    assert loop.spin_until(lambda: len(bad.answers) == 100, timeout=GUARD)
    timer.stop()
    assert honest.answers == {1: "result"}
    assert sorted(bad.answers.values()) == ["REFUSED"] * 60 + ["result"] * 40
    assert max(depths) == 40
    assert nesting_of_thread().serving == []
    bad.service.descend = lambda depth: 7
    bad.ask_back(200)
    assert loop.spin_until(lambda: bad.read() or 200 in bad.answers, timeout=GUARD)
    assert bad.answers[200] == "result"


# A stack that is too short to decode a message


def _deep(action: Any, left: int) -> Any:
    """Call `action` with about so many frames left."""
    used = 0
    frame = sys._getframe()
    while frame is not None:
        used += 1
        frame = frame.f_back  # type: ignore[assignment]

    def down(levels: int) -> Any:
        return down(levels - 1) if levels else action()

    return down(sys.getrecursionlimit() - used - left)


@pytest.mark.parametrize("trailers", [True, False])
def test_a_message_for_which_the_stack_is_too_short_is_refused(clock: Any, trailers: bool) -> None:
    """RecursionError is what a codec of nested structs or JSON raises then."""
    ends = Ends(clock, client_trailers=trailers)
    message = clock.ClockServer.Add.__ipc__
    original = message.decode

    def decode(data: Any, at: int, decoding: Any) -> Any:
        decoding.elements -= 1

        def deeper() -> Any:
            return deeper()

        return deeper()

    _call, frame = ends.client.request(clock.ClockServer.Add, 1, 2)
    message.decode = decode
    try:
        _deep(lambda: ends.service.receive(frame), 120)
    finally:
        message.decode = original
    if trailers:
        (event,) = ends.service.inbox
        assert isinstance(event, RequestRefused)
        assert (event.kind, event.serial, event.name) == (ErrorKind.REFUSED, 1, "ClockServer.add")
        ends.service.conversation.inbox.clear()
        _call, frame = ends.client.request(clock.ClockServer.Add, 3, 4)
        ends.service.receive(frame)
        (arrived,) = ends.service.inbox
        assert isinstance(arrived, tuple)
        assert arrived[3] == (3, 4)
    else:
        assert ends.service.receiver.ended


def test_an_answer_for_which_the_stack_is_too_short_fails_its_call(clock: Any) -> None:
    ends = Ends(clock)
    call, to = ends.ask(clock.ClockServer.Add, 1, 2)
    message = clock.ClockServer.AddResponse.__ipc__
    original = message.decode

    def decode(*_arguments: Any) -> Any:
        raise RecursionError

    message.decode = decode
    try:
        for frame, _files in ends.service.conversation.answer(clock.ClockServer.Add.__ipc__, to, 3):
            ends.client.receive(joined(frame))
    finally:
        message.decode = original
    (event,) = ends.client.inbox
    assert isinstance(event, CallFailed)
    assert event.call is call
    assert event.error.kind is ErrorKind.REFUSED
    assert not ends.client.conversation.open_calls
