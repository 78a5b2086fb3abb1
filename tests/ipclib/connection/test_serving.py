"""Handlers that answer later: `async def`, promises, cancellation, and the order of answers."""

from __future__ import annotations

import gc
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import Cancelled, EventLoop, LocalSocket, Promise, run_async, sleep_ms
from ipclib import CallTimeout, ErrorKind, File, HandlerError, PeerDisconnected, RemoteError
from ipclib.protocol.wire import TAG
from tests.ipclib.pairs import link_of

GUARD = 30.0

INTERFACE = """
endpoint WorkServer
{
    hold(i32 number) => (i32 number)
    quick(i32 number) => (i32 number)
    both(i32 number) => (i32 number, String text)
    nothing() => ()
    fail(bool on_purpose) => ()
    keep(IPC::File file, bool fail) => (u32 size)
    note(i32 number) =|
}

endpoint WorkClient
{
    ask(i32 number) => (i32 answer)
}
"""


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Any:
    source = tmp_path_factory.mktemp("work") / "Work.ipc"
    source.write_text(INTERFACE)
    return ipcc.load(source)


class Work:
    """Handlers that are coroutines."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.cancelled: list[int] = []
        self.gates: dict[int, Promise[int]] = {}
        self.died = 0

    async def hold(self, number: int) -> int:
        self.begun.append(number)
        try:
            self.gates[number] = Promise()
            return await self.gates[number]
        except Cancelled:
            self.cancelled.append(number)
            raise
        finally:
            self.ended.append(number)

    def quick(self, number: int) -> int:
        return number

    async def both(self, number: int) -> tuple[int, str]:
        await sleep_ms(0)
        return number, str(number)

    async def nothing(self) -> None:
        await sleep_ms(0)

    async def fail(self, on_purpose: bool) -> None:
        await sleep_ms(0)
        raise HandlerError("on purpose") if on_purpose else ZeroDivisionError("by accident")

    async def keep(self, file: File, fail: bool) -> int:
        await sleep_ms(0)
        if fail:
            raise HandlerError("with a file")
        with file:
            return os.fstat(file.fileno()).st_size

    async def note(self, number: int) -> None:
        self.begun.append(number)
        await sleep_ms(0)
        if number < 0:
            raise ZeroDivisionError("in a note")
        self.ended.append(number)

    def die(self) -> None:
        self.died += 1


class Asked:
    """The client's handler."""

    async def ask(self, number: int) -> int:
        await sleep_ms(0)
        return number * 2


class Ends:
    """A service whose handlers are coroutines, and its client."""

    def __init__(self, work: Any, trailers: bool = True) -> None:
        client = type("Client", (Asked, work.ConnectionToServer), {})
        service = type("Service", (Work, work.ConnectionFromClient), {})
        here, there = LocalSocket.pair()
        self.client = client(here, trailers=trailers)
        self.service = service(there, 1, trailers=trailers)


@pytest.fixture
def ends(loop: EventLoop, work: Any) -> Iterator[Ends]:
    ends = Ends(work)
    yield ends
    ends.client.shutdown()
    ends.service.shutdown()


def test_a_coroutine_answers_like_any_handler(ends: Ends) -> None:
    assert ends.client.both(7) == ends.client.both(7)
    both = ends.client.both(7)
    assert (both.number, both.text) == (7, "7")
    assert ends.client.nothing() is None


def test_other_requests_are_served_while_a_handler_waits(ends: Ends) -> None:
    slow = ends.client.async_hold(1)
    assert ends.client.quick(2) == 2, "its answer overtakes"
    assert ends.service.begun == [1], "started in the order in which they came"
    ends.service.gates[1].resolve(10)
    assert slow.await_(GUARD) == 10


def test_a_coroutine_s_exception_is_answered_like_any_handler_s(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RemoteError) as failed:
        ends.client.fail(True)
    assert (failed.value.kind, failed.value.text) == (ErrorKind.HANDLER_RAISED, "on purpose")
    with pytest.raises(RemoteError) as failed:
        ends.client.fail(False)
    assert failed.value.text == "ZeroDivisionError"
    assert "by accident" in caplog.text


def test_the_files_of_a_coroutine_that_raises_are_closed(ends: Ends, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert ends.client.keep(File(os.open(tmp_path / "file", os.O_RDONLY)), False) == 5
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RemoteError, match="with a file"):
        ends.client.keep(File(os.open(tmp_path / "file", os.O_RDONLY)), True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_way_messages_may_have_coroutines_too(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, -1, 2):
        ends.client.async_note(number)
    assert EventLoop.current().spin_until(lambda: ends.service.ended == [1, 2], timeout=GUARD)
    assert ends.service.begun == [1, -1, 2]
    assert "in a note" in caplog.text


def test_a_service_calls_its_client(ends: Ends) -> None:
    assert ends.service.ask(21) == 42
    assert run_async(_ask(ends)).await_(GUARD) == 42


async def _ask(ends: Ends) -> int:
    answer: int = await ends.service.async_ask(21)
    return answer


def test_cancelling_a_call_cancels_its_handler(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    call = ends.client.async_hold(1)
    ends.client.nothing()
    assert call.cancel()
    assert EventLoop.current().spin_until(lambda: bool(ends.service.ended), timeout=GUARD)
    assert (ends.service.cancelled, ends.service.ended) == ([1], [1])
    assert ends.client.quick(3) == 3, "its late answer is swallowed"
    assert not link_of(ends.client).conversation.open_calls
    assert not caplog.records


def test_a_timeout_cancels_the_handler(ends: Ends) -> None:
    ends.client.nothing()
    with pytest.raises(CallTimeout):
        ends.client.hold(1, timeout=0.01)
    assert EventLoop.current().spin_until(lambda: bool(ends.service.ended), timeout=GUARD)
    assert ends.service.cancelled == [1]
    assert ends.client.quick(3) == 3


def test_a_cancelled_coroutine_that_awaits_a_call_gives_the_call_up(ends: Ends) -> None:
    async def caller() -> int:
        number: int = await ends.client.async_hold(5)
        return number

    task = run_async(caller())
    ends.client.nothing()
    task.cancel()
    assert EventLoop.current().spin_until(lambda: bool(ends.service.ended), timeout=GUARD)
    assert ends.service.cancelled == [5]
    assert task.is_cancelled


def test_cancelling_an_answered_call_changes_nothing(ends: Ends) -> None:
    call = ends.client.async_quick(1)
    assert call.await_(GUARD) == 1
    assert not call.cancel()
    assert ends.client.quick(2) == 2


def test_a_handler_that_cancels_itself_is_answered(ends: Ends) -> None:
    call = ends.client.async_hold(1)
    ends.client.nothing()
    ends.service.gates[1].cancel()
    with pytest.raises(RemoteError) as failed:
        call.await_(GUARD)
    assert failed.value.kind is ErrorKind.CANCELLED


def test_a_client_that_disconnects_cancels_its_requests(ends: Ends) -> None:
    call = ends.client.async_hold(1)
    ends.client.nothing()
    ends.client.shutdown()
    with pytest.raises(PeerDisconnected):
        call.await_(GUARD)
    assert EventLoop.current().spin_until(lambda: bool(ends.service.ended), timeout=GUARD)
    assert (ends.service.cancelled, ends.service.died) == ([1], 1)


def test_every_serial_has_one_answer_also_after_cancels(ends: Ends, work: Any) -> None:
    ends.client.nothing()
    calls = [ends.client.async_hold(number) for number in range(50)]
    for call in calls[::2]:
        call.cancel()
    ends.client.nothing()
    assert ends.service.begun == list(range(1, 50, 2)), "who gave up in time is not served at all"
    for number in range(1, 50, 2):
        ends.service.gates[number].resolve(number)
    assert [call.await_(GUARD) for call in calls[1::2]] == list(range(1, 50, 2))
    ends.client.nothing()
    assert not link_of(ends.client).conversation.open_calls


def test_bare_answers_of_a_message_keep_the_order_of_its_requests(loop: EventLoop, work: Any) -> None:
    """A LibIPC peer tells answers apart by message and order alone."""
    ends = Ends(work, trailers=False)
    slow = [ends.client.async_hold(number) for number in range(3)]
    assert ends.client.quick(9) == 9, "another message overtakes"
    settled: list[int] = []
    for call in slow:
        call.when_resolved(settled.append)
    ends.service.gates[2].resolve(102)
    ends.service.gates[1].resolve(101)
    ends.client.quick(0)
    assert settled == []
    ends.service.gates[0].resolve(100)
    assert slow[2].await_(GUARD) == 102
    assert settled == [100, 101, 102]
    ends.client.shutdown()
    ends.service.shutdown()


def test_a_peer_describes_its_interface(ends: Ends, work: Any) -> None:
    assert ends.client.describe(GUARD) == work.WorkServer.SCHEMA
    assert ends.service.describe(GUARD) == work.WorkClient.SCHEMA


def control(magic: int, id: int, *numbers: int) -> bytes:
    payload = struct.pack(f"={len(numbers)}I", *numbers)
    return struct.pack("=IIi", 8 + len(payload), magic, id) + payload


@pytest.fixture
def raw(loop: EventLoop, ends: Ends, work: Any) -> Iterator[tuple[socket.socket, Any]]:
    """A service whose client is a bare socket."""
    here, there = socket.socketpair()
    service = type(ends.service)(LocalSocket.adopt(there), 2)
    here.setblocking(False)
    yield here, service
    here.close()
    service.shutdown()


def test_a_tool_that_knows_no_endpoint_asks_for_all(loop: EventLoop, raw: Any, work: Any) -> None:
    tool, _service = raw
    tool.send(control(0, -2, 77))
    assert loop.pump()
    answer = tool.recv(65536)
    size, magic, id, serial, length = struct.unpack_from("=IIiII", answer)
    text = answer[20:].decode()
    assert (size + 4, magic, id, serial, length) == (len(answer), 0, -3, 77, len(text))
    assert "endpoint WorkServer" in text
    assert "endpoint WorkClient" in text


@pytest.mark.parametrize(
    "nonsense",
    [
        lambda magic: control(magic, -1),
        lambda magic: control(magic, -2, 1, 2),
        lambda magic: control(magic, -3, 5, 0),
        lambda magic: control(magic, -3),
        lambda magic: control(magic, -4, 1),
        lambda magic: control(magic + 1, -2, 1),
        lambda magic: control(0, -1, 1),
    ],
)
def test_control_frames_with_nonsense_are_violations(
    loop: EventLoop, raw: Any, work: Any, nonsense: Any
) -> None:
    tool, service = raw
    tool.send(nonsense(work.WorkServer.MAGIC))
    assert loop.spin_until(lambda: not service.is_open, timeout=GUARD)


def test_a_cancel_of_nothing_is_ignored(loop: EventLoop, raw: Any, work: Any) -> None:
    tool, service = raw
    message = work.WorkServer.Nothing
    for serial in range(100):
        tool.send(control(work.WorkServer.MAGIC, -1, serial))
    tool.send(
        struct.pack(
            "=IIiIII", 20, message.__ipc__.magic, message.__ipc__.id, 7, message.__ipc__.signature, TAG
        )
    )
    answers = bytearray()

    def is_answered() -> bool:
        try:
            answers.extend(tool.recv(100))
        except BlockingIOError:
            return False
        return True

    assert loop.spin_until(is_answered, timeout=GUARD)
    assert struct.unpack_from("=IIiIII", answers)[3] == 7
    assert service.is_open


def test_counters_are_equal_at_both_ends(ends: Ends, work: Any) -> None:
    ends.client.quick(1)
    ends.client.keep(File(os.open("/dev/null", os.O_RDONLY)), False)
    sent, received = ends.client.counters, ends.service.counters
    assert (sent.frames_sent, sent.frames_received) == (2, 2)
    assert (received.frames_received, received.frames_sent) == (2, 2)
    assert sent.bytes_sent == received.bytes_received > 0
    assert sent.bytes_received == received.bytes_sent > 0
    assert (sent.fds_sent, received.fds_received) == (1, 1)
    assert sent.queue_high_water > 0
    assert (sent.refused, sent.dropped_posts, sent.dropped_messages) == (0, 0, 0)
