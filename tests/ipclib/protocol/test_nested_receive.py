"""A class's own decode() may make turns and so receive more: nothing is lost or doubled, whatever the cut."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipclib import Decoder, Encoder, File, PeerDisconnected
from ipclib.protocol.events import PeerViolated, StreamEnded
from ipclib.protocol.message import Endpoint, Kind, OneWay, Request, Response
from ipclib.values import codecs
from ipclib.values.coder import OwnCodec
from ipclib.values.decoding import Buffer, Decoding, Files
from tests.ipclib.protocol.two_ends import End, bare, dev_null, joined, trailed


class Item:
    """A number that writes and reads itself, and does something else meanwhile."""

    while_decoding: Callable[[int], object]
    """Called with each number; set by the test."""

    def __init__(self, number: int) -> None:
        self.number = number

    def encode(self, encoder: Encoder) -> None:
        encoder.u32(self.number)

    @classmethod
    def decode(cls, decoder: Decoder) -> Item:
        item = cls(decoder.u32())
        Item.while_decoding(item.number)
        return item


_ITEM = OwnCodec(Item)


def _encode(files: Files, item: Item, padding: bytes) -> bytes:
    return _ITEM.encode(item, files) + codecs.byte_string.encode(padding, files)


def _decode(data: Buffer, at: int, decoding: Decoding) -> tuple[tuple[Any, ...], int]:
    item, at = _ITEM.decode(data, at, decoding)
    padding, at = codecs.byte_string.decode(data, at, decoding)
    return (item, padding), at


class Asked(Endpoint):
    """What is called and served here."""

    MAGIC = 77

    class Note(OneWay, magic=77, id=1, name="Asked.note", signature=1):
        __slots__ = ("item", "padding")
        _codecs = (_ITEM, codecs.byte_string)
        _encode = staticmethod(_encode)
        _decode = staticmethod(_decode)

    class Ask(Request[Any], magic=77, id=2, name="Asked.ask", signature=2):
        __slots__ = ("item", "padding")
        _codecs = (_ITEM, codecs.byte_string)
        _encode = staticmethod(_encode)
        _decode = staticmethod(_decode)

    class AskResponse(Response, request=Ask):
        __slots__ = ("item", "padding")
        _codecs = (_ITEM, codecs.byte_string)
        _encode = staticmethod(_encode)
        _decode = staticmethod(_decode)

    class Give(OneWay, magic=77, id=4, name="Asked.give", signature=4, holds_files=True):
        __slots__ = ("file", "item")
        _codecs = (_ITEM, codecs.file)

        @staticmethod
        def _encode(files: Files, item: Item, file: File) -> bytes:
            return _ITEM.encode(item, files) + codecs.file.encode(file, files)

        @staticmethod
        def _decode(data: Buffer, at: int, decoding: Decoding) -> tuple[tuple[Any, ...], int]:
            item, at = _ITEM.decode(data, at, decoding)
            file, at = codecs.file.decode(data, at, decoding)
            return (item, file), at


class Stream:
    """Bytes on their way to an end, received piece by piece; decoding some numbers receives more pieces."""

    def __init__(
        self, data: bytes, cuts: list[int], nested: dict[int, int], *, in_place: bool = True
    ) -> None:
        self.end = End(Endpoint, Asked)
        self._data = data
        self._at = 0
        self._cuts = self._sizes(cuts)
        self._nested = dict(nested)
        self._in_place = in_place
        Item.while_decoding = self._receive_more

    def receive_all(self) -> None:
        while self._at < len(self._data):
            self._receive_piece()

    def _sizes(self, cuts: list[int]) -> Iterator[int]:
        while True:
            yield from cuts

    def _receive_more(self, number: int) -> None:
        for _ in range(self._nested.pop(number, 0)):
            if self._at < len(self._data):
                self._receive_piece()

    def _receive_piece(self) -> None:
        receiver = self.end.receiver
        size = next(self._cuts)
        room = receiver.partial.room() if self._in_place and receiver.partial.missing else None
        if room is None:
            piece = self._data[self._at : self._at + size]
            self._at += len(piece)
            receiver.receive(piece)
        else:
            count = min(size, len(room), len(self._data) - self._at)
            room[:count] = self._data[self._at : self._at + count]
            room.release()
            self._at += count
            receiver.receive_in_place(count)


def _notes(paddings: list[int]) -> bytes:
    return b"".join(
        trailed(Asked.Note, _encode([], Item(number), bytes([number % 256]) * size), 0)
        for number, size in enumerate(paddings)
    )


def _arrived(end: End) -> list[tuple[int, bytes]]:
    return [(event[3][0].number, event[3][1]) for event in end.inbox if isinstance(event, tuple)]


_PADDINGS = st.lists(st.integers(0, 40) | st.sampled_from([20_000, 70_000, 200_000]), min_size=1, max_size=12)
_CUTS = st.lists(st.integers(1, 120) | st.sampled_from([5_000, 40_000, 150_000]), min_size=1, max_size=12)
_NESTED = st.dictionaries(st.integers(0, 11), st.integers(1, 4))


def _affordable(cuts: list[int], data: bytes) -> list[int]:
    """The same cuts, with a large one if the stream would take too many pieces."""
    return cuts if sum(cuts) * 200 > len(data) * len(cuts) else [*cuts, 100_000]


@pytest.mark.parametrize("in_place", [True, False])
@settings(deadline=None)  # The collector and the loop take their time.
@given(paddings=_PADDINGS, cuts=_CUTS, nested=_NESTED)
def test_nested_receives_lose_and_double_nothing(
    in_place: bool, paddings: list[int], cuts: list[int], nested: dict[int, int]
) -> None:
    data = _notes(paddings)
    stream = Stream(data, _affordable(cuts, data), nested, in_place=in_place)
    stream.receive_all()
    expected = [(number, bytes([number]) * size) for number, size in enumerate(paddings)]
    arrived = _arrived(stream.end)
    assert sorted(arrived) == expected
    assert [each for each in arrived if each[0] not in nested] == [
        each for each in expected if each[0] not in nested
    ], "those that were not interrupted are in order"
    receiver = stream.end.receiver
    assert (receiver.frames_received, receiver.bytes_received) == (len(paddings), len(data))
    assert (receiver.partial.received, receiver.ended) == (0, False)


@settings(deadline=None)  # The collector and the loop take their time.
@given(paddings=_PADDINGS, cuts=_CUTS, nested=_NESTED, cut_off=st.integers(1, 11))
def test_a_frame_that_has_begun_at_the_end_is_kept(
    paddings: list[int], cuts: list[int], nested: dict[int, int], cut_off: int
) -> None:
    data = _notes(paddings)
    stream = Stream(data[:-cut_off], _affordable(cuts, data), nested)
    stream.receive_all()
    receiver = stream.end.receiver
    assert receiver.frames_received == len(paddings) - 1
    assert (receiver.partial.missing > 0, receiver.partial.received > 0) == (True, True)
    receiver.receive(data[-cut_off:])
    assert sorted(number for number, _padding in _arrived(stream.end)) == list(range(len(paddings)))
    assert receiver.bytes_received == len(data)


@settings(deadline=None)  # The collector and the loop take their time.
@given(paddings=_PADDINGS, cuts=_CUTS, nested=_NESTED)
def test_a_violation_in_a_nested_receive_ends_the_stream_once(
    paddings: list[int], cuts: list[int], nested: dict[int, int]
) -> None:
    data = _notes(paddings) + struct.pack("=IQ", 3, 0) + _notes(paddings)
    stream = Stream(data, _affordable(cuts, data), nested)
    stream.receive_all()
    inbox = stream.end.inbox
    assert sum(isinstance(event, PeerViolated) for event in inbox) == 1
    assert sorted(number for number, _padding in _arrived(stream.end)) == list(range(len(paddings)))
    assert stream.end.receiver.ended
    assert stream.end.receiver.frames_received == len(paddings)


@pytest.mark.parametrize("piece", [10, 1000])
def test_an_outer_message_that_is_refused_after_a_nested_receive_is_a_violation(piece: int) -> None:
    """The rest of the outer frame is read only after the nested receive, and is no byte string."""
    broken = trailed(Asked.Note, struct.pack("=II", 0, 500), 0)
    stream = Stream(broken + _notes([0, 0])[32:], [len(broken), piece], {0: 3})
    stream.receive_all()
    assert isinstance(stream.end.inbox[-1], PeerViolated)
    assert stream.end.receiver.ended
    events = len(stream.end.inbox)
    stream.end.receive(_notes([1]))
    assert len(stream.end.inbox) == events


@pytest.mark.parametrize("end", ["receive", "receive_in_place"])
def test_the_stream_s_end_in_a_nested_receive_is_the_end(end: str) -> None:
    receiving = End(Endpoint, Asked)
    receiver = receiving.receiver

    def end_stream(number: int) -> None:
        if number == 1:
            {
                "receive": lambda: receiver.receive(b""),
                "receive_in_place": lambda: receiver.receive_in_place(0),
            }[end]()

    Item.while_decoding = end_stream
    receiving.receive(_notes([0, 0, 0]))
    assert _arrived(receiving)[0] == (0, b"")
    assert StreamEnded() in receiving.inbox
    assert receiver.ended


def test_messages_that_had_come_before_the_stream_s_end_are_not_lost() -> None:
    """The end is read in a nested turn, when the frames after the one being decoded had come already."""
    receiving = End(Endpoint, Asked)
    Item.while_decoding = lambda number: receiving.receive(b"") if number == 1 else None
    receiving.receive(_notes([0, 0, 0, 0]))
    assert sorted(number for number, _padding in _arrived(receiving)) == [0, 1, 2, 3]
    assert receiving.inbox[-1] == StreamEnded()


def test_a_receiver_that_is_released_while_it_decodes_receives_no_more() -> None:
    receiving = End(Endpoint, Asked)
    Item.while_decoding = lambda number: receiving.receiver.release() if number == 1 else None
    receiving.receive(_notes([0, 0, 0]))
    assert {number for number, _padding in _arrived(receiving)} <= {0, 1}
    receiving.receive(_notes([0]))
    assert len(_arrived(receiving)) <= 2


def test_bare_answers_settle_their_own_calls() -> None:
    """Bare answers to one message belong to its calls in the order of the stream, not of the decoding."""
    client = End(Asked, Endpoint, trailers=False)
    Item.while_decoding = lambda number: None
    first, second = [client.request(Asked.Ask, Item(number), b"")[0] for number in range(2)]
    late = bare(Asked.AskResponse, _encode([], Item(2), b""))
    Item.while_decoding = lambda number: client.receive(late) if number == 1 else None
    client.receive(bare(Asked.AskResponse, _encode([], Item(1), b"")))
    settled = {event[2]: event[3][0].number for event in client.inbox if isinstance(event, tuple)}
    assert settled == {first: 1, second: 2}


def test_bare_requests_are_answered_in_the_order_of_the_stream() -> None:
    service = End(Endpoint, Asked)
    late = bare(Asked.Ask, _encode([], Item(2), b""))
    Item.while_decoding = lambda number: service.receive(late) if number == 1 else None
    service.receive(bare(Asked.Ask, _encode([], Item(1), b"")))
    places = {event[3][0].number: event[2] for event in service.inbox if isinstance(event, tuple)}
    ask = Asked.Ask.__ipc__
    assert service.conversation.answer(ask, places[2], (Item(2), b"")) == []
    frames = service.conversation.answer(ask, places[1], (Item(1), b""))
    numbers = [struct.unpack_from("=I", joined(frame), 12)[0] for frame, _files in frames]
    assert numbers == [1, 2]


def test_descriptors_stay_with_the_message_that_they_came_with() -> None:
    service = End(Endpoint, Asked)
    first, second = dev_null(), dev_null()
    late = trailed(Asked.Give, struct.pack("=I", 2), 0)
    Item.while_decoding = lambda number: service.receive(late, (second,)) if number == 1 else None
    service.receive(trailed(Asked.Give, struct.pack("=I", 1), 0), (first,))
    files = {event[3][0].number: event[3][1] for event in service.inbox if isinstance(event, tuple)}
    assert {number: file.fileno() for number, file in files.items()} == {1: first, 2: second}
    for file in files.values():
        file.close()


def test_descriptors_that_are_not_taken_yet_are_no_violation_for_a_nested_receive() -> None:
    service = End(Endpoint, Asked)
    fd = dev_null()
    Item.while_decoding = lambda number: service.receive(_notes([0])) if number == 1 else None
    service.receive(trailed(Asked.Give, struct.pack("=I", 1), 0), (fd,))
    assert not service.receiver.ended
    (file,) = [event[3][1] for event in service.inbox if isinstance(event, tuple) if event[1].holds_files]
    assert file.fileno() == fd
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_call_that_is_answered_while_its_answer_is_decoded_is_settled_once() -> None:
    """The peer answers one serial twice, the second time within the decoding of the first."""
    client = End(Asked, Endpoint)
    Item.while_decoding = lambda number: None
    call, _frame = client.request(Asked.Ask, Item(0), b"")
    again = trailed(Asked.AskResponse, _encode([], Item(2), b""), call.serial)
    Item.while_decoding = lambda number: client.receive(again) if number == 1 else None
    client.receive(trailed(Asked.AskResponse, _encode([], Item(1), b""), call.serial))
    answers = [event for event in client.inbox if isinstance(event, tuple)]
    assert [(event[0], event[2]) for event in answers] == [(Kind.RESPONSE, call)]
    assert sum(isinstance(event, PeerViolated) for event in client.inbox) == 1
    assert client.receiver.ended


def test_a_call_that_is_closed_while_its_answer_is_decoded_fails() -> None:
    client = End(Asked, Endpoint)
    Item.while_decoding = lambda number: None
    call, _frame = client.request(Asked.Ask, Item(0), b"")
    Item.while_decoding = lambda number: client.conversation.close()
    client.receive(trailed(Asked.AskResponse, _encode([], Item(1), b""), call.serial))
    assert isinstance(call.error, PeerDisconnected)


def test_a_call_that_is_closed_while_its_answer_is_found_wrong_fails() -> None:
    client = End(Asked, Endpoint)
    Item.while_decoding = lambda number: None
    call, _frame = client.request(Asked.Ask, Item(0), b"")
    Item.while_decoding = lambda number: client.conversation.close()
    client.receive(trailed(Asked.AskResponse, struct.pack("=II", 1, 500), call.serial))
    assert isinstance(call.error, PeerDisconnected)


def test_a_call_stays_open_when_the_decoding_of_its_answer_is_interrupted() -> None:
    """Ctrl-C, or the cancellation of a coroutine that pumps the loop."""

    def interrupt(number: int) -> None:
        raise KeyboardInterrupt

    client = End(Asked, Endpoint)
    Item.while_decoding = lambda number: None
    call, _frame = client.request(Asked.Ask, Item(0), b"")
    Item.while_decoding = interrupt
    with pytest.raises(KeyboardInterrupt):
        client.receive(trailed(Asked.AskResponse, _encode([], Item(1), b""), call.serial))
    assert client.conversation.open_calls == {call.serial: call} or call.settled
    assert client.conversation.close() == [call] or call.settled


def test_a_call_that_is_given_up_while_its_answer_is_decoded_is_not_answered() -> None:
    client = End(Asked, Endpoint)
    Item.while_decoding = lambda number: None
    call, _frame = client.request(Asked.Ask, Item(0), b"")
    Item.while_decoding = lambda number: client.conversation.abandon(call)
    client.receive(trailed(Asked.AskResponse, _encode([], Item(1), b""), call.serial))
    assert client.inbox == []
    assert (client.conversation.abandoned, client.conversation.open_calls) == (0, {})
