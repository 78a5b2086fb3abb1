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
_LARGE = 16 * 1024
_LARGEST_SAVED = 16 * 1024 * 1024 + 4096
_saved: list[bytearray] = []


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

    __slots__ = ("_kept", "_largest", "_partial", "missing", "received")

    def __init__(self, limits: Limits) -> None:
        self._largest = limits.max_message_size
        #: A frame that is not whole yet: so many bytes of a buffer, which may be larger.
        self._kept = 0
        self._partial = bytearray()
        self.missing = 0
        """Bytes still to come of the frame that has begun, as far as known; 0 at a boundary."""
        self.received = 0
        """Bytes of the stream so far: the offset behind the last byte received."""

    def feed(self, data: Buffer, take: Callable[[int, Buffer, int, int], None]) -> None:
        """Hand each frame that `data` completes to `take`: its key, a buffer, and its start and end in that.
        `data` is what was received, or the part of room() into which it was received.

        Raises ProtocolViolation on reading a size out of bounds, before anything is kept for it.
        """
        length = len(data)
        self.received += length
        buffer = data
        partial = None
        if self._kept:
            if isinstance(data, bytes):
                self._partial[self._kept :] = data
            self._kept += length
            if length < self.missing:
                self.missing -= length
                return
            partial, length = self._partial, self._kept
            buffer = memoryview(partial)[:length].toreadonly()
            self.clear()
        at = 0
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
        if partial is not None:
            _save(partial)

    def clear(self) -> None:
        """Forget what has come of a frame."""
        self._partial = bytearray()
        self._kept = 0
        self.missing = 0

    def room(self) -> memoryview | None:
        """Where to receive the rest of a large frame, so that it is not copied once more. None where it does
        not pay, and while little has come: nobody gets memory for a size alone."""
        whole = self._kept + self.missing
        if self._kept == len(self._partial):
            if self._kept < _LARGE or self.missing < _LARGE:
                return None
            self._partial = _enlarged(self._partial, whole)
        return memoryview(self._partial)[self._kept : whole]

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
        self._kept = kept
        self.missing = needed - kept

    def _out_of_bounds(self, size: int) -> ProtocolViolation:
        return ProtocolViolation(f"a frame of {size} bytes; allowed are 8 to {self._largest}")


def _enlarged(partial: bytearray, whole: int) -> bytearray:
    """Room for more of a frame: the saved buffer, or four times what has come."""
    try:
        saved = _saved.pop()
    except IndexError:
        saved = partial
    if len(saved) > len(partial):
        saved[: len(partial)] = partial
        return saved
    return partial + bytes(min(whole, 4 * len(partial)) - len(partial))


def _save(buffer: bytearray) -> None:
    """For the next large frame of any connection: in fresh memory each 4 KiB cost a page fault, which takes
    longer than to copy them."""
    if 4 * _LARGE <= len(buffer) <= _LARGEST_SAVED:
        _saved[:] = [buffer]
