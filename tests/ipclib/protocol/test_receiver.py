"""Bytes in, events out: whole messages from any cut, what is not decoded, and what becomes of descriptors."""

from __future__ import annotations

import os
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import ErrorKind, Limits
from ipclib.protocol import wire
from ipclib.protocol.events import MessageArrived, RequestRefused, StreamEnded
from ipclib.protocol.message import Kind
from tests.ipclib.protocol.two_ends import End, Ends, bare, dev_null, joined, trailed

_POSTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
    | st.integers(30_000, 90_000).map("x".__mul__),
    max_size=8,
)


def _messages(end: End) -> list[MessageArrived]:
    return [event for event in end.inbox if isinstance(event, tuple)]


def _refused(end: End) -> list[RequestRefused]:
    return [event for event in end.inbox if isinstance(event, RequestRefused)]


def _numbers(end: End) -> list[Any]:
    """The values of the messages that arrived."""
    return [values for _kind, _message, _to, values, _files, _size in _messages(end)]


def _pour(end: End, stream: bytes, cuts: list[int], *, in_place: bool) -> None:
    """Let an end receive a stream in these pieces, in turn; in place where there is room, if `in_place`."""
    receiver = end.receiver
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        room = receiver.partial.room() if in_place and receiver.partial.missing else None
        if room is None:
            piece = stream[at : at + size]
            receiver.receive(piece)
            at += len(piece)
        else:
            count = min(size, len(room), len(stream) - at)
            room[:count] = stream[at : at + count]
            room.release()
            receiver.receive_in_place(count)
            at += count
        turn += 1


@pytest.mark.parametrize("trailers", [True, False])
@pytest.mark.parametrize("in_place", [True, False])
@given(texts=_POSTS, cuts=st.lists(st.integers(1, 100) | st.integers(9_000, 70_000), min_size=1))
def test_any_cut_gives_the_same_messages(
    clock: Any, trailers: bool, in_place: bool, texts: list[str], cuts: list[int]
) -> None:
    ends = Ends(clock, client_trailers=trailers)
    sent = list(enumerate(texts))
    stream = b"".join(ends.client.post(clock.ClockServer.Log, *values) for values in sent)
    if sum(cuts) * 300 < len(stream) * len(cuts):
        cuts = [1000 * cut for cut in cuts]
    _pour(ends.service, stream, cuts, in_place=in_place)
    assert _numbers(ends.service) == sent
    receiver = ends.service.receiver
    assert (receiver.bytes_received, receiver.frames_received) == (len(stream), len(texts))
    assert (receiver.partial.missing, receiver.partial.received, receiver.ended) == (0, 0, False)


def test_the_first_message_decides_whether_a_peer_writes_trailers(clock: Any, ends: Ends) -> None:
    assert ends.service.conversation.peer_trailers.written is None
    ends.service.receive(wire.pack_describe(clock.ClockServer.MAGIC, 1))
    assert ends.service.conversation.peer_trailers.written is None, "a control frame has none in any case"
    ends.service.receive(trailed(clock.ClockServer.Nothing, b"", 2))
    assert ends.service.conversation.peer_trailers.written is True
    other = Ends(clock).service
    other.receive(bare(clock.ClockServer.Nothing))
    assert other.conversation.peer_trailers.written is False


def test_a_bare_payload_that_ends_like_a_trailer_is_a_payload(clock: Any, ends: Ends) -> None:
    """After a first bare frame, nothing in a payload makes it a trailer."""
    echo = clock.ClockServer.EchoBytes
    data = struct.pack("=III", 1, echo.__ipc__.signature, wire.TAG)
    ends.service.receive(bare(clock.ClockServer.Nothing))
    ends.service.receive(bare(echo, struct.pack("=I", len(data)) + data))
    assert _numbers(ends.service)[1:] == [(data,)]


def test_the_end_of_the_stream_is_an_event_and_nothing_comes_after_it(clock: Any, ends: Ends) -> None:
    ends.service.receive(trailed(clock.ClockServer.Nothing, b"", 1))
    for _ in range(2):
        ends.service.receive(b"")
    stray = dev_null()
    ends.service.receive(trailed(clock.ClockServer.Nothing, b"", 2), (stray,))
    ends.service.receiver.receive(b"")
    ends.service.receiver.receive_violation("too late")
    ends.service.receiver.receive_in_place(0)
    assert ends.service.inbox[1:] == [StreamEnded()]
    assert ends.service.receiver.ended
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(stray)


def test_the_stream_may_end_within_a_frame(clock: Any, ends: Ends) -> None:
    ends.service.receive(trailed(clock.ClockServer.Nothing, b"", 1)[:-1])
    ends.service.receive(b"")
    assert ends.service.inbox == [StreamEnded()]


@pytest.mark.parametrize("way", ["copied", "in place"])
def test_the_stream_may_end_within_a_large_frame(clock: Any, ends: Ends, way: str) -> None:
    frame = ends.client.post(clock.ClockServer.Log, 1, "x" * 100_000)
    ends.service.receive(frame[:50_000])
    assert ends.service.receiver.partial.room() is not None
    if way == "copied":
        ends.service.receive(b"")
    else:
        ends.service.receiver.receive_in_place(0)
    assert ends.service.inbox == [StreamEnded()]


def test_a_request_with_another_signature_is_answered_and_not_decoded(clock: Any, ends: Ends) -> None:
    ends.service.receive(trailed(clock.ClockServer.Add, b"\xff", 77, other_signature=True))
    (event,) = ends.service.inbox
    assert isinstance(event, RequestRefused)
    assert (event.magic, event.serial, event.kind) == (
        clock.ClockServer.MAGIC,
        77,
        ErrorKind.SCHEMA_MISMATCH,
    )
    assert "ClockServer.add" in event.text


def test_a_one_way_message_with_another_signature_is_dropped_and_counted(clock: Any, ends: Ends) -> None:
    for _ in range(3):
        ends.service.receive(trailed(clock.ClockServer.Log, b"", 0, other_signature=True))
    assert [(event.serial, event.name) for event in _refused(ends.service)] == [(0, "ClockServer.log")] * 3
    assert ends.service.conversation.dropped == 3


def test_an_unknown_message_is_answered_or_dropped(clock: Any, ends: Ends) -> None:
    key = wire.key_of(clock.ClockServer.MAGIC, 999)
    ends.service.receive(joined(wire.trailed_frame(key, b"what", 5, 1)))
    ends.service.receive(joined(wire.trailed_frame(key, b"what", 0, 1)))
    event, dropped = _refused(ends.service)
    assert (dropped.serial, dropped.name) == (0, "")
    assert (event.magic, event.serial, event.kind) == (
        clock.ClockServer.MAGIC,
        5,
        ErrorKind.UNKNOWN_MESSAGE,
    )
    assert ends.service.conversation.dropped == 1


def test_descriptors_of_an_undecoded_message_are_closed_and_others_are_not_touched(
    clock: Any, ends: Ends
) -> None:
    take = clock.ClockServer.TakeFiles
    mismatched, wanted = dev_null(), dev_null()
    quiet = trailed(clock.ClockServer.Log, b"", 0, other_signature=True)
    ends.service.receive(quiet + trailed(take, b"anything", 1, other_signature=True), (mismatched,))
    ends.service.receive(quiet + trailed(take, struct.pack("=I?", 1, False), 2), (wanted,))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(mismatched)
    ((_kind, _message, _to, ([file], _fail), files, _size),) = _messages(ends.service)
    assert file.fileno() == wanted
    assert files == [file]
    assert file.brought_by == "ClockServer.take_files"
    file.close()


def test_descriptors_may_come_before_their_frame_is_complete(clock: Any, ends: Ends) -> None:
    frame = trailed(clock.ClockServer.TakeFiles, struct.pack("=I?", 2, False), 2)
    first, second = dev_null(), dev_null()
    ends.service.receive(frame[:5], (first, second))
    for at in range(5, len(frame)):
        ends.service.receive(frame[at : at + 1])
    ((_kind, _message, _to, (files, _fail), _files, _size),) = _messages(ends.service)
    assert [file.fileno() for file in files] == [first, second]
    for file in files:
        file.close()


def test_messages_before_a_violation_stay_in_order(clock: Any, ends: Ends) -> None:
    _call, frame = ends.client.request(clock.ClockServer.Add, 1, 2)
    posted = ends.client.post(clock.ClockServer.Log, 1, "first")
    ends.service.receive(posted + frame + struct.pack("=I", 3))
    assert [event[0] for event in _messages(ends.service)] == [Kind.ONE_WAY, Kind.REQUEST]
    assert ends.service.violation()
    assert len(ends.service.inbox) == 3


def test_a_call_that_is_answered_wrongly_is_still_open_to_be_failed(clock: Any, ends: Ends) -> None:
    call, _reply = ends.ask(clock.ClockServer.Held, 1)
    ends.client.receive(trailed(clock.ClockServer.NothingResponse, b"", call.serial))
    assert ends.client.violation()
    assert ends.client.conversation.open_calls == {call.serial: call}


@pytest.mark.parametrize("way", ["refused", "given up"])
def test_a_large_frame_that_is_refused_or_given_up_is_not_kept(clock: Any, way: str) -> None:
    service = Ends(clock, limits=Limits(max_message_size=2 << 20)).service
    frame = trailed(clock.ClockServer.Log, struct.pack("=iI", 1, 1 << 20) + b"\xff" * (1 << 20), 0)
    receiver = service.receiver
    receiver.receive(frame[: 1 << 19])
    room = receiver.partial.room()
    assert room is not None
    if way == "refused":
        _pour(service, frame[1 << 19 :], [1 << 20], in_place=True)
        assert "ClockServer.log" in service.violation()
    else:
        receiver.receive_in_place(1000)
        receiver.release()
        assert receiver.ended
    assert (receiver.partial.missing, receiver.partial.received, receiver.partial.room()) == (0, 0, None)


def test_a_released_receiver_has_closed_its_descriptors_and_receives_no_more(clock: Any, ends: Ends) -> None:
    frame = trailed(clock.ClockServer.TakeFiles, struct.pack("=I?", 1, False), 2)
    early, late = dev_null(), dev_null()
    ends.service.receive(frame[:5], (early,))
    ends.service.receiver.release()
    ends.service.receive(frame[5:], (late,))
    assert ends.service.inbox == []
    for fd in (early, late):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
