"""Owns the bytes of a frame that is not complete yet, and the memory that the rest is received into.
Must not know more of a frame than its size.
"""

from __future__ import annotations

from ipclib.protocol.wire import SIZE, SMALLEST_SIZE, out_of_bounds
from ipclib.values.decoding import Buffer

# Bytes. If this much of a frame has arrived and this much is missing, the rest is received in place.
_LARGE = 16 * 1024
# Bytes. A larger buffer is not kept: room for a payload of 16 MiB and what surrounds it.
_LARGEST_SPARE = 16 * 1024 * 1024 + 4096


class PartialFrame:
    """The start of a frame, until the rest has arrived."""

    __slots__ = ("_buffer", "_largest", "missing", "received")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        """The largest size that a frame may state, in bytes."""
        self._buffer = bytearray()
        """The first `received` bytes are of the frame; the rest is room."""
        self.received = 0
        """Bytes of the frame that have arrived; 0 if no frame has begun."""
        self.missing = 0
        """Bytes that are missing: of the size field alone until it is complete, then of the frame."""

    def begin(self, buffer: Buffer, at: int) -> None:
        """Keep the start of an incomplete frame.

        Raises:
            ProtocolViolation: its size is out of bounds; nothing is kept.
        """
        received = len(buffer) - at
        needed = SIZE.size
        if received >= SIZE.size:
            (size,) = SIZE.unpack_from(buffer, at)
            if not SMALLEST_SIZE <= size <= self._largest:
                raise out_of_bounds(size, self._largest)
            needed += size
        self._buffer = bytearray(buffer[at:])
        self.received = received
        self.missing = needed - received

    def room(self) -> memoryview | None:
        """Memory for the rest of a large frame, into which it is received without another copy.

        None for a small frame, and until enough bytes have arrived: a claimed size alone never allocates.
        """
        whole = self.received + self.missing
        if self.received == len(self._buffer):
            if self.received < _LARGE or self.missing < _LARGE:
                return None
            self._buffer = _enlarged(self._buffer, whole)
        return memoryview(self._buffer)[self.received : whole]

    def add(self, data: bytes) -> None:
        """Append received bytes. Further frames may follow the rest of this one in them."""
        self._buffer[self.received :] = data
        self._count(len(data))

    def add_in_place(self, count: int) -> None:
        """Append the first `count` bytes of room(), into which they were received."""
        self._count(count)

    def _count(self, count: int) -> None:
        self.received += count
        self.missing = max(self.missing - count, 0)

    def take(self) -> memoryview:
        """Return the complete frame with everything that follows it, and become empty."""
        taken = memoryview(self._buffer)[: self.received].toreadonly()
        self.clear()
        return taken

    def take_small(self) -> bytes:
        """Return the start of a small frame, and become empty."""
        taken = bytes(self._buffer)
        self.clear()
        return taken

    def clear(self) -> None:
        """Become empty."""
        self._buffer = bytearray()
        self.received = 0
        self.missing = 0


class _Spare:
    """A large buffer that an earlier frame has left, for the next large frame of any connection.

    The page faults of fresh memory cost more than copying into memory that was used before.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer: bytearray | None = None

    def take(self) -> bytearray | None:
        buffer, self._buffer = self._buffer, None
        return buffer

    def keep(self, buffer: bytearray) -> None:
        if 4 * _LARGE <= len(buffer) <= _LARGEST_SPARE:
            self._buffer = buffer


_spare = _Spare()


def recycle(taken: memoryview) -> None:
    """Keep the memory of a frame that was taken and handled, for the next large frame."""
    buffer = taken.obj
    if isinstance(buffer, bytearray):
        _spare.keep(buffer)


def _enlarged(start: bytearray, whole: int) -> bytearray:
    """More room for a frame: the spare buffer, or four times what has arrived."""
    spare = _spare.take()
    if spare is not None and len(spare) > len(start):
        spare[: len(start)] = start
        return spare
    return start + bytes(min(whole, 4 * len(start)) - len(start))
