"""Layouts: what a frame's bytes are, and what large payloads are spared."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipclib import ErrorKind, ProtocolViolation
from ipclib.protocol import wire
from tests.ipclib.protocol.two_ends import joined


def test_a_bare_frame_is_a_header_and_the_payload() -> None:
    assert wire.bare_frame(wire.key_of(1, 2), b"ab") == struct.pack("=IIi", 10, 1, 2) + b"ab"
    assert wire.bare_frame(wire.key_of(1, 2), (b"a", b"b")) == struct.pack("=IIi", 10, 1, 2) + b"ab"


def test_a_trailed_frame_ends_in_serial_signature_and_tag() -> None:
    trailed = struct.pack("=IIi", 22, 1, 2) + b"ab" + struct.pack("=III", 7, 9, wire.TAG)
    assert wire.trailed_frame(wire.key_of(1, 2), b"ab", 7, 9) == trailed
    assert wire.trailed_frame(wire.key_of(1, 2), (b"a", b"b"), 7, 9) == trailed
    assert (wire.frame_length(trailed), wire.size_of(trailed)) == (26, 22)


@given(st.integers(0, 0xFFFFFFFF), st.integers(-(1 << 31), (1 << 31) - 1))
def test_a_key_is_the_eight_bytes_of_magic_and_id(magic: int, id: int) -> None:
    assert wire.magic_and_id(wire.key_of(magic, id)) == (magic, id)
    assert joined(wire.bare_frame(wire.key_of(magic, id), b""))[4:] == struct.pack("=Ii", magic, id)


def test_a_key_is_the_number_that_a_header_unpacks_to() -> None:
    assert wire.key_of(1, 2) == 0x0000000200000001


def test_a_large_payload_is_not_copied_together() -> None:
    large = bytes(100_000)
    trailed = wire.trailed_frame(1, (b"head", large), 1, 1)
    assert isinstance(trailed, tuple)
    assert trailed[2] is large
    assert (wire.frame_length(trailed), wire.size_of(trailed)) == (100_028, 100_024)
    bare = wire.bare_frame(1, (b"head", large))
    assert isinstance(bare, tuple)
    assert bare[2] is large


@pytest.mark.parametrize("size", [0, 11, 12, 23, 24, 25, 100])
def test_a_frame_has_a_trailer_if_it_ends_in_the_tag_and_is_long_enough(size: int) -> None:
    frame = bytes(max(0, size - 4)) + struct.pack("=I", wire.TAG)[: min(size, 4)]
    around = b"before" + frame + b"after"
    assert len(frame) == size
    assert wire.has_trailer(around, 6, 6 + size) is (size >= wire.SMALLEST_TRAILED)
    assert not wire.has_trailer(bytes(200), 6, 6 + size)


@given(
    st.integers(1, 0xFFFFFFFF), st.sampled_from(ErrorKind), st.text(st.characters(exclude_categories=["Cs"]))
)
def test_a_failure_comes_back_as_it_was_packed(serial: int, kind: ErrorKind, text: str) -> None:
    frame = wire.pack_failure(5, serial, kind, text)
    assert struct.unpack_from("=IIi", frame) == (len(frame) - 4, 5, wire.FAILURE_ID)
    assert wire.parse_failure(b"x" + frame, 1, 1 + len(frame)) == (serial, kind, text)


def test_a_failure_s_text_that_is_no_utf8_is_replaced() -> None:
    frame = wire.pack_failure(5, 1, ErrorKind.HANDLER_RAISED, "a\udcffb")
    assert wire.parse_failure(frame, 0, len(frame))[2] == "a?b"


@given(st.integers(0, 0xFFFFFFFF))
def test_frames_of_one_serial_come_back_as_they_were_packed(serial: int) -> None:
    cancel, describe = wire.pack_cancel(5, serial), wire.pack_describe(5, serial)
    assert cancel == struct.pack("=IIiI", 12, 5, wire.CANCEL_ID, serial)
    assert describe == struct.pack("=IIiI", 12, 5, wire.DESCRIBE_ID, serial)
    assert wire.parse_cancel(b"x" + cancel, 1, 17) == serial
    assert wire.parse_describe(b"x" + describe, 1, 17) == serial


@given(st.integers(0, 0xFFFFFFFF), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_description_comes_back_as_it_was_packed(serial: int, schema: str) -> None:
    frame = wire.pack_description(0, serial, schema)
    assert struct.unpack_from("=IIi", frame) == (len(frame) - 4, 0, wire.DESCRIPTION_ID)
    assert wire.parse_description(b"x" + frame, 1, 1 + len(frame)) == (serial, schema)


_PARSERS = [wire.parse_failure, wire.parse_cancel, wire.parse_describe, wire.parse_description]


@pytest.mark.parametrize("parse", _PARSERS, ids=lambda parse: parse.__name__)
@given(payload=st.binary(max_size=30))
def test_any_control_frame_is_parsed_or_refused(parse: object, payload: bytes) -> None:
    frame = wire.HEADER.pack(8 + len(payload), 1) + payload
    for data in (frame, frame + b"next frame"):
        with contextlib.suppress(ProtocolViolation):
            parse(data, 0, len(frame))  # type: ignore[operator]


def test_a_control_frame_whose_text_ends_elsewhere_is_refused() -> None:
    for frame, parse in (
        (wire.pack_failure(5, 1, ErrorKind.REFUSED, "text"), wire.parse_failure),
        (wire.pack_description(5, 1, "text"), wire.parse_description),
    ):
        for end in (len(frame) - 1, len(frame) + 1):
            with pytest.raises(ProtocolViolation, match="its text does not end where the frame ends"):
                parse(frame + b"x", 0, end)
