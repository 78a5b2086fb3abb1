"""Whatever user code raises, each call is answered once and the service goes on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest

from corelib import Cancelled, EventLoop, Promise, sleep_ms
from ipclib import CallTimeout, ErrorKind, HandlerError, Limits, RemoteError
from ipclib.connection.connection import is_busy
from ipclib.protocol import wire
from ipclib.protocol.events import CallFailed, CancelsDue
from ipclib.values import codecs, structures
from tests.ipclib.conftest import REPOSITORY
from tests.ipclib.pairs import Pair, link_of, raw_peer
from tests.ipclib.protocol.two_ends import Ends, bare, joined, trailed
from tests.ipclib.test_showing import Spoilt

GUARD = 20.0


class Own(BaseException):
    """Neither an Exception nor anything that Python or a loop knows."""


@attrs.define
class Picky:
    """A type of an interface that refuses every value in its own way."""

    number: int = attrs.field()

    @number.validator
    def _check(self, _attribute: object, _value: int) -> None:
        raise Own


class WithoutText(HandlerError):
    """A HandlerError that never calls its base, and whose text raises."""

    def __init__(self) -> None:
        pass

    @property
    def text(self) -> str:  # type: ignore[override]
        raise Own


_NO_EXCEPTIONS: list[Callable[[], BaseException]] = [
    lambda: Cancelled("x"),
    asyncio.CancelledError,
    GeneratorExit,
    Own,
]
_ALL: list[Callable[[], BaseException]] = [
    *_NO_EXCEPTIONS,
    WithoutText,
    lambda: ValueError(Spoilt(Cancelled("x"))),
    lambda: HandlerError(5),
    lambda: HandlerError(Spoilt(Own())),
    lambda: HandlerError("a\ud800b"),
]


def _raise(make: Callable[[], BaseException], *_values: Any) -> Any:
    raise make()


async def _raise_later(make: Callable[[], BaseException], *_values: Any) -> Any:
    await sleep_ms(0)
    raise make()


def _rejected(make: Callable[[], BaseException], *_values: Any) -> Promise[Any]:
    return Promise.rejected(make())


@pytest.mark.parametrize("way", [_raise, _raise_later, _rejected], ids=lambda way: way.__name__)
@pytest.mark.parametrize("make", _ALL, ids=lambda make: str(_ALL.index(make)))
def test_a_request_is_answered_and_the_service_goes_on(
    pair: Pair, way: Callable[..., Any], make: Callable[[], BaseException]
) -> None:
    pair.service.nothing = partial(way, make)
    with pytest.raises(RemoteError) as failed:
        pair.client.nothing(timeout=GUARD)
    expected = ErrorKind.CANCELLED if isinstance(make(), Cancelled) else ErrorKind.HANDLER_RAISED
    assert failed.value.kind is expected
    assert pair.client.add(1, 2) == 3
    assert not is_busy(pair.service)


@pytest.mark.parametrize("way", [_raise, _raise_later, _rejected], ids=lambda way: way.__name__)
@pytest.mark.parametrize("make", _ALL, ids=lambda make: str(_ALL.index(make)))
def test_a_one_way_handler_never_ends_the_service(
    pair: Pair, way: Callable[..., Any], make: Callable[[], BaseException]
) -> None:
    pair.service.log = partial(way, make)
    pair.client.async_log(1, "one")
    assert pair.client.add(1, 2) == 3
    assert EventLoop.current().spin_until(lambda: not is_busy(pair.service), timeout=GUARD)


@pytest.mark.parametrize("make", _NO_EXCEPTIONS, ids=lambda make: str(_NO_EXCEPTIONS.index(make)))
def test_a_hook_never_ends_the_service(
    loop: EventLoop, clock: Any, make: Callable[[], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(clock)
    pair.service.die = partial(_raise, make)
    pair.client.nothing()
    pair.client.shutdown()
    assert loop.spin_until(lambda: not pair.service.is_open, timeout=GUARD)
    assert "raised" in caplog.text


class Odd:
    """A result whose encoding raises."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        self._make = make

    def __index__(self) -> int:
        raise self._make()

    def __repr__(self) -> str:
        raise self._make()


async def _coroutine(value: object) -> object:
    await sleep_ms(0)
    return value


@pytest.mark.parametrize("is_later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("make", [*_ALL, lambda: TypeError("no"), KeyError], ids=str)
def test_a_result_that_cannot_be_encoded_is_an_answer_too(
    pair: Pair, make: Callable[[], BaseException], is_later: bool
) -> None:
    pair.service.add = lambda a, b: _coroutine(Odd(make)) if is_later else Odd(make)
    with pytest.raises(RemoteError) as failed:
        pair.client.add(1, 2, timeout=GUARD)
    assert failed.value.kind is ErrorKind.UNENCODABLE_ANSWER
    assert pair.client.nothing() is None
    assert not is_busy(pair.service)


@pytest.mark.parametrize("leaves", [KeyboardInterrupt, SystemExit])
def test_an_encoding_that_ends_the_program_is_answered_first(pair: Pair, leaves: Any) -> None:
    pair.service.add = lambda a, b: Odd(leaves)
    answer = pair.client.async_add(1, 2)
    with pytest.raises(leaves):
        answer.await_(GUARD)
    with pytest.raises(RemoteError, match=leaves.__name__):
        answer.await_(GUARD)


def test_a_text_of_no_text_is_sent_as_its_str(pair: Pair) -> None:
    pair.service.nothing = partial(_raise, lambda: HandlerError(OSError(2, "no such file")))
    with pytest.raises(RemoteError) as failed:
        pair.client.nothing()
    assert failed.value.text == "[Errno 2] no such file"


# Texts of errors and what a message may have


@pytest.mark.parametrize("ours", [200, 1024, 64 << 20])
@pytest.mark.parametrize("theirs", [200, 1024, 64 << 20])
@pytest.mark.parametrize("length", [100, 2000, 20_000, 200_000])
def test_a_long_text_is_shortened_to_what_both_ends_take(
    loop: EventLoop, clock: Any, ours: int, theirs: int, length: int
) -> None:
    pair = Pair(clock, Limits(max_message_size=theirs))
    service = Pair(clock, Limits(max_message_size=ours))
    link_of(pair.service).conversation.limits = service.service.limits
    pair.service.nothing = partial(_raise, lambda: HandlerError("é" * length))
    with pytest.raises(RemoteError) as failed:
        pair.client.nothing(timeout=GUARD)
    assert failed.value.text.startswith("é" * 40)
    assert (failed.value.text == "é" * length) == (2 * length < min(ours, 16 << 10))
    assert pair.client.is_open
    pair.close()
    service.close()


def test_only_an_error_frame_may_be_over_the_receiver_s_limit(clock: Any, loop: EventLoop) -> None:
    ends = Ends(clock, limits=Limits(max_message_size=100))
    call, _frame = ends.client.request(clock.ClockServer.Nothing)
    error = wire.pack_failure(clock.ClockServer.MAGIC, call.serial, ErrorKind.REFUSED, "x" * 16384)
    for at in range(0, len(error), 5):
        ends.client.receive(error[at : at + 5])
    (event,) = ends.client.inbox
    assert isinstance(event, CallFailed)
    assert event.error.text == "x" * 16384
    ends.client.receive(wire.pack_failure(clock.ClockServer.MAGIC, 1, ErrorKind.REFUSED, "x" * 16385))
    assert "a frame of 16402 bytes" in ends.client.violation()
    ends.service.receive(trailed(clock.ClockServer.Log, bytes(200), 0)[:12])
    assert "a frame of 220 bytes" in ends.service.violation()


def test_a_description_over_the_limit_is_an_error(loop: EventLoop, clock: Any) -> None:
    pair = Pair(clock, Limits(max_message_size=500))
    with pytest.raises(RemoteError, match="max_message_size") as failed:
        pair.client.describe(GUARD)
    assert failed.value.kind is ErrorKind.REFUSED
    assert pair.client.nothing() is None
    pair.close()


# Cancel frames before the peer's first frame


def test_a_call_that_was_given_up_before_the_peer_s_first_frame_is_cancelled_after_it(
    loop: EventLoop, clock: Any
) -> None:
    pair = Pair(clock)
    cancelled: list[int] = []

    async def held(value: int) -> int:
        try:
            await Promise[None]()
        except Cancelled:
            cancelled.append(value)
            raise
        return value

    pair.service.held = held
    with pytest.raises(CallTimeout):
        pair.client.held(1, timeout=0)
    pair.client.async_held(2).cancel()
    answered = pair.client.async_held(3)
    assert pair.client.add(1, 2) == 3
    assert loop.spin_until(lambda: cancelled == [1, 2], timeout=GUARD)
    assert not answered.is_settled
    assert pair.client.add(1, 2) == 3
    assert list(link_of(pair.client).conversation.open_calls) == [3]
    pair.close()


def test_a_bare_peer_never_gets_a_cancel_frame(loop: EventLoop, clock: Any) -> None:
    ends = Ends(clock)
    call, _frame = ends.client.request(clock.ClockServer.Nothing)
    assert ends.client.conversation.abandon(call) is None
    ends.client.receive(bare(clock.ClockServer.NothingResponse))
    assert ends.client.inbox == []


@pytest.mark.parametrize("first", ["an answer", "a one-way message"])
def test_the_first_frame_with_a_trailer_releases_the_cancel_frames(
    loop: EventLoop, clock: Any, first: str
) -> None:
    ends = Ends(clock)
    given_up, _frame = ends.client.request(clock.ClockServer.Nothing)
    open_call, _frame = ends.client.request(clock.ClockServer.Nothing)
    ends.client.conversation.abandon(given_up)
    if first == "an answer":
        ends.client.receive(trailed(clock.ClockServer.NothingResponse, b"", open_call.serial))
    else:
        ends.client.receive(ends.service.post(clock.ClockClient.Tick, 1))
    cancel = wire.pack_cancel(clock.ClockServer.MAGIC, given_up.serial)
    assert ends.client.inbox[0] == CancelsDue((joined(cancel),))
    ends.client.receive(ends.service.post(clock.ClockClient.Tick, 2))
    assert sum(isinstance(event, CancelsDue) for event in ends.client.inbox) == 1


# Between processes

_SERVICE = """
import sys
from corelib import Cancelled, EventLoop
from ipclib import MultiServer
import asyncio, ipcc
from tests.ipclib.clock_service import handlers
clock = ipcc.load(sys.argv[2])

class Odd(handlers(clock)):
    def fail(self, text, on_purpose):
        raise {"c": Cancelled, "a": asyncio.CancelledError, "g": GeneratorExit, "b": BaseException}[text]()

with EventLoop() as loop:
    server = MultiServer(Odd, sys.argv[1])
    print("ready", flush=True)
    sys.exit(loop.exec())
"""


@pytest.mark.slow
def test_a_service_outlives_what_its_handlers_raise(loop: EventLoop, clock: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "odd")
    arguments = [sys.executable, "-c", _SERVICE, path, str(REPOSITORY / "tests/ipclib/Clock.ipc")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        client = clock.ConnectionToServer.connect(path)
        for text in "cagb":
            with pytest.raises(RemoteError):
                client.fail(text, False, timeout=GUARD)
        assert client.add(20, 22) == 42
        client.shutdown()
        service.kill()


def test_a_user_s_decoder_that_raises_anything_costs_its_connection_alone(
    loop: EventLoop, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    codec = structures.structure(Picky, codecs.i32)
    raw, service = raw_peer(clock)
    message = clock.ClockServer.Release.__ipc__
    original = message.decode

    def decode(data: Any, at: int, decoding: Any) -> Any:
        value, at = codec.decode(data, at, decoding)
        return (value,), at

    message.decode = decode
    try:
        raw.sendall(trailed(clock.ClockServer.Release, bytes(4), 0))
        assert loop.spin_until(lambda: not service.is_open, timeout=GUARD)
    finally:
        message.decode = original
    assert "Picky" in caplog.text
    raw.close()
