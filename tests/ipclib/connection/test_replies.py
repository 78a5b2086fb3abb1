"""Each request has exactly one answer, whatever its handler returns, raises or does."""

from __future__ import annotations

import contextlib
import gc
import os
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from corelib import EventLoop, Promise, WaitMode, deferred_invoke, sleep_ms
from ipclib import ErrorKind, File, HandlerError, RemoteError
from ipclib.connection.connection import is_busy
from ipclib.connection.serving import Reply
from ipclib.protocol import wire
from tests.ipclib.pairs import Pair, link_of, raw_peer
from tests.ipclib.protocol.two_ends import bare, trailed


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


def test_files_of_a_handler_that_raises_are_closed(loop: EventLoop, pair: Pair) -> None:
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    fd = os.memfd_create("x")
    with pytest.raises(RemoteError):
        pair.client.take_files([File(fd)], True)
    assert len(os.listdir("/proc/self/fd")) == before


# Exactly one answer


class Asker:
    """A bare socket that asks a service, and counts what it answers to each serial."""

    def __init__(self, loop: EventLoop, clock: Any, *, trailers: bool = True) -> None:
        self._loop = loop
        self._clock = clock
        self._trailers = trailers
        self._received = b""
        self.socket, self.service = raw_peer(clock)
        self.socket.setblocking(False)

    def handle(self, name: str, handler: Callable[..., Any]) -> None:
        setattr(self.service, name, handler)

    def ask(self, message: Any, payload: bytes = b"", serial: int = 1) -> None:
        self.socket.send(trailed(message, payload, serial) if self._trailers else bare(message, payload))

    def cancel(self, serial: int) -> None:
        self.socket.send(wire.pack_cancel(self._clock.ClockServer.MAGIC, serial))

    def answers(self) -> dict[int, list[tuple[str, str]]]:
        """By serial, each answer: "result", or the kind of error and its text."""
        for _ in range(20):
            self._loop.pump(WaitMode.POLL_FOR_EVENTS)
            with contextlib.suppress(BlockingIOError):
                self._received += self.socket.recv(1 << 20)
        found: dict[int, list[tuple[str, str]]] = defaultdict(list)
        at = 0
        while at < len(self._received):
            size, key = wire.HEADER.unpack_from(self._received, at)
            end = at + 4 + size
            if wire.magic_and_id(key)[1] == wire.FAILURE_ID:
                serial, kind, text = wire.parse_failure(self._received, at, end)
                found[serial].append((kind.name, text))
            else:
                serial = wire.TRAILER.unpack_from(self._received, end - wire.TRAILER.size)[0]
                found[serial].append(("result", ""))
            at = end
        return dict(found)

    def close(self) -> None:
        self.service.shutdown()
        self.socket.close()


@pytest.fixture
def asker(loop: EventLoop, clock: Any) -> Iterator[Asker]:
    asker = Asker(loop, clock)
    yield asker
    asker.close()


def _raise(error: BaseException) -> Any:
    raise error


async def _coroutine(act: Callable[[], Any]) -> Any:
    await sleep_ms(0)
    return act()


_OUTCOMES: list[tuple[Callable[[], Any], tuple[str, str]]] = [
    (lambda: None, ("result", "")),
    (lambda: 5, ("UNENCODABLE_ANSWER", "no output")),
    (lambda: _raise(ZeroDivisionError("secret")), ("HANDLER_RAISED", "ZeroDivisionError")),
    (lambda: _raise(HandlerError("on purpose")), ("HANDLER_RAISED", "on purpose")),
    (lambda: _raise(RecursionError()), ("HANDLER_RAISED", "RecursionError")),
]


@pytest.mark.parametrize(("outcome", "expected"), _OUTCOMES, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("way", ["at once", "promise", "settled promise", "coroutine"])
def test_every_outcome_is_one_answer(
    asker: Asker, clock: Any, outcome: Callable[[], Any], expected: tuple[str, str], way: str
) -> None:
    def settle(promise: Promise[Any]) -> None:
        try:
            promise.resolve(outcome())
        except Exception as error:
            promise.reject(error)

    def handle() -> Any:
        if way == "at once":
            return outcome()
        if way == "coroutine":
            return _coroutine(outcome)
        promise: Promise[Any] = Promise()
        if way == "promise":
            deferred_invoke(partial(settle, promise))
        else:
            settle(promise)
        return promise

    asker.handle("nothing", handle)
    asker.ask(clock.ClockServer.Nothing)
    ((kind, text),) = asker.answers()[1]
    assert kind == expected[0]
    assert expected[1] in text
    asker.ask(clock.ClockServer.Add, struct.pack("=ii", 1, 2), serial=2)
    assert asker.answers()[2] == [("result", "")], "the connection goes on"
    assert not is_busy(asker.service)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(SystemExit(3), "HANDLER_RAISED"), (KeyboardInterrupt(), "HANDLER_RAISED")],
    ids=["SystemExit", "KeyboardInterrupt"],
)
def test_an_exception_that_ends_the_program_is_answered_first(
    asker: Asker, clock: Any, error: BaseException, kind: str
) -> None:
    asker.handle("nothing", lambda: _raise(error))
    asker.ask(clock.ClockServer.Nothing)
    with pytest.raises(type(error)):
        asker.answers()
    ((answered, _text),) = asker.answers()[1]
    assert answered == kind


def test_the_files_of_a_request_are_closed_when_its_handler_ends_the_program(
    loop: EventLoop, pair: Pair
) -> None:
    with File(os.open("/dev/null", os.O_RDONLY)) as kept:
        arrived: list[File] = []

        def take_files(files: list[File], fail: bool) -> Any:
            arrived.extend(files)
            raise SystemExit

        pair.service.take_files = take_files
        answer = pair.client.async_take_files([kept.clone()], False)
        with pytest.raises(SystemExit):
            loop.spin_until(lambda: answer.is_settled, 5)
        with pytest.raises(RemoteError, match="SystemExit"):
            answer.await_(5)
        assert [repr(file) for file in arrived] == ["File(closed)"]


def test_a_promise_that_is_dropped_is_answered_with_an_error_at_once(asker: Asker, clock: Any) -> None:
    asker.handle("nothing", lambda: Promise())
    asker.ask(clock.ClockServer.Nothing)
    assert asker.answers() == {
        1: [("HANDLER_RAISED", "the handler's promise was dropped before it was settled")]
    }
    assert not is_busy(asker.service)


def test_a_promise_that_is_dropped_later_is_answered_when_it_is(asker: Asker, clock: Any) -> None:
    kept: list[Promise[None]] = [Promise()]
    asker.handle("nothing", lambda: kept[0])
    asker.ask(clock.ClockServer.Nothing)
    assert asker.answers() == {}
    assert is_busy(asker.service)
    kept.clear()
    assert [kind for kind, _text in asker.answers()[1]] == ["HANDLER_RAISED"]


def test_a_promise_that_another_thread_s_collector_drops_is_answered_by_the_loop(
    asker: Asker, clock: Any
) -> None:
    kept: list[Promise[None]] = [Promise()]
    asker.handle("nothing", lambda: kept[0])
    asker.ask(clock.ClockServer.Nothing)
    assert asker.answers() == {}
    thread = threading.Thread(target=kept.clear)
    thread.start()
    thread.join()
    assert [kind for kind, _text in asker.answers()[1]] == ["HANDLER_RAISED"]


def test_a_cancelled_request_whose_promise_is_then_dropped_is_answered_once(asker: Asker, clock: Any) -> None:
    kept: list[Promise[None]] = [Promise()]
    asker.handle("nothing", lambda: kept[0])
    asker.ask(clock.ClockServer.Nothing)
    asker.answers()
    asker.cancel(1)
    asker.cancel(1)
    assert [kind for kind, _text in asker.answers()[1]] == ["CANCELLED"]
    assert kept[0].is_cancelled, "nobody else was interested"
    kept.clear()
    assert len(asker.answers()[1]) == 1


def test_a_promise_of_two_callers_is_not_cancelled_when_one_gives_up(asker: Asker, clock: Any) -> None:
    shared: Promise[None] = Promise()
    asker.handle("nothing", lambda: shared)
    asker.ask(clock.ClockServer.Nothing, serial=1)
    asker.ask(clock.ClockServer.Nothing, serial=2)
    assert asker.answers() == {}
    asker.cancel(1)
    assert asker.answers() == {1: [("CANCELLED", "the handler was cancelled")]}
    assert not shared.is_settled
    shared.resolve(None)
    assert asker.answers()[2] == [("result", "")]
    assert len(asker.answers()[1]) == 1


def test_a_promise_of_two_callers_is_cancelled_when_both_give_up(asker: Asker, clock: Any) -> None:
    shared: Promise[None] = Promise()
    asker.handle("nothing", lambda: shared)
    for serial in (1, 2):
        asker.ask(clock.ClockServer.Nothing, serial=serial)
    asker.answers()
    asker.cancel(1)
    asker.cancel(2)
    assert {serial: len(answers) for serial, answers in asker.answers().items()} == {1: 1, 2: 1}
    assert shared.is_cancelled


def test_a_promise_that_the_program_awaits_too_is_not_cancelled_by_a_caller(asker: Asker, clock: Any) -> None:
    shared: Promise[None] = Promise()
    seen: list[None] = []
    shared.when_resolved(seen.append)
    asker.handle("nothing", lambda: shared)
    asker.ask(clock.ClockServer.Nothing)
    asker.answers()
    asker.cancel(1)
    asker.answers()
    shared.resolve(None)
    asker.answers()
    assert seen == [None]


def test_a_request_that_was_cancelled_before_its_turn_is_answered_and_not_served(
    asker: Asker, clock: Any
) -> None:
    served: list[int] = []
    asker.handle("nothing", lambda: served.append(1))
    nothing = clock.ClockServer.Nothing
    asker.socket.send(
        trailed(nothing, b"", 1) + trailed(nothing, b"", 2) + wire.pack_cancel(clock.ClockServer.MAGIC, 2)
    )
    answers = asker.answers()
    assert (answers[1], answers[2]) == ([("result", "")], [("CANCELLED", "the caller no longer waits")])
    assert served == [1]


def test_a_handler_that_closes_its_connection_answers_nothing(asker: Asker, clock: Any) -> None:
    asker.handle("nothing", asker.service.shutdown)
    asker.ask(clock.ClockServer.Nothing)
    assert asker.answers() == {}
    assert asker.service.died == 1


def test_a_promise_that_is_settled_after_the_connection_has_closed_answers_nothing(
    asker: Asker, clock: Any
) -> None:
    promise: Promise[None] = Promise()
    promise.when_resolved(lambda value: None)  # Another interest, so that closing does not cancel it.
    asker.handle("nothing", lambda: promise)
    asker.ask(clock.ClockServer.Nothing)
    asker.answers()
    asker.service.shutdown()
    promise.resolve(None)
    assert asker.answers() == {}


def test_a_deferred_result_that_cannot_be_encoded_closes_the_request_s_files(
    loop: EventLoop, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    arrived: list[File] = []

    def take_files(files: list[File], fail: bool) -> Promise[Any]:
        arrived.extend(files)
        promise: Promise[Any] = Promise()
        deferred_invoke(lambda: promise.resolve("no list of contents"))
        return promise

    pair.service.take_files = take_files
    with pytest.raises(RemoteError) as caught:
        pair.client.take_files([File(os.open("/dev/null", os.O_RDONLY))], False)
    assert caught.value.kind is ErrorKind.UNENCODABLE_ANSWER
    assert [repr(file) for file in arrived] == ["File(closed)"]
    assert "the answer cannot be sent" in caplog.text


@pytest.mark.parametrize("way", ["dropped", "raised", "unencodable"])
def test_a_bare_peer_is_cut_off_when_its_answer_is_an_error(
    loop: EventLoop, clock: Any, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    asker = Asker(loop, clock, trailers=False)
    outcome: dict[str, Callable[[], Any]] = {
        "dropped": lambda: Promise(),
        "raised": lambda: _raise(HandlerError("as asked")),
        "unencodable": lambda: Promise.resolved(5),
    }
    asker.handle("nothing", outcome[way])
    asker.ask(clock.ClockServer.Nothing)
    assert asker.answers() == {}
    assert not asker.service.is_open
    assert "a bare peer knows no error frames" in caplog.text
    asker.close()


def test_a_reply_is_given_once(asker: Asker, clock: Any) -> None:
    """Whatever is called on it afterwards has no effect."""
    reply = Reply(link_of(asker.service), asker.service, clock.ClockServer.Nothing.__ipc__, 7, ())
    reply.result(None)
    reply.result(None)
    reply.refuse(ErrorKind.REFUSED, "too late")
    reply.raised(ZeroDivisionError())
    reply.abandon()
    assert asker.answers() == {7: [("result", "")]}
    abandoned = Reply(link_of(asker.service), asker.service, clock.ClockServer.Nothing.__ipc__, 8, ())
    abandoned.abandon()
    abandoned.result(None)
    abandoned.raised(ZeroDivisionError())
    assert list(asker.answers()) == [7]


@pytest.mark.parametrize("trailers", [True, False])
@pytest.mark.parametrize("raises", [True, False])
def test_a_handler_may_close_its_connection_and_then_end_in_any_way(
    loop: EventLoop, clock: Any, trailers: bool, raises: bool
) -> None:
    """Nobody waits for the answer any more: it is neither sent nor an error of the runtime."""
    asker = Asker(loop, clock, trailers=trailers)
    reports: list[BaseException] = []
    loop.on_exception = lambda error, _context: reports.append(error)

    def close() -> None:
        asker.service.shutdown()
        if raises:
            raise HandlerError("after the end")

    asker.handle("nothing", close)
    asker.ask(clock.ClockServer.Nothing)
    assert asker.answers() == {}
    assert not asker.service.is_open
    assert reports == []
    asker.close()
