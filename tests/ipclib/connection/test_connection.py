"""What a program sees of a connection: calls, posts, when they leave, and the figures that describe them."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import EventLoop, LocalSocket, sleep_ms
from ipclib import (
    CallTimeout,
    EncodeError,
    Limits,
    MessageTooLarge,
    ProtocolViolation,
    Wait,
    WrongThread,
)
from ipclib.connection.connection import receive_early
from tests.ipclib import clock_service
from tests.ipclib.pairs import Pair, link_of, raw_peer
from tests.ipclib.protocol.two_ends import bare


def test_both_ends_in_one_process_call_each_other(pair: Pair) -> None:
    assert pair.client.add(20, 22) == 42
    pair.client.ascend = lambda depth: 0
    assert pair.service.ascend(3) == 0
    assert pair.client.descend(1) == 1


def test_a_connection_belongs_to_its_thread(pair: Pair) -> None:
    caught: list[BaseException] = []

    def use() -> None:
        for use in (
            lambda: pair.client.add(1, 2),
            lambda: pair.client.async_log(1, ""),
            lambda: pair.client.async_add(1, 2),
        ):
            try:
                use()
            except WrongThread as error:
                caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(caught) == 3


def test_a_post_outside_a_turn_leaves_at_once(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    service.async_tick(7)
    raw.setblocking(False)
    assert len(raw.recv(1000)) == 28
    service.shutdown()


def test_posts_of_one_turn_leave_together_at_its_end(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    raw.setblocking(False)
    seen: list[object] = []

    def post() -> None:
        for number in range(10):
            service.async_tick(number)
        try:
            seen.append(raw.recv(1000))
        except BlockingIOError as error:
            seen.append(type(error))

    loop.deferred_invoke(post)
    loop.pump()
    assert seen == [BlockingIOError]
    assert len(raw.recv(1000)) == 280
    service.shutdown()


def test_posts_leave_before_a_call_that_blocks_on_another_connection(
    loop: EventLoop, clock: Any, pair: Pair
) -> None:
    raw, service = raw_peer(clock)
    raw.setblocking(False)
    seen: list[int] = []

    def post_and_block() -> None:
        service.async_tick(1)
        with pytest.raises(CallTimeout):
            pair.client.add(1, 1, timeout=0, wait=Wait.BLOCK)
        with pytest.raises(CallTimeout):
            pair.client.add(1, 1, timeout=0.001, wait=Wait.BLOCK)
        seen.append(len(raw.recv(1000)))

    loop.deferred_invoke(post_and_block)
    loop.pump()
    assert seen == [28]
    service.shutdown()


def test_a_cork_holds_posts_together(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    raw.setblocking(False)
    with service.cork():
        service.async_tick(1)
        service.async_tick(2)
        with pytest.raises(BlockingIOError):
            raw.recv(1000)
    assert len(raw.recv(1000)) == 56
    service.shutdown()


@pytest.mark.parametrize("wait", ["call", "promise", "block", "describe", "flush", "coroutine", "asks back"])
def test_whatever_waits_in_a_cork_lets_go_first(loop: EventLoop, pair: Pair, wait: str) -> None:
    client = pair.client

    async def answer(depth: int) -> int:
        await sleep_ms(1)
        return depth

    async def in_a_coroutine() -> int:
        with client.cork():
            answered: int = await client.async_add(1, 2)
            return answered

    client.ascend = answer
    if wait == "coroutine":
        assert loop.run_until_complete(in_a_coroutine()) == 3
        return
    with client.cork():
        client.async_log(7, "held")
        if wait == "call":
            assert client.add(1, 2, timeout=5) == 3
        elif wait == "promise":
            assert client.async_add(1, 2).await_(5) == 3
        elif wait == "block":
            with pytest.raises(CallTimeout):  # The service is of this thread, and not served meanwhile.
                pair.service.ascend(1, timeout=0.01, wait=Wait.BLOCK)
            loop.pump()
        elif wait == "describe":
            assert "ClockServer" in client.describe(5)
        elif wait == "flush":
            assert client.flush(5)
        else:
            assert client.descend(1, timeout=5) == 1
        assert pair.service.numbers == [7] or loop.spin_until(lambda: pair.service.numbers == [7], 5)


def test_posts_before_a_call_leave_before_it(loop: EventLoop, pair: Pair) -> None:
    def post_and_call() -> None:
        for number in range(5):
            pair.client.async_log(number, "posted")
        loop.quit(sum(pair.client.logged()))

    loop.deferred_invoke(post_and_call)
    assert loop.exec() == 10


def test_a_message_that_is_too_large_sends_nothing(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, Limits(max_message_size=1000))
    with pytest.raises(MessageTooLarge, match="max_message_size"):
        pair.client.echo_bytes(bytes(1000))
    assert pair.client.echo_bytes(bytes(900)) == bytes(900)
    pair.close()


def test_a_value_that_does_not_fit_sends_nothing(pair: Pair) -> None:
    for refused in (lambda: pair.client.add(1, "2"), lambda: pair.client.async_add(1, 1 << 31)):
        with pytest.raises(EncodeError, match=r"ClockServer\.add: b = "):
            refused()
    with pytest.raises(EncodeError):
        pair.client.async_log(1, None)
    assert pair.client.logged() == []


def test_a_connection_without_trailers_talks_to_one_with(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, trailers=False)
    first, second = pair.client.async_held(1), pair.client.async_held(2)
    assert pair.client.add(1, 2) == 3
    pair.client.async_release(2)
    pair.client.async_release(1)
    assert (first.await_(), second.await_()) == (1, 2)
    pair.close()


def test_flush_waits_until_all_has_left(loop: EventLoop, pair: Pair) -> None:
    pair.client.async_echo_bytes(bytes(10 << 20))
    assert link_of(pair.client).sender.size
    assert pair.client.flush(30)
    assert not link_of(pair.client).sender.size


def test_flush_and_counters_show_that_the_peer_no_longer_reads(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    raw.shutdown(socket.SHUT_RD)
    service.async_tick(1)
    assert service.is_open
    assert not service.flush(5)
    service.async_tick(2)
    service.shutdown()
    service.async_tick(3)
    assert service.counters.dropped_posts == 2
    raw.close()


def test_flush_gives_up_in_time(loop: EventLoop, clock: Any) -> None:
    here, there = LocalSocket.pair()
    client = clock.ConnectionToServer(here)
    client.async_echo_bytes(bytes(1 << 20))
    assert not client.flush(0.05)
    client.shutdown()
    there.close()


def test_a_client_that_posts_faster_than_it_is_read_waits(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, Limits(max_send_queue=100_000))
    for number in range(20_000):
        pair.client.async_log(number, "x" * 20)
        assert link_of(pair.client).sender.size <= 100_100
    assert pair.client.logged() == list(range(20_000))
    pair.close()


def test_what_arrives_during_a_blocking_wait_is_bounded_by_bytes(loop: EventLoop, clock: Any) -> None:
    limits = Limits(max_message_size=40_000, max_send_queue=60_000)
    raw, service = raw_peer(clock, limits)
    raw.setblocking(False)
    payload = struct.pack("=iI", 1, 10_000) + b"x" * 10_000
    for _ in range(12):
        raw.sendall(bare(clock.ClockServer.Log, payload))
    for _ in range(2):  # The second wait counts what the first one left.
        with pytest.raises(ProtocolViolation, match="bytes of other messages came before the answer"):
            service.ascend(1, timeout=5, wait=Wait.BLOCK)
    assert service.is_open
    assert loop.spin_until(lambda: len(service.numbers) == 12, 5)
    with pytest.raises(CallTimeout):
        service.ascend(1, timeout=0.01, wait=Wait.BLOCK)
    service.shutdown()
    raw.close()


_BIG = """
endpoint BigServer
{
    nothing() => ()
}

endpoint BigClient
{
    big(ByteString data) =|
}
"""


def test_one_message_may_be_larger_than_the_queue_of_a_slow_client(loop: EventLoop, tmp_path: Path) -> None:
    (tmp_path / "Big.ipc").write_text(_BIG)
    big = ipcc.load(tmp_path / "Big.ipc")
    received: list[int] = []

    class Client(big.ConnectionToServer):  # type: ignore[misc]
        def big(self, data: bytes) -> None:
            received.append(len(data))

    here, there = LocalSocket.pair()
    client = Client(here)
    service = big.ConnectionFromClient(there, limits=Limits(max_send_queue=10_000))
    for size in (100, 4 << 20, 100):  # The client reads none of them meanwhile.
        service.async_big(bytes(size))
        assert service.is_open
    assert loop.spin_until(lambda: received == [100, 4 << 20, 100], 5)
    service.async_big(bytes(4 << 20))
    for _ in range(2):
        assert service.is_open
        service.async_big(bytes(5000))
    assert not service.is_open, "more than the queue and one message"
    client.shutdown()


def test_private_names_are_free_for_subclasses(loop: EventLoop, clock: Any) -> None:
    taken = ("_socket", "_protocol", "_loop", "_limits", "_peer", "_outbox", "_thread", "_owner", "_timer")

    class Client(clock.ConnectionToServer):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            for name in taken:
                setattr(self, name, None)

        def _call(self) -> None: ...

        _send = _read = _flush = _close = _dispatch = _serve = _answer = _write = _post = _call

    here, there = LocalSocket.pair()
    client, service = Client(here), clock_service.handlers(clock)(there, 1)
    assert client.add(1, 2) == 3
    client.shutdown()
    service.shutdown()


def test_bytes_that_were_read_before_the_connection_was_made_are_received_first(
    loop: EventLoop, clock: Any
) -> None:
    """Cut in the middle of a frame; the rest is still in the socket."""
    raw, service = raw_peer(clock)
    service.async_tick(1)
    service.async_tick(2)
    early = raw.recv(40)
    client = clock.ConnectionToServer(LocalSocket.adopt(raw))
    ticks: list[int] = []
    client.tick = ticks.append
    receive_early(client, early[:10], ())
    receive_early(client, early[10:], ())
    assert loop.spin_until(lambda: len(ticks) == 2, timeout=10)
    assert ticks == [1, 2]
    assert client.add(20, 22) == 42
    client.shutdown()
    service.shutdown()
