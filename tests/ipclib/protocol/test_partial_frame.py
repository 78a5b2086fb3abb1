"""The frame that has begun: its size is judged before it is kept; large frames are received in place."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import ProtocolViolation
from ipclib.protocol.partial_frame import PartialFrame, recycle

LARGEST = 64 << 20
_BODIES = st.lists(st.binary(min_size=8, max_size=300), max_size=20)


class Reader:
    """Takes frames out of a stream by way of one PartialFrame, as a receiver does."""

    def __init__(self) -> None:
        self.partial = PartialFrame(LARGEST)
        self.frames: list[bytes] = []

    def read(self, stream: bytes, at: int, size: int) -> int:
        """Receive at most `size` bytes of the stream from an offset; return how many there were."""
        room = self.partial.room()
        if room is not None:
            count = min(size, len(room), len(stream) - at)
            room[:count] = stream[at : at + count]
            self.partial.add_in_place(count)
        else:
            data = stream[at : at + size]
            count = len(data)
            if not self.partial.received:
                self._take_apart(data)
                return count
            self.partial.add(data)
        if not self.partial.missing:
            taken = self.partial.take()
            self._take_apart(taken)
            recycle(taken)
        return count

    def _take_apart(self, data: bytes | memoryview) -> None:
        at = 0
        while len(data) - at >= 4:
            (size,) = struct.unpack_from("=I", data, at)
            if at + 4 + size > len(data):
                break
            self.frames.append(bytes(data[at + 4 : at + 4 + size]))
            at += 4 + size
        if at < len(data):
            self.partial.begin(data, at)


def _stream(bodies: list[bytes]) -> bytes:
    return b"".join(struct.pack("=I", len(body)) + body for body in bodies)


def _read_all(stream: bytes, cuts: list[int]) -> Reader:
    reader = Reader()
    at = turn = 0
    while at < len(stream):
        at += reader.read(stream, at, cuts[turn % len(cuts)])
        turn += 1
    return reader


@given(_BODIES, st.lists(st.integers(1, 100), min_size=1))
def test_any_cut_gives_the_same_frames(bodies: list[bytes], cuts: list[int]) -> None:
    reader = _read_all(_stream(bodies), cuts)
    assert reader.frames == bodies
    assert (reader.partial.missing, reader.partial.received) == (0, 0)


@given(
    st.lists(st.binary(min_size=8, max_size=100) | st.integers(1 << 15, 1 << 17).map(bytes), max_size=6),
    st.lists(st.integers(900, 70_000), min_size=1),
)
def test_frames_that_are_received_in_place_are_the_same(bodies: list[bytes], cuts: list[int]) -> None:
    reader = _read_all(_stream(bodies), cuts)
    assert reader.frames == bodies
    assert (reader.partial.missing, reader.partial.received, reader.partial.room()) == (0, 0, None)


@pytest.mark.parametrize("size", [0, 7, 101, 0xFFFFFFFF])
def test_a_size_out_of_bounds_is_refused_and_nothing_is_kept(size: int) -> None:
    partial = PartialFrame(100)
    with pytest.raises(ProtocolViolation, match=f"a frame of {size} bytes; allowed are 8 to 100"):
        partial.begin(struct.pack("=I", size), 0)
    assert (partial.missing, partial.received) == (0, 0)


@pytest.mark.parametrize("size", [8, 100])
def test_a_size_at_its_bounds_is_kept(size: int) -> None:
    partial = PartialFrame(100)
    partial.begin(struct.pack("=I", size), 0)
    assert partial.missing == size


def test_the_missing_bytes_are_known_from_the_size_on() -> None:
    partial = PartialFrame(LARGEST)
    partial.begin(b"before\x10\0", 6)
    assert (partial.missing, partial.received) == (2, 2)
    partial.add(b"\0\0")
    assert (partial.missing, partial.received) == (0, 4), "the size is complete, and to be looked at again"
    taken = partial.take()
    assert (bytes(taken), partial.missing, partial.received) == (b"\x10\0\0\0", 0, 0)
    partial.begin(b"\x10\0\0\0a", 0)
    assert partial.missing == 15


def test_bytes_of_further_frames_are_taken_along() -> None:
    partial = PartialFrame(LARGEST)
    partial.begin(b"\x08\0\0\0abcd", 0)
    partial.add(b"efghnext")
    assert partial.missing == 0
    taken = partial.take()
    assert taken == b"\x08\0\0\0abcdefghnext"
    assert taken.readonly


def test_a_small_frame_has_no_room_of_its_own() -> None:
    partial = PartialFrame(LARGEST)
    assert partial.room() is None
    partial.begin(struct.pack("=I", 10_000) + bytes(5_000), 0)
    assert partial.room() is None


def test_a_size_alone_allocates_nothing() -> None:
    partial = PartialFrame(LARGEST)
    partial.begin(struct.pack("=I", 50 << 20) + bytes(1000), 0)
    assert partial.room() is None
    partial.add(bytes(1 << 20))
    room = partial.room()
    assert room is not None
    assert len(room) <= 4 << 20


def test_room_ends_with_the_frame_and_moves_on_with_what_is_added() -> None:
    size = 100_000
    partial = PartialFrame(LARGEST)
    partial.begin(struct.pack("=I", size) + bytes(40_000), 0)
    room = partial.room()
    assert room is not None
    assert len(room) == size - 40_000 == partial.missing
    room[:3] = b"abc"
    room.release()
    partial.add_in_place(3)
    assert (partial.missing, partial.received) == (size - 40_003, 40_007)
    room = partial.room()
    assert room is not None
    assert len(room) == size - 40_003
    room[:] = bytes(len(room))
    room.release()
    partial.add_in_place(size - 40_003)
    assert partial.missing == 0
    assert bytes(partial.take()[40_004:40_008]) == b"abc\0"


def test_bytes_may_be_added_by_copy_although_there_is_room() -> None:
    size = 100_000
    partial = PartialFrame(LARGEST)
    partial.begin(struct.pack("=I", size) + bytes(40_000), 0)
    assert partial.room() is not None
    partial.add(b"x" * 60_000 + b"next")
    assert partial.missing == 0
    assert bytes(partial.take()[40_004:]) == b"x" * 60_000 + b"next"


def _large_frame(size: int, fill: bytes = b"\0", then: Callable[[PartialFrame], object] = recycle) -> int:
    """Receive a large frame in place; return the address-like identity of its memory."""
    partial = PartialFrame(LARGEST)
    partial.begin(struct.pack("=I", size) + fill * (size // 2), 0)
    while partial.missing:
        room = partial.room()
        assert room is not None
        room[:] = fill * len(room)
        partial.add_in_place(len(room))
        room.release()
    taken = partial.take()
    assert taken == struct.pack("=I", size) + fill * size
    buffer = id(taken.obj)
    then(taken)  # type: ignore[arg-type]
    return buffer


def test_the_memory_of_a_handled_frame_is_used_again() -> None:
    first = _large_frame(1 << 20)
    assert _large_frame(1 << 20, b"x") == first
    assert _large_frame(700_000, b"y") == first, "also for a smaller one, which ends where it ends"


def test_memory_is_not_shared_while_it_is_in_use() -> None:
    _large_frame(1 << 20)
    size = 1 << 19
    partials = [PartialFrame(LARGEST) for _ in range(3)]
    for number, partial in enumerate(partials):
        partial.begin(struct.pack("=I", size) + bytes([number]) * (size // 2), 0)
    rooms = [partial.room() for partial in partials]
    assert len({id(room.obj) for room in rooms if room is not None}) == 3
    for number, (partial, room) in enumerate(zip(partials, rooms, strict=True)):
        assert room is not None
        room[:] = bytes([number]) * len(room)
        partial.add_in_place(len(room))
        room.release()
    taken = [partial.take() for partial in partials]
    for number, frame in enumerate(taken):
        assert frame[4:] == bytes([number]) * size
    recycle(taken[0])
    _large_frame(size, b"z")
    for number, frame in list(enumerate(taken))[1:]:
        assert frame[4:] == bytes([number]) * size, "it was not recycled"


def test_memory_that_is_not_recycled_is_not_used_again() -> None:
    kept: list[object] = []
    _large_frame(1 << 20, b"a", kept.append)
    _large_frame(1 << 20, b"b")
    (frame,) = kept
    assert frame[4:] == b"a" * (1 << 20)  # type: ignore[index]


@pytest.mark.parametrize("size", [1000, 40 << 20])
def test_small_and_huge_memory_is_not_kept(size: int) -> None:
    """A huge buffer would stay for ever, as one that is kept is never freed."""
    first = memoryview(bytearray(size))
    recycle(first)
    partial = PartialFrame(LARGEST)
    partial.begin(struct.pack("=I", 1 << 20) + bytes(1 << 19), 0)
    room = partial.room()
    assert room is not None
    assert room.obj is not first.obj


def test_a_frame_that_is_given_up_is_not_kept() -> None:
    size = 1 << 20
    partial = PartialFrame(LARGEST)
    partial.begin(struct.pack("=I", size) + bytes(size // 2), 0)
    room = partial.room()
    assert room is not None
    partial.add_in_place(1000)
    partial.clear()
    assert (partial.missing, partial.received, partial.room()) == (0, 0, None)
    assert bytes(partial.take()) == b""
