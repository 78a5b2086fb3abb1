"""The end of a connection: once, from any callback, by its own thread alone, and everybody hears in order."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, Promise, Timer, deferred_invoke, run_async
from ipclib import HandlerError, MultiServer, PeerDisconnected, WrongThread
from ipclib.connection.connection import when_closed
from ipclib.connection.state import State
from tests.ipclib import clock_service
from tests.ipclib.pairs import Pair, link_of, raw_peer
from tests.ipclib.protocol.two_ends import bare


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


# From any callback, once


_WAYS = [
    "handler",
    "one-way handler",
    "timer",
    "deferred",
    "promise",
    "coroutine",
    "when_closed",
    "die",
    "nested handler",
]


@pytest.mark.parametrize("way", _WAYS)
def test_a_connection_may_be_closed_from_any_callback(loop: EventLoop, clock: Any, way: str) -> None:
    ends = Pair(clock)
    died: list[str] = []
    closed: list[str] = []
    ends.client.die = lambda: died.append("client")
    when_closed(ends.client, lambda: closed.append("client"))
    shutdown = ends.client.shutdown
    match way:
        case "handler":
            ends.client.ascend = lambda depth: shutdown() or 0
            ends.service.async_ascend(1).when_rejected(lambda error: None)
        case "one-way handler":
            ends.client.tick = lambda number: shutdown()
            ends.service.async_tick(1)
        case "timer":
            Timer.create_single_shot(0, shutdown).start()
        case "deferred":
            deferred_invoke(shutdown)
        case "promise":
            ends.client.async_add(1, 2).when_resolved(lambda total: shutdown())
        case "coroutine":

            async def wait_and_close() -> None:
                await ends.client.async_add(1, 2)
                shutdown()

            run_async(wait_and_close())
        case "when_closed":
            when_closed(ends.client, shutdown)
            deferred_invoke(shutdown)
        case "die":
            ends.client.die = lambda: (died.append("client"), shutdown())
            deferred_invoke(shutdown)
        case "nested handler":
            ends.client.ascend = lambda depth: shutdown() or 0
            ends.client.async_descend(1).when_rejected(lambda error: None)
    assert loop.spin_until(lambda: not ends.client.is_open and not ends.service.is_open, 30)
    for _ in range(3):
        ends.client.shutdown()
    assert (died, closed, ends.service.died) == (["client"], ["client"], 1)
    ends.close()


def test_a_call_that_fails_with_its_connection_may_close_it_again(loop: EventLoop, pair: Pair) -> None:
    calls = [pair.client.async_held(number) for number in range(3)]
    failed: list[str] = []

    def close_again(error: BaseException) -> None:
        failed.append(str(error))
        pair.client.shutdown()

    for call in calls:
        call.when_rejected(close_again)
    pair.client.shutdown()
    assert failed == ["ClockServer.held: the connection was shut down"] * 3


@pytest.mark.parametrize("waits", ["promise", "call", "error", "error of a call", "describe"])
def test_a_call_whose_answer_is_not_handled_yet_fails_with_its_connection(
    loop: EventLoop, pair: Pair, waits: str
) -> None:
    """The answer came in one read with a message whose handler closes the connection."""
    client, service = pair.client, pair.service

    def add(a: int, b: int) -> int:
        service.async_tick(1)
        if waits.startswith("error"):
            raise HandlerError("as asked")
        return a + b

    service.add = add
    client.tick = lambda number: client.shutdown()

    def describe() -> str:
        with service.cork():
            service.async_tick(1)
            return str(client.describe(5))

    ask: dict[str, Callable[[], object]] = {
        "promise": lambda: client.async_add(1, 2).await_(5),
        "call": lambda: client.add(1, 2, timeout=5),
        "error": lambda: client.async_add(1, 2).await_(5),
        "error of a call": lambda: client.add(1, 2, timeout=5),
        "describe": describe,
    }
    with pytest.raises(PeerDisconnected, match="shut down"):
        ask[waits]()


def test_a_cancelled_handler_may_close_the_connection_again(loop: EventLoop, pair: Pair) -> None:
    ended: list[str] = []

    async def held(value: int) -> int:
        try:
            await Promise()
        finally:
            pair.service.shutdown()
            ended.append("cancelled")
        return value

    pair.service.held = held
    pair.client.async_held(1).when_rejected(lambda error: None)
    pair.client.nothing()
    pair.service.shutdown()
    assert loop.spin_until(lambda: bool(ended), 30)
    assert (ended, pair.service.died) == (["cancelled"], 1)


def test_everybody_hears_of_the_end_in_order(loop: EventLoop, clock: Any) -> None:
    """Nothing is sent or received any more; handlers; calls; when_closed(), in order; die()."""
    ends = Pair(clock)
    heard: list[str] = []
    promise: Promise[int] = Promise()
    promise.on_cancel = lambda: heard.append("handler")

    def note(what: str) -> None:
        heard.append(what)
        assert not ends.service.is_open
        assert link_of(ends.service).state is State.CLOSED
        ends.service.async_tick(1)

    ends.service.held = lambda value: promise
    ends.service.die = lambda: note("die")
    ends.client.async_held(1).when_rejected(lambda error: None)
    ends.client.nothing()
    ends.service.async_ascend(1).when_rejected(lambda error: note("call"))
    when_closed(ends.service, lambda: note("first"))
    when_closed(ends.service, lambda: note("second"))
    ends.service.shutdown()
    assert heard == ["handler", "call", "first", "second", "die"]
    assert ends.service.counters.dropped_posts == 4
    ends.close()


def test_a_callback_that_raises_keeps_no_other_from_hearing(
    loop: EventLoop, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ends = Pair(clock)
    heard: list[str] = []

    def fail() -> None:
        raise LookupError

    when_closed(ends.client, fail)
    when_closed(ends.client, lambda: heard.append("second"))
    ends.client.die = fail
    ends.client.shutdown()
    assert heard == ["second"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    ends.close()


def test_the_next_of_several_callbacks_hears_of_what_an_earlier_one_closes(
    loop: EventLoop, clock: Any
) -> None:
    """Two connections that close each other: each is closed once."""
    one, other = Pair(clock), Pair(clock)
    heard: list[str] = []
    when_closed(one.client, other.client.shutdown)
    when_closed(other.client, one.client.shutdown)
    one.client.die = lambda: heard.append("one")
    other.client.die = lambda: heard.append("other")
    one.client.shutdown()
    assert heard == ["other", "one"]
    one.close()
    other.close()


# By its own thread alone


def _in_another_thread(act: Callable[[], object]) -> BaseException | None:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return caught[0] if caught else None


@pytest.mark.parametrize("way", ["shutdown", "link", "flush", "misbehaviour"])
def test_another_thread_cannot_close_a_connection(loop: EventLoop, pair: Pair, way: str) -> None:
    client = pair.client
    act: dict[str, Callable[[], object]] = {
        "shutdown": client.shutdown,
        "link": lambda: link_of(client).close("from elsewhere"),
        "flush": client.flush,
        "misbehaviour": lambda: client.did_misbehave("from elsewhere"),
    }
    held = client.async_held(1)
    error = _in_another_thread(act[way])
    assert isinstance(error, WrongThread)
    assert "deferred_invoke" in str(error)
    assert client.is_open
    assert link_of(client).state is State.OPEN
    assert client.add(1, 2) == 3
    client.async_release(1)
    assert held.await_(30) == 1


def test_another_thread_cannot_stop_the_search_for_a_service(
    loop: EventLoop, clock: Any, tmp_path: Path
) -> None:
    path = str(tmp_path / "clock")
    server = MultiServer(clock_service.handlers(clock), path)
    client = clock.ConnectionToServer.connect(path, reconnect=True)
    server.close()
    assert loop.spin_until(lambda: not client.is_open, 30)
    assert isinstance(_in_another_thread(client.shutdown), WrongThread)
    assert loop.snapshot().timers, "it is looked for still"
    client.shutdown()
    assert not loop.snapshot().timers


# States


def test_a_link_is_open_then_ended_then_closed(loop: EventLoop, clock: Any) -> None:
    """Between the stream's end and the handling of what came before it, the link has ended."""
    raw, service = raw_peer(clock)
    link = link_of(service)
    states = [link.state]
    service.log = lambda number, text: states.append(link.state)
    when_closed(service, lambda: states.append(link.state))
    raw.sendall(bare(clock.ClockServer.Log, struct.pack("=iI", 1, 0)))
    raw.shutdown(socket.SHUT_WR)
    link.exchange(5)
    link.exchange(5)
    states.append(link.state)
    assert service.is_open, "frames may still be sent"
    service.async_tick(1)
    link.serve_later()
    loop.pump()
    assert states == [State.OPEN, State.ENDED, State.ENDED, State.CLOSED]
    assert len(raw.recv(100)) == 28
    raw.close()


def test_a_link_that_is_closed_before_its_stream_ends_skips_that_state(loop: EventLoop, pair: Pair) -> None:
    link = link_of(pair.client)
    assert (link.state, link.is_open) == (State.OPEN, True)
    pair.client.shutdown()
    assert (link.state, link.is_open) == (State.CLOSED, False)
    link.end_input()
    assert link.state is State.CLOSED


def test_a_violation_ends_the_stream_before_the_link_is_closed(loop: EventLoop, clock: Any) -> None:
    raw, service = raw_peer(clock)
    link = link_of(service)
    raw.sendall(b"\xff" * 100)
    link.exchange(5)
    assert (link.state, service.died) == (State.ENDED, 0)
    link.serve_later()
    loop.pump()
    assert (link.state, service.died) == (State.CLOSED, 1)
    raw.close()


def test_the_states_are_in_the_order_in_which_a_link_goes_through_them() -> None:
    assert list(State) == [State.OPEN, State.ENDED, State.CLOSED]
