"""Where a frame begins and ends: size, header, trailer (the wire's first layer).

Owns the bytes of frames that are not whole yet. Knows no message and no call.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from ipclib.errors import ProtocolViolation
from ipclib.limits import Limits
from ipclib.values.codecs import Buffer, Payload

HEADER = Struct("=IQ")
"""Size, and the key: magic and id read as one integer."""
TRAILER = Struct("=III")
"""Serial, signature, tag."""
TAG = 0x4950432B

_SIZE = Struct("=I")
_SMALLEST = 8
_JOINED_UP_TO = 16 * 1024


def bare_frame(key: int, payload: Payload) -> Payload:
    """A frame as LibIPC writes it."""
    if isinstance(payload, bytes):
        return HEADER.pack(len(payload) + 8, key) + payload
    size = sum(map(len, payload)) + 8
    return _joined_if_small(size, (HEADER.pack(size, key), *payload))


def trailed_frame(key: int, payload: Payload, serial: int, signature: int) -> Payload:
    """A frame that ends in a trailer. Large payloads stay in the pieces that they came in."""
    if isinstance(payload, bytes):
        return HEADER.pack(len(payload) + 20, key) + payload + TRAILER.pack(serial, signature, TAG)
    size = sum(map(len, payload)) + 20
    pieces = (HEADER.pack(size, key), *payload, TRAILER.pack(serial, signature, TAG))
    return _joined_if_small(size, pieces)


def _joined_if_small(size: int, pieces: tuple[bytes, ...]) -> Payload:
    return b"".join(pieces) if size <= _JOINED_UP_TO else pieces


class FrameReader:
    """Takes the stream's bytes as they come, gives whole frames."""

    __slots__ = ("_largest", "_partial", "missing", "received")

    def __init__(self, limits: Limits) -> None:
        self._largest = limits.max_message_size
        self._partial = bytearray()
        self.missing = 0
        """Bytes still to come of the frame that has begun, as far as known; 0 at a boundary."""
        self.received = 0
        """Bytes of the stream so far: the offset behind the last byte received."""

    def feed(self, data: bytes, take: Callable[[int, Buffer, int, int], None]) -> None:
        """Hand each frame that `data` completes to `take`: its key, a buffer, and its start and end in that.

        Raises ProtocolViolation on reading a size out of bounds, before anything is kept for it.
        """
        self.received += len(data)
        buffer: Buffer = data
        if self._partial:
            self._partial += data
            if len(data) < self.missing:
                self.missing -= len(data)
                return
            buffer = memoryview(self._partial).toreadonly()
            self._partial = bytearray()
        self.missing = 0
        at = 0
        length = len(buffer)
        while length - at >= 12:
            size, key = HEADER.unpack_from(buffer, at)
            if not _SMALLEST <= size <= self._largest:
                raise self._out_of_bounds(size)
            end = at + 4 + size
            if end > length:
                break
            take(key, buffer, at, end)
            at = end
        if at < length:
            self._keep(buffer, at)

    def _keep(self, buffer: Buffer, at: int) -> None:
        """The beginning of a frame: of its size alone, until that is known."""
        kept = len(buffer) - at
        needed = 4
        if kept >= 4:
            (size,) = _SIZE.unpack_from(buffer, at)
            if not _SMALLEST <= size <= self._largest:
                raise self._out_of_bounds(size)
            needed += size
        self._partial = bytearray(buffer[at:])
        self.missing = needed - kept

    def _out_of_bounds(self, size: int) -> ProtocolViolation:
        return ProtocolViolation(f"a frame of {size} bytes; allowed are 8 to {self._largest}")
