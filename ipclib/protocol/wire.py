"""Owns the layout of every frame: header, trailer and control frames, their ids, packing and parsing.
Must not know message classes, calls, sockets or loops. docs/wire.md specifies the same layout.
"""

from __future__ import annotations

from struct import Struct

from ipclib.errors import ErrorKind, ProtocolViolation
from ipclib.values.codecs import DECODE_ERRORS, Payload
from ipclib.values.decoding import Buffer

SIZE = Struct("=I")
"""The first field of a frame: how many bytes follow it."""
HEADER = Struct("=IQ")
"""Size and key; the key is magic and id."""
TRAILER = Struct("=III")
"""Serial, signature, tag."""
SERIAL = Struct("=I")
"""The first field of a trailer."""
TAG = 0x4950432B
"""The last four bytes of every frame with a trailer."""

SMALLEST_SIZE = HEADER.size - SIZE.size
"""The size of a frame without payload."""
SMALLEST_TRAILED = HEADER.size + TRAILER.size
"""Bytes of a whole frame with a trailer and no payload."""
AROUND_TRAILED = SMALLEST_TRAILED - SIZE.size
"""The difference between the size of a frame with a trailer and the bytes of its payload."""
NO_SERIAL = 0
"""The serial of a one-way message."""
HIGHEST_SERIAL = 0xFFFFFFFF

FIRST_MESSAGE_ID = 1
"""Ids below are those of control frames."""
FAILURE_ID = 0
CANCEL_ID = -1
DESCRIBE_ID = -2
DESCRIPTION_ID = -3
LONGEST_ERROR_TEXT = 16 * 1024
"""Bytes of text in an error frame."""
EVERY_ENDPOINT = 0
"""The magic by which a Describe frame asks for all endpoints."""

ID = Struct("=i")
"""The last field of a header, which is the upper half of the key."""

_MAGIC_AND_ID = Struct("=Ii")
_KEY = Struct("=Q")
_FAILURE = Struct("=IBI")
_DESCRIPTION = Struct("=II")
# Bytes. The pieces of a larger frame are not copied together.
_JOINED_UP_TO = 16 * 1024


def key_of(magic: int, id: int) -> int:
    """Magic and id as one integer, whose eight bytes are theirs in a header."""
    (key,) = _KEY.unpack(_MAGIC_AND_ID.pack(magic, id))
    return int(key)


def magic_and_id(key: int) -> tuple[int, int]:
    """The magic and id that a key is made of."""
    magic, id = _MAGIC_AND_ID.unpack(_KEY.pack(key))
    return magic, id


def response_id(id: int) -> int:
    """The id of the answer to the request with this id."""
    return id + 1


# Frames of messages


def bare_frame(key: int, payload: Payload) -> Payload:
    """A frame without a trailer, as LibIPC writes it."""
    if isinstance(payload, bytes):
        return HEADER.pack(len(payload) + SMALLEST_SIZE, key) + payload
    size = sum(map(len, payload)) + SMALLEST_SIZE
    return joined_if_small(size, HEADER.pack(size, key), *payload)


def trailed_frame(key: int, payload: Payload, serial: int, signature: int) -> Payload:
    """A frame that ends in a trailer. A large payload stays in the pieces in which it was encoded."""
    if isinstance(payload, bytes):
        return (
            HEADER.pack(len(payload) + AROUND_TRAILED, key) + payload + TRAILER.pack(serial, signature, TAG)
        )
    size = sum(map(len, payload)) + AROUND_TRAILED
    return joined_if_small(size, HEADER.pack(size, key), *payload, TRAILER.pack(serial, signature, TAG))


def head_struct(format: str) -> Struct:
    """Packs size, magic, id and the first values of a payload, which have this format."""
    return Struct(SIZE.format + _MAGIC_AND_ID.format[1:] + format)


def frame_struct(format: str) -> Struct:
    """Packs size, magic, id, the values of a whole payload of this format, serial, signature and TAG."""
    return Struct(head_struct(format).format + TRAILER.format[1:])


def frame_length(frame: Payload) -> int:
    """How many bytes the frame has, with its size field."""
    return len(frame) if isinstance(frame, bytes) else sum(map(len, frame))


def size_of(frame: Payload) -> int:
    """The size that the frame's header states, which max_message_size limits."""
    return frame_length(frame) - SIZE.size


def has_trailer(buffer: Buffer, start: int, end: int) -> bool:
    """Whether the frame at these offsets ends in a trailer."""
    return end - start >= SMALLEST_TRAILED and TRAILER.unpack_from(buffer, end - TRAILER.size)[2] == TAG


def serial_of(buffer: Buffer, end: int) -> int:
    """The serial in the trailer of a frame that ends at this offset."""
    return int(TRAILER.unpack_from(buffer, end - TRAILER.size)[0])


def out_of_bounds(size: int, largest: int) -> ProtocolViolation:
    """Make the error for a size that no frame may have."""
    return ProtocolViolation(f"a frame of {size} bytes; allowed are {SMALLEST_SIZE} to {largest}")


def joined_if_small(size: int, first: bytes, *others: bytes) -> Payload:
    """The pieces of a frame of this size: as one, if it is small."""
    if size > _JOINED_UP_TO:
        return first, *others
    for piece in others:  # For so few, `+` takes half the time of `join`.
        first += piece
    return first


# Control frames


LARGEST_ERROR = SMALLEST_SIZE + _FAILURE.size + LONGEST_ERROR_TEXT
"""The largest size of an error frame. A receiver takes it even over its max_message_size."""


def longest_error_text(max_message_size: int) -> int:
    """How many bytes the text of an error frame may have, of a sender with this limit."""
    return min(LONGEST_ERROR_TEXT, max(max_message_size - SMALLEST_SIZE - _FAILURE.size, 0))


def is_error(size: int, key: int) -> bool:
    """Whether a header is of an error frame."""
    return SMALLEST_SIZE <= size <= LARGEST_ERROR and magic_and_id(key)[1] == FAILURE_ID


def pack_failure(magic: int, serial: int, kind: ErrorKind, text: str) -> bytes:
    """The error frame that answers a request. The sender has shortened the text."""
    raw = text.encode(errors="replace")
    return _control_frame(magic, FAILURE_ID, _FAILURE.pack(serial, kind, len(raw)) + raw)


def parse_failure(buffer: Buffer, start: int, end: int) -> tuple[int, ErrorKind, str]:
    """The serial, kind and text of an error frame.

    Raises:
        ProtocolViolation: the frame is malformed.
    """
    at = start + HEADER.size
    try:
        serial, number, length = _FAILURE.unpack_from(buffer, at)
        kind = ErrorKind(number)
        text = _text(buffer, at + _FAILURE.size, length, end)
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"error frame: {error}") from error
    return serial, kind, text


def pack_cancel(magic: int, serial: int) -> bytes:
    """The Cancel frame, by which a caller says that it no longer waits."""
    return _control_frame(magic, CANCEL_ID, SERIAL.pack(serial))


def parse_cancel(buffer: Buffer, start: int, end: int) -> int:
    """The serial of a Cancel frame.

    Raises:
        ProtocolViolation: the frame is malformed.
    """
    return _only_serial("cancel", buffer, start, end)


def pack_describe(magic: int, serial: int) -> bytes:
    """The Describe frame, which asks for the interface of one endpoint, or of EVERY_ENDPOINT."""
    return _control_frame(magic, DESCRIBE_ID, SERIAL.pack(serial))


def parse_describe(buffer: Buffer, start: int, end: int) -> int:
    """The serial of a Describe frame.

    Raises:
        ProtocolViolation: the frame is malformed.
    """
    return _only_serial("describe", buffer, start, end)


def pack_description(magic: int, serial: int, schema: str) -> bytes:
    """The Description frame, which answers a Describe frame with canonical `.ipc` text."""
    raw = schema.encode()
    return _control_frame(magic, DESCRIPTION_ID, _DESCRIPTION.pack(serial, len(raw)) + raw)


def parse_description(buffer: Buffer, start: int, end: int) -> tuple[int, str]:
    """The serial and text of a Description frame.

    Raises:
        ProtocolViolation: the frame is malformed.
    """
    at = start + HEADER.size
    try:
        serial, length = _DESCRIPTION.unpack_from(buffer, at)
        return serial, _text(buffer, at + _DESCRIPTION.size, length, end)
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"description frame: {error}") from error


def _control_frame(magic: int, id: int, payload: bytes) -> bytes:
    return HEADER.pack(len(payload) + SMALLEST_SIZE, key_of(magic, id)) + payload


def _only_serial(frame: str, buffer: Buffer, start: int, end: int) -> int:
    at = start + HEADER.size
    if end - at != SERIAL.size:
        raise ProtocolViolation(f"a {frame} frame must hold one serial and nothing else")
    (serial,) = SERIAL.unpack_from(buffer, at)
    return int(serial)


def _text(buffer: Buffer, at: int, length: int, end: int) -> str:
    if at + length != end:
        raise ValueError("its text does not end where the frame ends")
    return str(buffer[at : at + length], "utf-8")
