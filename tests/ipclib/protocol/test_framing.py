"""Frames come whole out of any cut of the stream, and a size is judged before anything is kept for it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import Limits, ProtocolViolation
from ipclib.protocol.framing import TAG, FrameReader, bare_frame, trailed_frame
from ipclib.values.codecs import Buffer

_BODIES = st.lists(st.binary(min_size=8, max_size=300), max_size=20)


@given(_BODIES, st.lists(st.integers(1, 100), min_size=1))
def test_any_cut_gives_the_same_frames(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(struct.pack("=I", len(body)) + body for body in bodies)
    reader = FrameReader(Limits())
    frames: list[bytes] = []
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        reader.feed(
            stream[at : at + size],
            lambda _key, buffer, start, end: frames.append(bytes(buffer[start + 4 : end])),
        )
        at += size
        turn += 1
    assert frames == bodies
    assert (reader.missing, reader.received) == (0, len(stream))


@pytest.mark.parametrize("size", [0, 7, 101, 0xFFFFFFFF])
def test_a_size_out_of_bounds_is_refused(size: int) -> None:
    reader = FrameReader(Limits(max_message_size=100))
    with pytest.raises(ProtocolViolation, match=f"a frame of {size} bytes; allowed are 8 to 100"):
        reader.feed(struct.pack("=I", size), pytest.fail)


def test_what_is_missing_is_known_from_the_size_on() -> None:
    reader = FrameReader(Limits())
    reader.feed(b"\x10\0", pytest.fail)
    assert reader.missing == 2
    reader.feed(b"\0\0a", pytest.fail)
    assert reader.missing == 15


def test_header_and_trailer() -> None:
    assert bare_frame(0x0000000200000001, b"ab") == struct.pack("=IIi", 10, 1, 2) + b"ab"
    trailed = struct.pack("=IIi", 22, 1, 2) + b"ab" + struct.pack("=III", 7, 9, TAG)
    assert trailed_frame(0x0000000200000001, b"ab", 7, 9) == trailed
    assert trailed_frame(0x0000000200000001, (b"a", b"b"), 7, 9) == trailed


def test_a_large_payload_is_not_copied_together() -> None:
    large = bytes(100_000)
    pieces = trailed_frame(1, (b"head", large), 1, 1)
    assert isinstance(pieces, tuple)
    assert pieces[2] is large


@given(
    st.lists(st.binary(min_size=8, max_size=100) | st.integers(1 << 15, 1 << 17).map(bytes), max_size=6),
    st.lists(st.integers(900, 70_000), min_size=1),
)
def test_what_is_received_in_place_gives_the_same_frames(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(struct.pack("=I", len(body)) + body for body in bodies)
    reader = FrameReader(Limits())
    frames: list[bytes] = []

    def take(_key: int, buffer: Buffer, start: int, end: int) -> None:
        frames.append(bytes(buffer[start + 4 : end]))

    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        room = reader.room()
        if room is None:
            data: Buffer = stream[at : at + size]
        else:
            size = min(size, len(room))
            room[:size] = stream[at : at + size]
            data = room[:size]
        reader.feed(data, take)
        at += size
        turn += 1
    assert frames == bodies
    assert (reader.missing, reader.received, reader.room()) == (0, len(stream), None)


def test_a_size_alone_gets_no_memory() -> None:
    reader = FrameReader(Limits())
    reader.feed(struct.pack("=I", 50 << 20) + bytes(1000), pytest.fail)
    assert reader.room() is None
    reader.feed(bytes(1 << 20), pytest.fail)
    room = reader.room()
    assert room is not None
    assert len(room) <= 4 << 20


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_frame_that_is_refused_or_given_up_is_not_kept(is_whole: bool) -> None:
    def refuse(*_frame: object) -> None:
        raise ProtocolViolation("refused")

    size = 1 << 20
    reader = FrameReader(Limits())
    reader.feed(struct.pack("=I", size) + bytes(size // 2), refuse)
    room = reader.room()
    assert room is not None
    if is_whole:
        with pytest.raises(ProtocolViolation):
            reader.feed(room, refuse)
    else:
        reader.feed(room[:1000], refuse)
        reader.clear()
    assert (reader.missing, len(reader._partial)) == (0, 0)
