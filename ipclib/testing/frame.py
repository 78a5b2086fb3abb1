"""Owns frames as a relay sees them: cutting a stream into frames, and the parts of a frame, to change them.
Must not know faults, sockets or loops.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import attrs

from ipclib.errors import ProtocolViolation
from ipclib.protocol import wire
from ipclib.protocol.message import Endpoint, Kind, MessageType
from ipclib.values.file import Duplicate

# A larger size is not of a frame: the first four letters of any text are one.
_LARGEST = 0x20000000 - 1


@attrs.frozen
class Frame:
    """A frame of any kind, taken apart."""

    magic: int = 0
    id: int = 0
    payload: bytes = b""
    trailer: tuple[int, int, int] | None = None
    """Serial, signature and tag; None if the frame is bare."""
    files: tuple[Duplicate, ...] = ()
    """The descriptors that travel with it."""
    claimed: int | None = None
    """The size that the header claims; None for the true one."""
    raw: bytes | None = None
    """The bytes instead of all this, of what is not a frame."""

    @classmethod
    def of(cls, data: bytes, files: Sequence[Duplicate] = ()) -> Frame:
        """Take the bytes of a whole frame apart."""
        _size, key = wire.HEADER.unpack_from(data)
        magic, id = wire.magic_and_id(key)
        start, end = wire.HEADER.size, len(data)
        trailer: tuple[int, int, int] | None = None
        if id >= wire.FIRST_MESSAGE_ID and wire.has_trailer(data, 0, end):
            end -= wire.TRAILER.size
            serial, signature, tag = wire.TRAILER.unpack_from(data, end)
            trailer = (serial, signature, tag)
        return cls(magic, id, data[start:end], trailer, tuple(files))

    @property
    def is_message(self) -> bool:
        """Whether it is a message or an answer, and no control frame."""
        return self.raw is None and self.id >= wire.FIRST_MESSAGE_ID

    @property
    def is_error(self) -> bool:
        """Whether it is an error frame, which answers a request as well."""
        return self.raw is None and self.id == wire.FAILURE_ID

    @property
    def serial(self) -> int:
        """The serial of the call that it belongs to; 0 if there is none, or the frame is bare."""
        if self.trailer is not None:
            return self.trailer[0]
        if self.is_error:
            try:
                data = self.packed()
                return wire.parse_failure(data, 0, len(data))[0]
            except ProtocolViolation:
                return wire.NO_SERIAL
        return wire.NO_SERIAL

    def packed(self) -> bytes:
        """The bytes of the frame."""
        if self.raw is not None:
            return self.raw
        trailer = b"" if self.trailer is None else wire.TRAILER.pack(*self.trailer)
        body = self.payload + trailer
        size = len(body) + wire.SMALLEST_SIZE if self.claimed is None else self.claimed
        return wire.HEADER.pack(size, wire.key_of(self.magic, self.id)) + body


def owned(fd: int) -> Duplicate:
    """Take over a descriptor, which the last reference closes."""
    try:
        return Duplicate(fd)
    finally:
        os.close(fd)


class Cutter:
    """Cuts the bytes of a stream into frames."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self._files: list[Duplicate] = []
        """Descriptors of the frame that has begun."""
        self._is_lost = False
        """True after something that cannot be a frame: all that follows is passed on as it is."""

    def feed(self, data: bytes, files: Sequence[Duplicate]) -> list[Frame]:
        """The frames that these bytes complete.

        Descriptors arrive with the last bytes of what is received at once, because the kernel ends a piece
        after those that it brings: they belong to the last frame that has begun.
        """
        self._partial += data
        frames: list[Frame] = []
        while (size := self._whole()) is not None:
            raw = bytes(self._partial[:size])
            del self._partial[:size]
            brought, self._files = self._files, []
            if self._is_lost:
                frames.append(Frame(raw=raw, files=(*brought, *files)))
                return frames
            if files and not self._partial:
                brought += files
                files = ()
            frames.append(Frame.of(raw, brought))
        self._files += files
        return frames

    def rest(self) -> list[Frame]:
        """The bytes of a frame that was not completed, at the end of the stream."""
        if not self._partial:
            return []
        return [Frame(raw=bytes(self._partial), files=tuple(self._files))]

    def _whole(self) -> int | None:
        """How many bytes the next frame has; None if it is not complete."""
        if not self._is_lost and len(self._partial) >= wire.SIZE.size:
            (size,) = wire.SIZE.unpack_from(self._partial)
            self._is_lost = not wire.SMALLEST_SIZE <= size <= _LARGEST
            if not self._is_lost:
                whole = int(size) + wire.SIZE.size
                return whole if len(self._partial) >= whole else None
        return len(self._partial) if self._is_lost and self._partial else None


class Names:
    """The messages of two endpoints, by their keys and by their names."""

    def __init__(self, endpoints: Iterable[type[Endpoint]]) -> None:
        self._by_key = {message.key: message for endpoint in endpoints for message in endpoint.__ipc__}

    def of(self, frame: Frame) -> MessageType | None:
        """The message that a frame carries; None if it is unknown, or no message."""
        return self._by_key.get(wire.key_of(frame.magic, frame.id)) if frame.is_message else None

    def all(self) -> list[str]:
        """The names of all messages, such as `ClockServer.add`."""
        return [message.name for message in self._by_key.values() if message.kind is not Kind.RESPONSE]
