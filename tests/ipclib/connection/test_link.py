"""One socket's life: reading it, peers that break rules or do not read, and a forked child."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from corelib import EventLoop, EventLoopClosed, Timer
from ipclib import (
    Limits,
)
from ipclib.protocol.receiver import Receiver
from tests.ipclib.pairs import Pair, link_of, raw_peer


def test_an_error_within_the_runtime_costs_the_connection_and_not_the_loop(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = Receiver.receive

    def broken(self: Receiver, data: bytes, fds: Sequence[int] = ()) -> None:
        if data:
            raise RuntimeError("broken")
        receive(self, data, fds)

    reports: list[tuple[str, str]] = []
    EventLoop.current().on_exception = lambda error, context: reports.append((str(error), context[:8]))
    monkeypatch.setattr(Receiver, "receive", broken)
    pair.client.async_log(1, "one")
    assert EventLoop.current().spin_until(lambda: not pair.client.is_open, 10.0)
    assert not pair.service.is_open
    assert reports == [("broken", "notifier")]


def test_answers_that_wait_for_a_batch_leave_before_a_handler_waits(pair: Pair) -> None:
    """A client that has an answer may be whom the handler of its next request waits for."""
    first = pair.client.async_add(1, 2)
    second = pair.client.async_descend(1)
    seen: list[bool] = []

    def ascend(_depth: int) -> int:
        seen.append(first.is_resolved)
        return 0

    pair.client.ascend = ascend
    assert second.await_() == 1
    assert seen == [True]


def test_a_forked_child_leaves_its_parent_s_connection_alone(pair: Pair) -> None:
    """There it is closed: nothing reaches the peer, to whom the parent's end is the end."""
    client = pair.client

    def child() -> None:
        for attempt in (lambda: client.add(1, 2), client.describe):
            with pytest.raises(EventLoopClosed, match="belongs to the parent of this forked process"):
                attempt()
        assert client.async_add(1, 2).is_rejected
        client.async_log(1, "never sent")
        client.flush(0.0)
        client.shutdown()
        assert pair.here.fileno() == -1

    assert client.add(1, 2) == 3
    with client.cork():
        client.async_log(1, "posted by the parent")
        pid = os.fork()
        if not pid:
            code = 1
            try:
                child()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert client.add(20, 22) == 42
    assert len(client.logged()) == 1
    assert pair.service.counters.frames_received == 4


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", bytes(64)])
def test_garbage_closes_the_connection_and_says_so_once(
    loop: EventLoop, clock: Any, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    raw, service = raw_peer(clock)
    raw.sendall(garbage)
    loop.spin_until(lambda: not service.is_open, 5)
    assert raw.recv(10) == b""
    assert len(caplog.records) == 1
    assert f"dropped pid {os.getpid()}" in caplog.text


def test_a_bare_libipc_peer_is_answered_bare(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    raw.sendall(struct.pack("=IIiii", 16, clock.ClockServer.MAGIC, 1, 2, 40))
    loop.pump()
    assert raw.recv(100) == struct.pack("=IIii", 12, clock.ClockServer.MAGIC, 2, 42)
    service.shutdown()


def test_a_bare_peer_whose_call_cannot_be_answered_is_cut_off(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    message = clock.ClockServer.NotHandled
    raw.sendall(struct.pack("=IIi", 8, message.__ipc__.magic, message.__ipc__.id))
    loop.spin_until(lambda: not service.is_open, 5)
    assert raw.recv(10) == b""


def test_descriptors_over_the_limit_close_the_connection_and_leave_none_open(
    loop: EventLoop, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    raw, service = raw_peer(clock)
    null = os.open("/dev/null", os.O_RDONLY)
    socket.send_fds(raw, [struct.pack("=IIi", 8, clock.ClockServer.MAGIC, 1)], [null] * 65)
    os.close(null)
    loop.spin_until(lambda: not service.is_open, 5)
    raw.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_service_drops_a_client_that_reads_no_notifications(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock, Limits(max_send_queue=10_000))
    for number in range(100_000):
        service.async_tick(number)
        if not service.is_open:
            break
    assert not service.is_open
    assert number < 50_000
    raw.close()


def test_a_service_serves_no_further_request_of_a_client_that_reads_no_answers(
    loop: EventLoop, clock: Any
) -> None:
    raw, service = raw_peer(clock, Limits(max_send_queue=1 << 20))
    echo = clock.ClockServer.EchoBytes
    payload = struct.pack("=I", 40_000) + bytes(40_000)
    request = struct.pack("=IIi", 8 + len(payload), echo.__ipc__.magic, echo.__ipc__.id) + payload
    raw.setblocking(False)
    sent = 0
    for _ in range(10_000):
        try:
            sent += raw.send(request[sent % len(request) :])
        except BlockingIOError:
            if link_of(service).is_throttled:
                break
            loop.pump()
    assert link_of(service).is_throttled
    assert link_of(service).sender.size <= (1 << 20) + 2 * len(request)

    def read_slowly() -> None:
        with contextlib.suppress(BlockingIOError):
            raw.recv(1 << 20)

    reader = Timer.create_repeating(0, read_slowly)
    reader.start()
    assert loop.spin_until(lambda: not link_of(service).sender.size and not link_of(service).is_throttled, 30)
    reader.stop()
    assert service.is_open
    raw.close()


def test_messages_after_a_blocking_handler_s_are_handled_inside_it(loop: EventLoop, pair: Pair) -> None:
    pair.client.ascend = lambda depth: 0
    with pair.client.cork():
        descent = pair.client.async_descend(1)
        for number in range(3):
            pair.client.async_log(number, "behind")
    assert descent.await_() == 1
    assert pair.service.numbers == [0, 1, 2]
