"""Buffers and bitmaps in messages: shared rather than moved, and every descriptor owned once."""

from __future__ import annotations

import gc
import os
import struct
from typing import Any

import pytest

from ipclib import AnonymousBuffer, File, ProtocolViolation, gfx
from ipclib import generated as g
from ipclib.values.codecs import DECODE_ERRORS
from tests.ipclib.values.round_trips import decoding_of, round_trip


def _open_fds() -> int:
    gc.collect()  # What other tests left.
    return len(os.listdir("/proc/self/fd"))


def _memory(size: int, flags: int = 0) -> File:
    fd = os.memfd_create("test", flags)
    os.ftruncate(fd, size)
    return File(fd)


def test_sending_shares_a_buffer_and_keeps_it() -> None:
    before = _open_fds()
    with AnonymousBuffer.create(5) as sent, round_trip(g.anonymous_buffer, sent) as arrived:
        assert arrived.fd != sent.fd
        arrived.data[:] = b"hello"
        assert bytes(sent.data) == b"hello"
    assert _open_fds() == before


def test_an_empty_buffer_and_bitmap_arrive_empty() -> None:
    assert g.anonymous_buffer.encode(AnonymousBuffer(), []) == b"\0"
    assert not round_trip(g.anonymous_buffer, AnonymousBuffer()).is_valid
    assert not round_trip(g.shareable_bitmap, gfx.ShareableBitmap()).is_valid


def test_a_bitmap_arrives_with_its_pixels() -> None:
    sent = gfx.ShareableBitmap.create(3, 2, scale=2, format=gfx.BitmapFormat.RGBA8888)
    assert sent.pitch == 24
    assert len(sent.pixels) == 24 * 4
    sent.pixels[:4] = b"rgba"
    arrived = round_trip(g.shareable_bitmap, sent)
    assert (arrived.width, arrived.height, arrived.scale, arrived.format) == (3, 2, 2, 3)
    assert bytes(arrived.pixels) == bytes(sent.pixels)
    wire = g.shareable_bitmap.encode(sent, [])
    assert wire == b"\1" + struct.pack("=iiII", 3, 2, 2, 3)


_LIES = [
    (g.anonymous_buffer, b"\1" + struct.pack("=I", 1001)),
    (g.shareable_bitmap, b"\1" + struct.pack("=iiII", 16, 16, 1, 1)),
    (g.shareable_bitmap, b"\1" + struct.pack("=iiII", -1, -1, 1, 1)),
]
_MORE_LIES = [
    (g.anonymous_buffer, b"\1" + struct.pack("=I", 0xFFFFFFFF)),
    (g.anonymous_buffer, b"\2"),
    (g.shareable_bitmap, b"\1" + struct.pack("=iiII", 1, 1, 0, 1)),
    (g.shareable_bitmap, b"\1" + struct.pack("=iiII", 1 << 30, 0, 0xFFFFFFFF, 1)),
    (g.shareable_bitmap, b"\1" + struct.pack("=iiII", 65536, 65536, 65536, 1)),
    (g.shareable_bitmap, b"\1" + struct.pack("=iiII", 1, 1, 1, 4)),
]


@pytest.mark.parametrize(
    ("codec", "wire"), [*_LIES, *(pytest.param(*lie, marks=pytest.mark.slow) for lie in _MORE_LIES)]
)
@pytest.mark.parametrize("flags", [pytest.param(0, marks=pytest.mark.slow), os.MFD_ALLOW_SEALING])
def test_a_lie_about_memory_is_refused_and_leaks_nothing(codec: Any, wire: bytes, flags: int) -> None:
    before = _open_fds()
    decoding = decoding_of(wire, [_memory(1000, flags)])
    with pytest.raises((*DECODE_ERRORS, ProtocolViolation)):
        codec.decode(wire, 0, decoding)
    for file in decoding.files:
        file.close()
    assert _open_fds() == before


def test_a_buffer_without_its_descriptor_is_a_violation() -> None:
    wire = b"\1" + struct.pack("=I", 0)
    with pytest.raises(ProtocolViolation, match="fewer descriptors"):
        g.anonymous_buffer.decode(wire, 0, decoding_of(wire))


def test_copies_are_bounded_for_the_message_as_a_whole() -> None:
    wire = b"\1" + struct.pack("=I", 400)
    decoding = decoding_of(wire, [_memory(400) for _ in range(3)])
    decoding.max_copied = 1000
    copies = [g.anonymous_buffer.decode(wire, 0, decoding)[0] for _ in range(2)]
    assert [copy.size for copy in copies] == [400, 400]
    with pytest.raises(ValueError, match="at most 200"):
        g.anonymous_buffer.decode(wire, 0, decoding)
    for file in decoding.files:
        file.close()
    decoding.check_files()
    decoding.files = [_memory(400)]
    assert g.anonymous_buffer.decode(wire, 0, decoding)[0].size == 400


def test_a_bitmap_needs_a_buffer_that_is_large_enough() -> None:
    with pytest.raises(ValueError, match="3x3 pixels at scale 1 do not fit 35 bytes"):
        gfx.ShareableBitmap(AnonymousBuffer.create(35), 3, 3)
    with pytest.raises(ValueError, match="no bitmap is -1x1"):
        gfx.ShareableBitmap.create(-1, 1)


def test_a_colour_is_its_argb_number() -> None:
    assert gfx.Color(17, 34, 51, 68).argb == 0x44112233
    assert gfx.Color.from_argb(0x44112233) == gfx.Color(17, 34, 51, 68)
    with pytest.raises(ValueError, match=r"Color\.b is an int from 0 to 255, not 256"):
        gfx.Color(0, 0, 256)
