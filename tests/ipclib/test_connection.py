"""The driver, with both ends (or a raw socket for a peer) in one process."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clock_service
import pytest

from corelib import EventLoop, EventLoopClosed, LocalSocket, Promise, Timer
from ipclib import (
    CallTimeout,
    EncodeError,
    ErrorKind,
    File,
    Limits,
    MessageTooLarge,
    MultiServer,
    PeerDisconnected,
    RemoteError,
    Wait,
    WrongThread,
)


class Pair:
    """A client and its service, connected."""

    def __init__(self, clock: Any, limits: Limits | None = None, trailers: bool = True) -> None:
        here, there = LocalSocket.pair()
        self.client = clock.ConnectionToServer(here, limits=limits, trailers=trailers)
        self.service = clock_service.handlers(clock)(there, 1, limits=limits)

    def close(self) -> None:
        self.client.shutdown()
        self.service.shutdown()


@pytest.fixture
def pair(loop: EventLoop, clock: Any) -> Iterator[Pair]:
    pair = Pair(clock)
    yield pair
    pair.close()


def _raw_peer(clock: Any, limits: Limits | None = None) -> tuple[socket.socket, Any]:
    """A service whose client is a bare socket."""
    raw, there = socket.socketpair()
    return raw, clock_service.handlers(clock)(LocalSocket.adopt(there), 1, limits=limits)


def test_both_ends_in_one_process_call_each_other(pair: Pair) -> None:
    assert pair.client.add(20, 22) == 42
    pair.client.ascend = lambda depth: 0
    assert pair.service.ascend(3) == 0
    assert pair.client.descend(1) == 1


def test_what_goes_wrong_within_costs_the_connection_and_not_the_loop(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("broken")

    reports: list[tuple[str, str]] = []
    EventLoop.current().on_exception = lambda error, context: reports.append((str(error), context[:8]))
    monkeypatch.setattr("ipclib.protocol.protocol.Protocol.receive", broken)
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
        assert client._link._socket.fileno() == -1

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
    assert pair.service.counters.messages_received == 4


def test_a_post_outside_a_turn_leaves_at_once(loop: EventLoop, clock: Any) -> None:
    raw, service = _raw_peer(clock)
    service.async_tick(7)
    raw.setblocking(False)
    assert len(raw.recv(1000)) == 28
    service.shutdown()


def test_posts_of_one_turn_leave_together_at_its_end(loop: EventLoop, clock: Any) -> None:
    raw, service = _raw_peer(clock)
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
    raw, service = _raw_peer(clock)
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
    raw, service = _raw_peer(clock)
    raw.setblocking(False)
    with service.cork():
        service.async_tick(1)
        service.async_tick(2)
        with pytest.raises(BlockingIOError):
            raw.recv(1000)
    assert len(raw.recv(1000)) == 56
    service.shutdown()


def test_posts_before_a_call_leave_before_it(loop: EventLoop, pair: Pair) -> None:
    def post_and_call() -> None:
        for number in range(5):
            pair.client.async_log(number, "posted")
        loop.quit(sum(pair.client.logged()))

    loop.deferred_invoke(post_and_call)
    assert loop.exec() == 10


def test_messages_behind_a_blocking_handler_are_handled_inside_it(loop: EventLoop, pair: Pair) -> None:
    pair.client.ascend = lambda depth: 0
    with pair.client.cork():
        descent = pair.client.async_descend(1)
        for number in range(3):
            pair.client.async_log(number, "behind")
    assert descent.await_() == 1
    assert pair.service.numbers == [0, 1, 2]


def test_a_handler_that_returns_a_promise_lets_others_be_served(pair: Pair) -> None:
    held = pair.client.async_held(1)
    assert pair.client.add(1, 1) == 2
    assert not held.is_settled
    pair.client.async_release(1)
    assert held.await_() == 1


def test_a_promise_that_fails_fails_the_call(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    held = pair.client.async_held(1)
    pair.client.add(1, 1)
    pair.service.promises[1].reject(KeyError("lost"))
    with pytest.raises(RemoteError) as caught:
        held.await_()
    assert (caught.value.kind, caught.value.text) == (ErrorKind.HANDLER_RAISED, "KeyError")


def test_an_answer_that_does_not_fit_is_an_error_for_the_caller(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(type(pair.service), "add", lambda self, a, b: "many")
    with pytest.raises(RemoteError) as caught:
        pair.client.add(1, 2)
    assert caught.value.kind is ErrorKind.UNENCODABLE_ANSWER
    monkeypatch.setattr(type(pair.service), "nothing", lambda self: 5)
    with pytest.raises(RemoteError, match="no output"):
        pair.client.nothing()
    monkeypatch.setattr(type(pair.service), "divide", lambda self, a, b: (1, 2, 3))
    with pytest.raises(RemoteError, match="2 values are needed"):
        pair.client.divide(1, 2)


def test_a_response_object_is_an_answer(pair: Pair, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = clock.ClockServer.DivideResponse(7, 8)
    monkeypatch.setattr(type(pair.service), "divide", lambda self, a, b: answer)
    assert pair.client.divide(1, 2) == answer
    assert repr(answer) == "ClockServer.DivideResponse(quotient=7, remainder=8)"


def test_a_value_that_does_not_fit_sends_nothing(pair: Pair) -> None:
    for refused in (lambda: pair.client.add(1, "2"), lambda: pair.client.async_add(1, 1 << 31)):
        with pytest.raises(EncodeError, match=r"ClockServer\.add: b = "):
            refused()
    with pytest.raises(EncodeError):
        pair.client.async_log(1, None)
    assert pair.client.logged() == []


def test_too_large_a_message_sends_nothing(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, Limits(max_message_size=1000))
    with pytest.raises(MessageTooLarge, match="max_message_size"):
        pair.client.echo_bytes(bytes(1000))
    assert pair.client.echo_bytes(bytes(900)) == bytes(900)
    pair.close()


def test_nesting_is_bounded_and_nothing_is_sent_beyond(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, Limits(max_nesting=2))
    deepest: list[BaseException] = []

    def ascend(depth: int) -> int:
        try:
            return 1 + pair.client.descend(depth - 1)
        except RecursionError as error:
            deepest.append(error)
            return 0

    pair.client.ascend = ascend
    assert pair.client.descend(9) == 1
    assert pair.client._link.protocol.open_calls == {}
    assert "2 blocking calls wait on this thread already (max_nesting)" in str(deepest[0])
    assert len(deepest) == 1
    pair.close()


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


def test_die_is_called_once_and_what_came_before_is_handled_first(loop: EventLoop, pair: Pair) -> None:
    for number in range(3):
        pair.client.async_log(number, "last words")
    pair.client.shutdown()
    pair.client.shutdown()
    loop.spin_until(lambda: not pair.service.is_open, 5)
    pair.service.shutdown()
    assert (pair.service.numbers, pair.service.died) == ([0, 1, 2], 1)


def test_open_calls_fail_when_the_connection_closes(pair: Pair) -> None:
    held = pair.client.async_held(1)
    pair.client.shutdown()
    with pytest.raises(PeerDisconnected, match="held"):
        held.await_()
    with pytest.raises(PeerDisconnected):
        pair.client.async_held(1).await_()


@pytest.mark.parametrize("garbage", [b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", bytes(64)])
def test_garbage_closes_the_connection_and_says_so_once(
    loop: EventLoop, clock: Any, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    raw, service = _raw_peer(clock)
    raw.sendall(garbage)
    loop.spin_until(lambda: not service.is_open, 5)
    assert raw.recv(10) == b""
    assert len(caplog.records) == 1
    assert f"dropped pid {os.getpid()}" in caplog.text


def test_a_bare_libipc_peer_is_answered_bare(loop: EventLoop, clock: Any) -> None:
    raw, service = _raw_peer(clock)
    raw.sendall(struct.pack("=IIiii", 16, clock.ClockServer.MAGIC, 1, 2, 40))
    loop.pump()
    assert raw.recv(100) == struct.pack("=IIii", 12, clock.ClockServer.MAGIC, 2, 42)
    service.shutdown()


def test_a_bare_peer_whose_call_cannot_be_answered_is_cut_off(loop: EventLoop, clock: Any) -> None:
    raw, service = _raw_peer(clock)
    message = clock.ClockServer.NotHandled
    raw.sendall(struct.pack("=IIi", 8, message._magic, message._id))
    loop.spin_until(lambda: not service.is_open, 5)
    assert raw.recv(10) == b""


def test_a_connection_without_trailers_talks_to_one_with(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, trailers=False)
    first, second = pair.client.async_held(1), pair.client.async_held(2)
    assert pair.client.add(1, 2) == 3
    pair.client.async_release(2)
    pair.client.async_release(1)
    assert (first.await_(), second.await_()) == (1, 2)
    pair.close()


def test_descriptors_over_the_limit_close_the_connection_and_leave_none_open(
    loop: EventLoop, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    raw, service = _raw_peer(clock)
    null = os.open("/dev/null", os.O_RDONLY)
    socket.send_fds(raw, [struct.pack("=IIi", 8, clock.ClockServer.MAGIC, 1)], [null] * 65)
    os.close(null)
    loop.spin_until(lambda: not service.is_open, 5)
    raw.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_service_drops_a_client_that_reads_no_notifications(loop: EventLoop, clock: Any) -> None:
    raw, service = _raw_peer(clock, Limits(max_send_queue=10_000))
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
    raw, service = _raw_peer(clock, Limits(max_send_queue=1 << 20))
    echo = clock.ClockServer.EchoBytes
    payload = struct.pack("=I", 40_000) + bytes(40_000)
    request = struct.pack("=IIi", 8 + len(payload), echo._magic, echo._id) + payload
    raw.setblocking(False)
    sent = 0
    for _ in range(10_000):
        try:
            sent += raw.send(request[sent % len(request) :])
        except BlockingIOError:
            if service._link.is_throttled:
                break
            loop.pump()
    assert service._link.is_throttled
    assert service._link.outbox.size <= (1 << 20) + 2 * len(request)

    def read_slowly() -> None:
        with contextlib.suppress(BlockingIOError):
            raw.recv(1 << 20)

    reader = Timer.create_repeating(0, read_slowly)
    reader.start()
    assert loop.spin_until(lambda: not service._link.outbox and not service._link.is_throttled, 30)
    reader.stop()
    assert service.is_open
    raw.close()


def test_a_client_that_posts_faster_than_it_is_read_waits(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, Limits(max_send_queue=100_000))
    for number in range(20_000):
        pair.client.async_log(number, "x" * 20)
        assert pair.client._link.outbox.size <= 100_100
    assert pair.client.logged() == list(range(20_000))
    pair.close()


def test_flush_waits_until_all_has_left(loop: EventLoop, pair: Pair) -> None:
    pair.client.async_echo_bytes(bytes(10 << 20))
    assert pair.client._link.outbox
    assert pair.client.flush(30)
    assert not pair.client._link.outbox


def test_flush_and_counters_tell_that_the_peer_no_longer_reads(loop: EventLoop, clock: Any) -> None:
    raw, service = _raw_peer(clock)
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
    raw, service = _raw_peer(clock)
    clock_client = clock.ConnectionToServer(LocalSocket.adopt(raw))
    service._link._readable.set_enabled(False)
    clock_client.async_echo_bytes(bytes(1 << 20))
    assert not clock_client.flush(0.05)


def test_a_blocked_call_notices_that_the_peer_left(loop: EventLoop, pair: Pair) -> None:
    pair.service.shutdown()
    with pytest.raises(PeerDisconnected):
        pair.client.add(1, 2, wait=Wait.BLOCK)


def test_files_of_a_handler_that_raises_are_closed(loop: EventLoop, pair: Pair) -> None:
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    fd = os.memfd_create("x")
    with pytest.raises(RemoteError):
        pair.client.take_files([File(fd)], True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_multi_server_knows_its_clients(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    server = MultiServer(clock_service.handlers(clock), path)
    new: list[int] = []
    server.on_new_client = lambda client: new.append(client.client_id)
    clients = [clock.ConnectionToServer.connect(path) for _ in range(3)]
    assert [client.add(1, 1) for client in clients] == [2, 2, 2]
    assert new == [1, 2, 3] == [client.client_id for client in server.clients]
    clients[1].shutdown()
    loop.spin_until(lambda: len(server.clients) == 2, 5)
    assert {client.peer.pid for client in server.clients} == {os.getpid()}
    server.close()
    assert server.clients == []
    assert not os.path.exists(path)


def test_clients_over_the_limit_are_refused(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    server = MultiServer(clock_service.handlers(clock), path, limits=Limits(max_connections=1))
    first = clock.ConnectionToServer.connect(path)
    assert first.add(1, 1) == 2
    with pytest.raises(PeerDisconnected):
        clock.ConnectionToServer.connect(path).add(1, 1)
    assert first.add(1, 1) == 2
    server.close()


def test_clients_of_other_users_are_refused(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    server = MultiServer(clock_service.handlers(clock), path, allowed_uids=[os.geteuid() + 1])
    with pytest.raises(PeerDisconnected):
        clock.ConnectionToServer.connect(path).add(1, 1)
    server.close()


def test_draining_lets_what_runs_finish(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    server = MultiServer(clock_service.handlers(clock), path)
    client = clock.ConnectionToServer.connect(path)
    answer: Promise[int] = client.async_slow(50, 0)
    assert client.add(1, 1) == 2
    server.close(drain=10)
    assert answer.await_() == 50


def test_a_timer_started_by_a_handler_goes_on(loop: EventLoop, pair: Pair) -> None:
    fired: list[int] = []
    Timer.create_single_shot(1, lambda: fired.append(1)).start()
    assert pair.client.slow(20, 0) == 20
    assert fired == [1]


def test_a_request_whose_caller_gave_up_is_not_served(loop: EventLoop, pair: Pair) -> None:
    assert pair.client.add(1, 1) == 2
    pair.service._link._readable.set_enabled(False)
    with pytest.raises(CallTimeout):
        pair.client.held(7, timeout=0.01)
    pair.service._link._readable.set_enabled(True)
    assert pair.client.add(2, 2) == 4
    assert pair.service.promises == {}
    assert pair.client._link.protocol.open_calls == {}


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
