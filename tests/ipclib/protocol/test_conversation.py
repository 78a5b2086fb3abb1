"""Open calls by byte strings alone: serials, the order of answers, late answers, and what cannot be sent."""

from __future__ import annotations

import os
import struct
from typing import Any

import pytest

from ipclib import (
    EncodeError,
    ErrorKind,
    File,
    Limits,
    MessageTooLarge,
    PeerDisconnected,
    ProtocolViolation,
    RemoteError,
    SchemaMismatch,
    UnknownMessage,
)
from ipclib.protocol import wire
from ipclib.protocol.bare_replies import BareReply
from ipclib.protocol.conversation import (
    DESCRIBE,
    MAX_ABANDONED,
    Conversation,
    incoming_table,
)
from ipclib.protocol.events import CallFailed, DescriptionArrived, DescriptionAsked, RequestCancelled
from ipclib.protocol.message import Kind
from ipclib.protocol.open_call import Call
from tests.ipclib.protocol.two_ends import Ends, bare, dev_null, joined


def test_answers_find_their_calls_in_any_order(clock: Any, ends: Ends) -> None:
    add = clock.ClockServer.Add
    asked = [ends.ask(add, number, 0) for number in range(5)]
    for number in (3, 0, 4, 2, 1):
        ends.answer(add, asked[number][1], number)
    assert ends.answered() == [(asked[number][0], (number,)) for number in (3, 0, 4, 2, 1)]
    assert not ends.client.conversation.open_calls


def test_a_call_is_settled_once(clock: Any, ends: Ends) -> None:
    call = Call(clock.ClockServer.Add.__ipc__)
    assert (call.settled, call.value, call.error) == (False, None, None)
    call.succeed(3)
    assert (call.settled, call.value, call.error) == (True, 3, None)
    failed = Call(clock.ClockServer.Add.__ipc__)
    error = LookupError()
    failed.fail(error)
    assert (failed.settled, failed.error) == (True, error)
    assert ends.client.conversation.abandon(call) is None
    assert ends.client.conversation.abandoned == 0


def test_serials_are_not_0_and_unique_among_open_calls(
    clock: Any, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "HIGHEST_SERIAL", 4)  # Four milliards of calls take too long.
    held = clock.ClockServer.Held
    first, _ = ends.ask(held, 1)
    passing = [ends.ask(held, number) for number in (2, 3, 4)]
    assert [first.serial, *(call.serial for call, _to in passing)] == [1, 2, 3, 4]
    for (_call, to), number in zip(passing, (2, 3, 4), strict=True):
        ends.answer(held, to, number)
    ends.answered()
    again, _ = ends.ask(held, 5)
    assert again.serial == 2, "1 is open"
    ends.client.conversation.describe(described := Call(DESCRIBE))
    assert described.serial == 3


def test_a_request_that_cannot_be_encoded_opens_no_call(clock: Any, ends: Ends) -> None:
    with pytest.raises(EncodeError):
        ends.client.request(clock.ClockServer.Held, "1")
    assert not ends.client.conversation.open_calls
    ends.ask(clock.ClockServer.Held, 1)
    assert len(ends.client.conversation.open_calls) == 1


def test_a_call_of_a_trailed_conversation_is_open_once_its_frame_is_made(clock: Any, ends: Ends) -> None:
    call = Call(clock.ClockServer.Nothing.__ipc__)
    ends.client.conversation.request(call, ())
    assert ends.client.conversation.open_calls == {call.serial: call}


def test_a_call_of_a_bare_conversation_is_open_once_it_is_sent(clock: Any) -> None:
    conversation = Ends(clock, client_trailers=False).client.conversation
    call = Call(clock.ClockServer.Nothing.__ipc__)
    conversation.request(call, ())
    assert not conversation.open_calls
    conversation.open(call)
    assert conversation.open_calls == {call.serial: call}


@pytest.mark.parametrize("trailers", [True, False])
def test_a_closed_conversation_opens_no_call(clock: Any, trailers: bool) -> None:
    ends = Ends(clock, client_trailers=trailers)
    conversation = ends.client.conversation
    waiting, _ = ends.client.request(clock.ClockServer.Held, 1)
    given_up, _ = ends.client.request(clock.ClockServer.Held, 2)
    conversation.abandon(given_up)
    assert conversation.close() == [waiting]
    assert conversation.close() == []
    assert (conversation.is_closed, conversation.open_calls, conversation.abandoned) == (True, {}, 0)
    with pytest.raises(PeerDisconnected, match="held: the connection is closed"):
        ends.client.request(clock.ClockServer.Held, 3)
    assert conversation.open_calls == {}


def test_a_bare_call_that_finds_the_conversation_closed_is_not_opened(clock: Any) -> None:
    """Between the request and open(), code of the user may close the connection."""
    conversation = Ends(clock, client_trailers=False).client.conversation
    call = Call(clock.ClockServer.Nothing.__ipc__)
    conversation.request(call, ())
    conversation.close()
    with pytest.raises(PeerDisconnected, match="nothing: the connection is closed"):
        conversation.open(call)
    assert conversation.open_calls == {}


def test_bare_answers_to_one_message_leave_in_the_order_of_its_requests(clock: Any) -> None:
    ends = Ends(clock, client_trailers=False)
    add, held = clock.ClockServer.Add, clock.ClockServer.Held
    first, first_reply = ends.ask(held, 1)
    second, second_reply = ends.ask(held, 2)
    quick, quick_reply = ends.ask(add, 1, 1)
    assert isinstance(first_reply, BareReply)
    assert ends.service.conversation.answer(held.__ipc__, second_reply, 2) == []
    ends.answer(add, quick_reply, 2)
    ends.answer(held, first_reply, 1)
    assert ends.answered() == [(quick, (2,)), (first, (1,)), (second, (2,))]


def test_a_bare_answer_settles_the_oldest_call_abandoned_ones_included(clock: Any, ends: Ends) -> None:
    held, response = clock.ClockServer.Held, clock.ClockServer.HeldResponse
    late, *waiting = [ends.client.request(held, number)[0] for number in range(3)]
    assert ends.client.conversation.abandon(late) is None
    for number in range(3):
        ends.client.receive(bare(response, struct.pack("=i", number)))
    assert ends.answered() == [(waiting[0], (1,)), (waiting[1], (2,))]


def test_a_late_answer_is_swallowed_and_a_cancel_is_sent(clock: Any, ends: Ends) -> None:
    held = clock.ClockServer.Held
    warm, reply = ends.ask(held, 0)
    ends.answer(held, reply, 0)
    call, reply = ends.ask(held, 1)
    cancel = ends.client.conversation.abandon(call)
    assert cancel == struct.pack("=IIiI", 12, clock.ClockServer.MAGIC, -1, call.serial)
    assert ends.client.conversation.abandoned == 1
    ends.service.receive(joined(cancel))
    assert ends.service.inbox == [RequestCancelled(call.serial)]
    ends.answer(held, reply, 1)
    assert ends.answered() == [(warm, (0,))]
    assert not ends.client.inbox
    assert ends.client.conversation.abandon(call) is None
    assert ends.client.conversation.abandoned == 0


def test_a_call_that_was_never_open_is_abandoned_without_a_cancel(clock: Any, ends: Ends) -> None:
    assert ends.client.conversation.abandon(Call(clock.ClockServer.Held.__ipc__)) is None
    assert ends.client.conversation.abandoned == 0


def test_a_late_error_is_swallowed(clock: Any, ends: Ends) -> None:
    call, serial = ends.ask(clock.ClockServer.Held, 1)
    ends.client.conversation.abandon(call)
    ends.client.receive(
        wire.pack_failure(clock.ClockServer.MAGIC, serial, ErrorKind.CANCELLED, "as you wished")
    )
    assert (ends.client.inbox, ends.client.conversation.abandoned) == ([], 0)


def test_a_cancelled_request_is_remembered_until_its_cancel_is_handled(clock: Any, ends: Ends) -> None:
    held = clock.ClockServer.Held
    _warm, reply = ends.ask(held, 0)
    ends.answer(held, reply, 0)
    call, frame = ends.client.request(held, 1)
    ends.service.receive(frame)
    cancel = ends.client.conversation.abandon(call)
    assert cancel is not None
    ends.service.receive(joined(cancel))
    assert ends.service.conversation.cancelled == {call.serial}


def test_too_many_abandoned_calls_are_a_violation(clock: Any, ends: Ends) -> None:
    calls = [ends.client.request(clock.ClockServer.Nothing)[0] for _ in range(MAX_ABANDONED + 1)]
    for call in calls[:-1]:
        ends.client.conversation.abandon(call)
    with pytest.raises(ProtocolViolation, match="abandoned"):
        ends.client.conversation.abandon(calls[-1])


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
    ends.client.receive(wire.pack_failure(clock.ClockServer.MAGIC, serial, kind, "schlecht gelöst"))
    (event,) = ends.client.inbox
    assert isinstance(event, CallFailed)
    assert event.call is call
    assert type(event.error) is error
    assert (event.error.kind, event.error.text) == (kind, "schlecht gelöst")
    assert not ends.client.conversation.open_calls


def test_a_description_is_asked_for_and_answered(clock: Any, ends: Ends) -> None:
    call = Call(DESCRIBE)
    ends.service.receive(joined(ends.client.conversation.describe(call)))
    magic = clock.ClockServer.MAGIC
    assert ends.service.inbox == [DescriptionAsked(magic, call.serial)]
    ends.client.receive(joined(ends.service.conversation.description(magic, call.serial)))
    (event,) = ends.client.inbox
    assert isinstance(event, DescriptionArrived)
    assert (event.call, event.text) == (call, clock.ClockServer.SCHEMA)
    assert not ends.client.conversation.open_calls


def test_every_endpoint_is_described_to_a_tool_that_knows_none(clock: Any, ends: Ends) -> None:
    frame = joined(ends.service.conversation.description(wire.EVERY_ENDPOINT, 7))
    serial, text = wire.parse_description(frame, 0, len(frame))
    assert (serial, text) == (7, f"{clock.ClockClient.SCHEMA}\n{clock.ClockServer.SCHEMA}")


def test_a_message_over_the_limits_is_not_sent(clock: Any) -> None:
    ends = Ends(clock, limits=Limits(max_message_size=100, max_fds_per_message=1))
    with pytest.raises(MessageTooLarge, match="max_message_size is 100"):
        ends.client.request(clock.ClockServer.EchoString, "x" * 100)
    with File(dev_null()) as one, File(dev_null()) as two:
        with pytest.raises(MessageTooLarge, match="2 files; max_fds_per_message is 1"):
            ends.client.request(clock.ClockServer.TakeFiles, [one, two], False)
        assert one.fileno() != two.fileno(), "they are the caller's still"
    assert not ends.client.conversation.open_calls


def test_the_largest_message_is_sent_and_received(clock: Any) -> None:
    ends = Ends(clock, limits=Limits(max_message_size=100))
    ends.ask(clock.ClockServer.EchoString, "x" * (100 - 8 - 4 - 12))
    with pytest.raises(MessageTooLarge):
        ends.client.request(clock.ClockServer.EchoString, "x" * (100 - 8 - 4 - 11))


def test_a_released_conversation_has_closed_the_files_of_all_that_waited(clock: Any) -> None:
    ends = Ends(clock, client_trailers=False)
    give, take = clock.ClockServer.GiveFile, clock.ClockServer.TakeFiles
    _early, _early_to = ends.ask(give, b"")
    _late, late_to = ends.ask(give, b"")
    answer = File(dev_null())
    assert ends.service.conversation.answer(give.__ipc__, late_to, answer) == []
    arrived = dev_null()
    ends.service.receive(bare(take, struct.pack("=I?", 1, False)), (arrived,))
    ends.service.conversation.release()
    assert ends.service.inbox == []
    assert repr(answer) == "File(closed)"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(arrived)


def test_the_messages_that_may_arrive_are_those_served_and_the_answers_to_calls(clock: Any) -> None:
    table = incoming_table(clock.ClockServer, clock.ClockClient)
    assert {message.name for message in table.values() if message.kind is not Kind.RESPONSE} == {
        "ClockClient.tick",
        "ClockClient.ascend",
    }
    answers = {message.name for message in table.values() if message.kind is Kind.RESPONSE}
    assert "ClockServer.add" in answers
    assert "ClockServer.log" not in answers
    assert all(key == message.key for key, message in table.items())


# Values that cannot be encoded


def _sender(clock: Any) -> Conversation:
    return Ends(clock).client.conversation


def test_an_encode_error_names_message_parameter_and_value(clock: Any) -> None:
    with pytest.raises(
        EncodeError, match=r"ClockServer\.add: b = 2147483648: i32 takes an int from"
    ) as caught:
        _sender(clock).request(Call(clock.ClockServer.Add.__ipc__), (1, 1 << 31))
    assert (caught.value.message, caught.value.parameter, caught.value.value) == (
        "ClockServer.add",
        "b",
        1 << 31,
    )
    with pytest.raises(EncodeError, match=r"echo_names: names = .*a str is needed"):
        _sender(clock).request(Call(clock.ClockServer.EchoNames.__ipc__), (["a", 7],))


def test_an_encode_error_names_the_parameters_when_there_are_too_few_values(clock: Any) -> None:
    with pytest.raises(EncodeError, match=r"ClockServer\.add: \(a, b\) = \(1,\): 2 values are needed"):
        _sender(clock).request(Call(clock.ClockServer.Add.__ipc__), (1,))


def test_an_encode_error_leaves_the_files_to_the_caller(clock: Any) -> None:
    take = clock.ClockServer.TakeFiles.__ipc__
    with File(os.open("/dev/null", os.O_RDONLY)) as file:
        with pytest.raises(EncodeError, match="the same File twice"):
            _sender(clock).request(Call(take), ([file, file], False))
        assert os.fstat(file.fileno())
        with pytest.raises(EncodeError, match="fail = 1: a bool is needed"):
            _sender(clock).request(Call(take), ([file], 1))
        assert os.fstat(file.fileno())


def test_bare_answers_to_a_peer_with_trailers_leave_in_the_order_of_its_requests(clock: Any) -> None:
    """Only the service writes bare frames: its peer settles its oldest call of the message."""
    ends = Ends(clock, service_trailers=False)
    held = clock.ClockServer.Held
    first, first_reply = ends.ask(held, 1)
    second, second_reply = ends.ask(held, 2)
    third, third_reply = ends.ask(held, 3)
    assert ends.service.conversation.answer(held.__ipc__, second_reply, 2) == []
    assert ends.service.conversation.bare_replies.drop(held.__ipc__, third_reply) == []
    ends.answer(held, first_reply, 1)
    assert ends.answered() == [(first, (1,)), (second, (2,))]
    assert (third_reply.serial, list(ends.client.conversation.open_calls)) == (third.serial, [third.serial])
