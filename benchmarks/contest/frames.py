"""Owns hand-packed frames: their layout, how a stream is cut into them, and the answer to each.
Must not know sockets. The floor, bare epoll, asyncio and uvloop share them."""

from __future__ import annotations

from struct import Struct

RECEIVED_AT_ONCE = 64 * 1024

ADD, ECHO, ECHO_BYTES, LOG, LOGGED = range(5)

_HEADER = Struct("=IB")
"""The payload's size, and the kind."""
_HEADER_SIZE = _HEADER.size
_ADD_FRAME = Struct("=IBii")
_SUM_FRAME = Struct("=IBi")
_LOG_START = Struct("=IBi")
_PAIR = Struct("=ii")
_NUMBER = Struct("=i")


def frame(kind: int, payload: bytes = b"") -> bytes:
    """Pack any frame."""
    return _HEADER.pack(len(payload), kind) + payload


def add_frame(a: int, b: int) -> bytes:
    """Pack a request for a sum in one step."""
    return _ADD_FRAME.pack(8, ADD, a, b)


def log_frame(number: int, text: str) -> bytes:
    """Pack a one-way message."""
    payload = text.encode()
    return _LOG_START.pack(4 + len(payload), LOG, number) + payload


def number_in(payload: bytes) -> int:
    """Return the number in an answer to ADD or LOGGED."""
    number: int = _NUMBER.unpack(payload)[0]
    return number


class Frames:
    """Cuts a stream into frames."""

    __slots__ = ("_chunks", "_needed", "_size")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._needed = 0

    def cut(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the kind and payload of each frame that `data` completes."""
        if self._chunks:
            self._chunks.append(data)
            self._size += len(data)
            if self._size < self._needed:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
        frames = []
        at, end, needed = 0, len(data), _HEADER_SIZE
        while end - at >= _HEADER_SIZE:
            size, kind = _HEADER.unpack_from(data, at)
            after = at + _HEADER_SIZE + size
            if after > end:
                needed = _HEADER_SIZE + size
                break
            frames.append((kind, data[at + _HEADER_SIZE : after]))
            at = after
        if at < end:
            self._chunks.append(data[at:])
            self._size = end - at
            self._needed = needed
        return frames


class Service:
    """Answers one client's frames."""

    __slots__ = ("_logged",)

    def __init__(self) -> None:
        self._logged = 0

    def answer(self, kind: int, payload: bytes) -> bytes:
        """Return the frame of the answer; empty for a one-way message."""
        if kind == ADD:
            a, b = _PAIR.unpack(payload)
            return _SUM_FRAME.pack(4, ADD, a + b)
        if kind == LOG:
            self._log(_NUMBER.unpack_from(payload)[0], payload[4:].decode())
            return b""
        if kind == ECHO:
            text = payload.decode()
            return frame(ECHO, text.encode())
        if kind == ECHO_BYTES:
            return frame(ECHO_BYTES, payload)
        if kind == LOGGED:
            count, self._logged = self._logged, 0
            return _SUM_FRAME.pack(4, LOGGED, count)
        raise ValueError(f"a frame of kind {kind}")

    def _log(self, number: int, _text: str) -> None:
        if number == self._logged:
            self._logged += 1
