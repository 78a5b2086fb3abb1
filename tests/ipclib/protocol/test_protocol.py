"""The book-keeping, by byte strings alone: serials, order of answers, late ones, and every violation."""

from __future__ import annotations

import os
import struct
from typing import Any

import pytest

from ipclib import MessageTooLarge, ProtocolViolation, RemoteError, SchemaMismatch, UnknownMessage
from ipclib.errors import ErrorKind
from ipclib.limits import Limits
from ipclib.protocol.framing import bare_frame, trailed_frame
from ipclib.protocol.message import Kind, key_of
from ipclib.protocol.protocol import MAX_ABANDONED, BareReply, Call, Protocol, incoming_table


def _bytes(frame: Any) -> bytes:
    return frame if isinstance(frame, bytes) else b"".join(frame)


class Ends:
    """A client's and a service's protocol, and what each wrote to the other."""

    def __init__(self, clock: Any, *, client_trailers: bool = True, limits: Limits | None = None) -> None:
        server, client = clock.ClockServer, clock.ClockClient
        self.limits = limits or Limits()
        self.client = Protocol(
            server, client, incoming_table(server, client), self.limits, trailers=client_trailers
        )
        self.service = Protocol(client, server, incoming_table(client, server), self.limits)

    def ask(self, message: Any, *values: object) -> tuple[Any, Any]:
        """A request that has arrived: the client's call, and whom the service answers."""
        call, frame, _files = self.client.request(message, values, Call)
        self.service.receive(_bytes(frame))
        kind, arrived, reply_to, got, _files = self.service.inbox.popleft()
        assert (kind, arrived, got) == (Kind.REQUEST, message, values)
        return call, reply_to

    def answer(self, message: Any, reply_to: Any, result: object) -> None:
        for frame, _files in self.service.answer(message, reply_to, result):
            self.client.receive(_bytes(frame))

    def answered(self) -> list[tuple[Any, Any]]:
        """The answers that the client got: calls and values."""
        events = [(event[2], event[3]) for event in self.client.inbox]
        self.client.inbox.clear()
        return events


@pytest.fixture
def ends(clock: Any) -> Ends:
    return Ends(clock)


def _violation(protocol: Protocol) -> str:
    kind, _message, _to, (error,), _files = protocol.inbox[-1]
    assert kind is Kind.VIOLATION
    assert isinstance(error, ProtocolViolation)
    assert protocol.ended
    return str(error)


def test_answers_find_their_calls_in_any_order(clock: Any, ends: Ends) -> None:
    add = clock.ClockServer.Add
    asked = [ends.ask(add, number, 0) for number in range(5)]
    for number in (3, 0, 4, 2, 1):
        ends.answer(add, asked[number][1], number)
    assert ends.answered() == [(asked[number][0], (number,)) for number in (3, 0, 4, 2, 1)]
    assert not ends.client.open_calls


def test_serials_are_not_0_and_unique_among_open_calls(clock: Any, ends: Ends) -> None:
    held, _ = ends.ask(clock.ClockServer.Held, 1)
    ends.client._serial = 0xFFFFFFFF
    call, _ = ends.ask(clock.ClockServer.Held, 2)
    assert (held.serial, call.serial) == (1, 2)


def test_bare_answers_to_one_message_leave_in_the_order_of_its_requests(clock: Any) -> None:
    ends = Ends(clock, client_trailers=False)
    add, held = clock.ClockServer.Add, clock.ClockServer.Held
    first, first_reply = ends.ask(held, 1)
    second, second_reply = ends.ask(held, 2)
    quick, quick_reply = ends.ask(add, 1, 1)
    assert isinstance(first_reply, BareReply)
    assert ends.service.answer(held, second_reply, 2) == []
    ends.answer(add, quick_reply, 2)
    ends.answer(held, first_reply, 1)
    assert ends.answered() == [(quick, (2,)), (first, (1,)), (second, (2,))]


def test_a_bare_answer_settles_the_oldest_call_abandoned_ones_included(clock: Any, ends: Ends) -> None:
    held, response = clock.ClockServer.Held, clock.ClockServer.HeldResponse
    late, *waiting = [ends.client.request(held, (number,), Call)[0] for number in range(3)]
    assert ends.client.abandon(late) is None
    for number in range(3):
        ends.client.receive(_bytes(bare_frame(response._key, struct.pack("=i", number))))
    assert ends.answered() == [(waiting[0], (1,)), (waiting[1], (2,))]


def test_a_late_answer_is_swallowed_and_the_peer_is_told(clock: Any, ends: Ends) -> None:
    held = clock.ClockServer.Held
    warm, reply = ends.ask(held, 0)
    ends.answer(held, reply, 0)
    call, reply = ends.ask(held, 1)
    cancel = ends.client.abandon(call)
    assert cancel == struct.pack("=IIiI", 12, clock.ClockServer.MAGIC, -1, call.serial)
    ends.service.receive(_bytes(cancel))
    assert ends.service.inbox.popleft()[:3] == (Kind.CANCEL, None, call.serial)
    ends.answer(held, reply, 1)
    assert ends.answered() == [(warm, (0,))]
    assert not ends.service.inbox
    assert ends.client.abandon(call) is None


def test_a_cancelled_request_is_remembered_while_it_may_still_wait(clock: Any, ends: Ends) -> None:
    held = clock.ClockServer.Held
    _warm, reply = ends.ask(held, 0)
    ends.answer(held, reply, 0)
    call, frame, _files = ends.client.request(held, (1,), Call)
    ends.service.receive(_bytes(frame))
    cancel = ends.client.abandon(call)
    assert cancel is not None
    ends.service.receive(_bytes(cancel))
    assert ends.service.cancelled == {call.serial}
    ends.service.inbox.clear()
    ends.service.receive(_bytes(cancel))
    assert not ends.service.cancelled


def test_too_many_abandoned_calls_are_a_violation(clock: Any, ends: Ends) -> None:
    calls = [ends.client.request(clock.ClockServer.Nothing, (), Call)[0] for _ in range(MAX_ABANDONED + 1)]
    for call in calls[:-1]:
        ends.client.abandon(call)
    with pytest.raises(ProtocolViolation, match="abandoned"):
        ends.client.abandon(calls[-1])


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (ErrorKind.HANDLER_RAISED, RemoteError),
        (ErrorKind.SCHEMA_MISMATCH, SchemaMismatch),
        (ErrorKind.UNKNOWN_MESSAGE, UnknownMessage),
        (ErrorKind.REFUSED, RemoteError),
        (ErrorKind.CANCELLED, RemoteError),
        (ErrorKind.UNENCODABLE_ANSWER, RemoteError),
    ],
)
def test_an_error_frame_fails_its_call(
    clock: Any, ends: Ends, kind: ErrorKind, error: type[Exception]
) -> None:
    call, serial = ends.ask(clock.ClockServer.Nothing)
    frame = _bytes(ends.service.failure(clock.ClockServer.MAGIC, serial, kind, "schlecht gelöst"))
    ends.client.receive(frame)
    ((settled, (raised,)),) = ends.answered()
    assert settled is call
    assert type(raised) is error
    assert (raised.kind, raised.text) == (kind, "schlecht gelöst")


def test_a_request_with_another_signature_is_answered_and_not_decoded(clock: Any, ends: Ends) -> None:
    add = clock.ClockServer.Add
    ends.service.receive(_bytes(trailed_frame(add._key, b"\xff", 77, add._signature ^ 1)))
    ((kind, magic, serial, (error_kind, text), _files),) = ends.service.inbox
    assert (kind, magic, serial, error_kind) == (
        Kind.REFUSAL,
        clock.ClockServer.MAGIC,
        77,
        ErrorKind.SCHEMA_MISMATCH,
    )
    assert "ClockServer.add" in text


def test_a_one_way_message_with_another_signature_is_dropped_counted_and_logged_once(
    clock: Any, ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    log = clock.ClockServer.Log
    for _ in range(3):
        ends.service.receive(_bytes(trailed_frame(log._key, b"", 0, log._signature ^ 1)))
    assert not ends.service.inbox
    assert ends.service.dropped == 3
    assert len(caplog.records) == 1


def test_an_unknown_message_is_answered_or_dropped(clock: Any, ends: Ends) -> None:
    key = key_of(clock.ClockServer.MAGIC, 999)
    ends.service.receive(_bytes(trailed_frame(key, b"what", 5, 1)))
    ends.service.receive(_bytes(trailed_frame(key, b"what", 0, 1)))
    ((kind, _magic, serial, (error_kind, _text), _files),) = ends.service.inbox
    assert (kind, serial, error_kind, ends.service.dropped) == (Kind.REFUSAL, 5, ErrorKind.UNKNOWN_MESSAGE, 1)


def test_descriptors_of_an_undecoded_message_are_closed_and_others_are_not_touched(
    clock: Any, ends: Ends
) -> None:
    take, log = clock.ClockServer.TakeFiles, clock.ClockServer.Log
    mismatched = os.open("/dev/null", os.O_RDONLY)
    wanted = os.open("/dev/null", os.O_RDONLY)
    quiet = _bytes(trailed_frame(log._key, b"", 0, log._signature ^ 1))
    ends.service.receive(
        quiet + _bytes(trailed_frame(take._key, b"anything", 1, take._signature ^ 1)), [mismatched]
    )
    payload = struct.pack("=I?", 1, False)
    ends.service.receive(quiet + _bytes(trailed_frame(take._key, payload, 2, take._signature)), [wanted])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(mismatched)
    ((_kind, _message, _to, ([file], _fail), files),) = [
        e for e in ends.service.inbox if e[0] is Kind.REQUEST
    ]
    assert file.fileno() == wanted
    assert files == [file]


def test_what_is_over_the_limits_is_not_sent(clock: Any) -> None:
    ends = Ends(clock, limits=Limits(max_message_size=100))
    with pytest.raises(MessageTooLarge, match="max_message_size is 100"):
        ends.client.request(clock.ClockServer.EchoString, ("x" * 100,), Call)
    assert not ends.client.open_calls


def test_the_peer_may_not_send_what_is_over_the_limits(clock: Any, ends: Ends) -> None:
    ends.service.receive(struct.pack("=I", ends.limits.max_message_size + 1))
    assert "a frame of 67108865 bytes" in _violation(ends.service)


def _violations(clock: Any) -> dict[str, bytes]:
    add, log, nothing = clock.ClockServer.Add, clock.ClockServer.Log, clock.ClockServer.Nothing
    magic = clock.ClockServer.MAGIC
    good = _bytes(trailed_frame(nothing._key, b"", 9, nothing._signature))
    return {
        "size too small": struct.pack("=I", 7),
        "size of a bare LibIPC error": struct.pack("=I", 0xFFFFFFFF),
        "foreign magic": _bytes(bare_frame(key_of(magic ^ 1, 1), b"")),
        "unknown control frame": _bytes(bare_frame(key_of(magic, -9), b"")),
        "trailers stop": good + _bytes(bare_frame(nothing._key, b"")),
        "leftover bytes": _bytes(trailed_frame(add._key, b"\0" * 9, 1, add._signature)),
        "payload too short": _bytes(trailed_frame(add._key, b"\0" * 7, 1, add._signature)),
        "length behind the end": _bytes(
            trailed_frame(log._key, struct.pack("=iI", 1, 500), 0, log._signature)
        ),
        "not UTF-8": _bytes(trailed_frame(log._key, struct.pack("=iI", 1, 1) + b"\xff", 0, log._signature)),
        "request without a serial": _bytes(trailed_frame(nothing._key, b"", 0, nothing._signature)),
        "one-way with a serial": _bytes(trailed_frame(log._key, bytes(8), 3, log._signature)),
        "answer to nothing": _bytes(bare_frame(clock.ClockClient.AscendResponse._key, bytes(4))),
        "error for nothing": _bytes(bare_frame(key_of(magic, 0), struct.pack("=IBI", 4, 1, 0))),
        "error of unknown kind": _bytes(bare_frame(key_of(magic, 0), struct.pack("=IBI", 4, 99, 0))),
        "error frame cut short": _bytes(bare_frame(key_of(magic, 0), b"\1")),
        "cancel cut short": _bytes(bare_frame(key_of(magic, -1), b"\1")),
        "unknown message of a bare peer": _bytes(bare_frame(key_of(magic, 999), b"")),
        "too few descriptors": _bytes(
            trailed_frame(
                clock.ClockServer.TakeFiles._key,
                struct.pack("=I?", 1, False),
                1,
                clock.ClockServer.TakeFiles._signature,
            )
        ),
    }


@pytest.mark.parametrize("case", list(range(18)))
def test_every_violation_ends_the_stream_and_nothing_else(clock: Any, case: int) -> None:
    name, frame = list(_violations(clock).items())[case]
    ends = Ends(clock)
    ends.service.receive(frame)
    assert _violation(ends.service), name
    before = len(ends.service.inbox)
    ends.service.receive(frame)
    assert len(ends.service.inbox) == before


def test_there_are_as_many_violations_as_cases(clock: Any) -> None:
    assert len(_violations(clock)) == 18


def test_descriptors_that_no_message_takes_are_a_violation_and_closed(clock: Any, ends: Ends) -> None:
    stray = os.open("/dev/null", os.O_RDONLY)
    nothing = clock.ClockServer.Nothing
    ends.service.receive(_bytes(trailed_frame(nothing._key, b"", 1, nothing._signature)), [stray])
    assert "1 descriptors that no message takes" in _violation(ends.service)
    ends.service.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(stray)


def test_what_came_before_a_violation_stays_in_order(clock: Any, ends: Ends) -> None:
    log = clock.ClockServer.Log
    _call, frame, _files = ends.client.request(clock.ClockServer.Add, (1, 2), Call)
    posted, _files = ends.client.one_way(log, (1, "first"))
    ends.service.receive(_bytes(posted) + _bytes(frame) + struct.pack("=I", 3))
    assert [event[0] for event in ends.service.inbox] == [Kind.ONE_WAY, Kind.REQUEST, Kind.VIOLATION]


def test_a_call_that_is_answered_wrongly_is_still_open_to_be_failed(clock: Any, ends: Ends) -> None:
    call, _reply = ends.ask(clock.ClockServer.Held, 1)
    response = clock.ClockServer.Nothing._response
    ends.client.receive(_bytes(trailed_frame(response._key, b"", call.serial, response._signature)))
    assert ends.client.inbox[-1][0] is Kind.VIOLATION
    assert ends.client.open_calls == {call.serial: call}
