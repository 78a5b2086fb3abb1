"""What one peer can make a service hold: running handlers, and answers that nobody reads."""

from __future__ import annotations

import gc
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from corelib import Cancelled, EventLoop, LocalSocket, Promise, WaitMode
from ipclib import CallTimeout, ErrorKind, File, Limits, RemoteError
from ipclib.connection.connection import is_busy
from ipclib.connection.deferred import OneWayReply
from ipclib.protocol import wire
from tests.ipclib import clock_service
from tests.ipclib.pairs import Pair, link_of, raw_peer
from tests.ipclib.protocol.two_ends import bare, trailed

GUARD = 20.0
MIB = 1 << 20


class Crowded:
    """Handlers that run until they are cancelled."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.begun: list[object] = []
        self.cancelled: list[object] = []

    async def held(self, value: int) -> int:
        await self._wait(value)
        return value

    async def log(self, number: int, text: str) -> None:
        await self._wait(text)

    async def _wait(self, name: object) -> None:
        self.begun.append(name)
        try:
            await Promise[None]()
        except Cancelled:
            self.cancelled.append(name)
            raise


class Crowd:
    def __init__(self, clock: Any, limits: Limits) -> None:
        here, there = LocalSocket.pair()
        self.client = clock.ConnectionToServer(here)
        service = type("Service", (Crowded, clock_service.handlers(clock)), {})
        self.service = service(there, 1, limits=limits)


@pytest.fixture
def crowd(loop: EventLoop, clock: Any) -> Iterator[Crowd]:
    crowd = Crowd(clock, Limits(max_running_handlers=3))
    yield crowd
    crowd.client.shutdown()
    crowd.service.shutdown()


def test_requests_over_the_running_handlers_are_refused_and_others_are_served(crowd: Crowd) -> None:
    calls = [crowd.client.async_held(number) for number in range(5)]
    assert crowd.client.add(1, 2) == 3, "a handler that returns at once is no running one"
    for call in calls[3:]:
        with pytest.raises(RemoteError, match="max_running_handlers") as refused:
            call.await_(GUARD)
        assert refused.value.kind is ErrorKind.REFUSED
    assert crowd.service.begun == [0, 1, 2], "the others never began"
    assert crowd.service.counters.refused == 2
    calls[0].cancel()
    crowd.client.nothing()
    crowd.client.async_held(7)
    crowd.client.nothing()
    assert crowd.service.begun == [0, 1, 2, 7], "there is room again"


def test_a_promise_over_the_running_handlers_is_cancelled_unless_it_is_shared(crowd: Crowd) -> None:
    stopped: list[str] = []
    alone, shared = Promise[int](), Promise[int]()
    alone.on_cancel = lambda: stopped.append("alone")
    shared.on_cancel = lambda: stopped.append("shared")
    shared.when_resolved(lambda _value: None)
    for number in range(3):
        crowd.client.async_held(number)
    crowd.service.add = lambda a, b: shared if a else alone
    for number in (0, 1):
        with pytest.raises(RemoteError, match="max_running_handlers"):
            crowd.client.add(number, 0, timeout=GUARD)
    assert stopped == ["alone"]


def test_one_way_handlers_count_and_are_dropped_over_the_limit(crowd: Crowd) -> None:
    for number in range(5):
        crowd.client.async_log(number, str(number))
    crowd.client.nothing()
    assert crowd.service.begun == ["0", "1", "2"]
    assert crowd.service.counters.dropped_messages == 2


@pytest.mark.parametrize("way", ["the peer leaves", "shutdown"])
def test_handlers_of_one_way_messages_end_with_their_peer(crowd: Crowd, loop: EventLoop, way: str) -> None:
    crowd.client.async_log(1, "one")
    crowd.client.nothing()
    assert is_busy(crowd.service)
    (crowd.client if way == "the peer leaves" else crowd.service).shutdown()
    assert loop.spin_until(lambda: crowd.service.cancelled == ["one"], timeout=GUARD)
    assert not is_busy(crowd.service)


def test_a_one_way_handler_s_promise_that_is_dropped_is_forgotten(pair: Pair) -> None:
    pair.service.log = lambda number, text: Promise()
    pair.client.async_log(1, "one")
    pair.client.nothing()
    gc.collect()
    pair.client.nothing()
    assert not is_busy(pair.service)


def test_the_files_of_a_one_way_message_are_closed_with_its_handler(
    crowd: Crowd, loop: EventLoop, clock: Any
) -> None:
    message = clock.ClockServer.Log.__ipc__
    outcomes: list[Callable[[OneWayReply], None]] = [
        lambda reply: reply.abandon(),
        lambda reply: reply.raised(Cancelled()),
        lambda reply: reply.refuse(ErrorKind.REFUSED, ""),
    ]
    for end in outcomes:
        fd = os.open("/dev/null", os.O_RDONLY)
        end(OneWayReply(link_of(crowd.service), message, [File(fd)]))
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_a_second_cancel_of_a_request_does_not_interrupt_its_cleaning_up(loop: EventLoop, clock: Any) -> None:
    ends: list[str] = []
    gate: Promise[None] = Promise()

    async def held(value: int) -> int:
        try:
            await Promise[None]()
        finally:
            ends.append("began")
            await gate
            ends.append("ended")
        return value

    raw, service = raw_peer(clock)
    service.held = held
    raw.sendall(trailed(clock.ClockServer.Held, bytes(4), 5))
    loop.pump()
    for _ in range(3):
        raw.sendall(wire.pack_cancel(clock.ClockServer.MAGIC, 5))
        loop.pump()
        loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert ends == ["began"]
    gate.resolve(None)
    assert loop.spin_until(lambda: ends == ["began", "ended"], timeout=GUARD)
    service.shutdown()
    raw.close()


def test_cancels_of_a_peer_whose_inbox_is_never_empty_are_not_kept(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    cancel = wire.pack_cancel(clock.ClockServer.MAGIC, 0)
    for start in range(0, 5000, 1000):
        raw.sendall(b"".join(cancel[:-4] + struct.pack("=I", start + at) for at in range(1000)))
        while not link_of(service).conversation.inbox or len(link_of(service).conversation.inbox) > 60:
            loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert len(link_of(service).conversation.cancelled) <= len(link_of(service).conversation.inbox)
    service.shutdown()
    raw.close()


# Answers that nobody reads


class Unread:
    """A raw client that reads nothing of what a service with a small send queue answers."""

    def __init__(self, loop: EventLoop, clock: Any) -> None:
        self.loop = loop
        self.clock = clock
        self.raw, self.service = raw_peer(clock, Limits(max_send_queue=MIB))
        self.raw.setblocking(False)
        self.serial = 0

    def ask(self, *, size: int = MIB // 2, message: Any = None) -> None:
        self.serial += 1
        payload = struct.pack("=I", size) + bytes(size) if message is None else struct.pack("=i", size)
        frame = trailed(message or self.clock.ClockServer.EchoBytes, payload, self.serial)
        while frame:
            try:
                frame = frame[self.raw.send(frame) :]
            except BlockingIOError:
                if not self.loop.pump(WaitMode.POLL_FOR_EVENTS):
                    return  # It does not read any more.
        for _ in range(4):
            self.loop.pump(WaitMode.POLL_FOR_EVENTS)

    @property
    def waiting(self) -> int:
        return link_of(self.service).sender.size

    def answers(self) -> list[str]:
        """Read everything: for each answer its kind."""
        received = bytearray()
        found: list[str] = []
        for _ in range(10_000):
            self.loop.pump(WaitMode.POLL_FOR_EVENTS)
            try:
                received += self.raw.recv(MIB)
            except BlockingIOError:
                if not self.waiting:
                    break
        at = 0
        while at < len(received):
            size, key = wire.HEADER.unpack_from(received, at)
            end = at + 4 + size
            is_error = wire.magic_and_id(key)[1] == wire.FAILURE_ID
            found.append(wire.parse_failure(received, at, end)[1].name if is_error else "result")
            at = end
        return found

    def close(self) -> None:
        self.service.shutdown()
        self.raw.close()


@pytest.fixture
def unread(loop: EventLoop, clock: Any) -> Iterator[Unread]:
    unread = Unread(loop, clock)
    yield unread
    unread.close()


def test_a_peer_is_throttled_although_it_left_a_call_unanswered(unread: Unread) -> None:
    unread.ask(size=8)
    with pytest.raises(CallTimeout):
        unread.service.ascend(1, timeout=0)
    for _ in range(12):
        unread.ask()
    assert unread.waiting < 2 * MIB
    assert link_of(unread.service).is_throttled


def test_a_peer_whose_answer_we_await_is_refused_what_it_does_not_read(unread: Unread) -> None:
    unread.ask(size=8)
    awaited = unread.service.async_ascend(1)
    for _ in range(12):
        unread.ask()
    assert unread.waiting < 3 * MIB
    assert not link_of(unread.service).is_throttled, "its answer may come"
    refused = unread.service.counters.refused
    assert refused > 5
    assert unread.answers().count("REFUSED") == refused
    unread.ask(size=8)
    assert unread.answers() == ["result"], "it has read, and is served again"
    assert not awaited.is_settled


def test_a_peer_that_goes_on_after_its_refusals_is_dropped(
    unread: Unread, caplog: pytest.LogCaptureFixture
) -> None:
    unread.ask(size=8)
    awaited = unread.service.async_ascend(1)
    for _ in range(6):
        unread.ask()
    for _ in range(2000):
        if unread.service.is_open:
            unread.ask(size=1)
    assert not unread.service.is_open
    assert unread.waiting < 3 * MIB
    assert awaited.is_rejected
    assert "it does not read" in caplog.text


def test_late_answers_that_nobody_reads_are_bounded(unread: Unread) -> None:
    gates: list[Promise[bytes]] = []

    async def held(value: int) -> Any:
        gates.append(Promise())
        await gates[-1]
        return 5

    async def echo_bytes(data: bytes) -> bytes:
        gates.append(Promise())
        return await gates[-1]

    unread.service.echo_bytes = echo_bytes
    for _ in range(20):
        unread.ask(size=8)
    assert len(gates) == 20
    for gate in gates:
        gate.resolve(bytes(MIB // 2))
    for _ in range(10):
        unread.loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert 2 * MIB <= unread.waiting < 3 * MIB
    answers = unread.answers()
    assert len(answers) == 20, "each is answered"
    assert answers.count("result") == 20 - answers.count("REFUSED") >= 4


def test_bare_answers_that_wait_for_an_earlier_one_are_bounded(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock, Limits(max_send_queue=MIB))
    gates: list[Promise[bytes]] = []

    def echo_bytes(data: bytes) -> Any:
        if not gates:
            gates.append(Promise())
            return gates[0]
        return bytes(MIB // 2)

    service.echo_bytes = echo_bytes
    largest = 0
    for _ in range(20):
        if service.is_open:
            raw.sendall(bare(clock.ClockServer.EchoBytes, struct.pack("=I", 0)))
            loop.pump(WaitMode.POLL_FOR_EVENTS)
            loop.pump(WaitMode.POLL_FOR_EVENTS)
            largest = max(largest, link_of(service).conversation.bare_replies.size)
    assert not service.is_open
    assert largest < 3 * MIB
    raw.close()


def test_the_count_of_bare_answers_that_wait_is_theirs(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    gates = {number: Promise[int]() for number in range(4)}
    service.held = gates.__getitem__
    for number in range(4):
        raw.sendall(bare(clock.ClockServer.Held, struct.pack("=i", number)))
    loop.pump()
    replies = link_of(service).conversation.bare_replies
    for number, waits in ((2, True), (1, True), (0, False), (3, False)):
        gates[number].resolve(number)
        assert bool(replies.size) is waits
    service.shutdown()
    raw.close()
