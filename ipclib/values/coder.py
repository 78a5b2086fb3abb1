"""Owns Encoder and Decoder, with which a class writes and reads itself, and the codec that lets it. Knows
codecs only; each method is named as the codec that it stands for.
"""

from __future__ import annotations

from typing import Any, Protocol, Self, TypeVar

from ipclib.errors import ProtocolViolation
from ipclib.file import File
from ipclib.values import codecs
from ipclib.values.codecs import Buffer, Codec, Files, Frame, Octets, octets

T = TypeVar("T")


class Encoder:
    """Takes the parts of one value, in order. Each method raises TypeError or ValueError for what does not
    fit.
    """

    __slots__ = ("_files", "_pieces")

    def __init__(self, files: Files) -> None:
        self._files = files
        self._pieces: list[bytes] = []

    def value(self, codec: Codec[T], value: T) -> None:
        """A part of any type: `encoder.value(codec_of(list[i32]), [1, 2])`."""
        self._pieces.append(codec.encode(value, self._files))

    def bytes_written(self) -> bytes:
        return b"".join(self._pieces)

    def boolean(self, value: bool) -> None:
        self.value(codecs.boolean, value)

    def i8(self, value: int) -> None:
        self.value(codecs.i8, value)

    def i16(self, value: int) -> None:
        self.value(codecs.i16, value)

    def i32(self, value: int) -> None:
        self.value(codecs.i32, value)

    def i64(self, value: int) -> None:
        self.value(codecs.i64, value)

    def u8(self, value: int) -> None:
        self.value(codecs.u8, value)

    def u16(self, value: int) -> None:
        self.value(codecs.u16, value)

    def u32(self, value: int) -> None:
        self.value(codecs.u32, value)

    def u64(self, value: int) -> None:
        self.value(codecs.u64, value)

    def float_(self, value: float) -> None:
        self.value(codecs.float_, value)

    def double(self, value: float) -> None:
        self.value(codecs.double, value)

    def string(self, value: str) -> None:
        self.value(codecs.string, value)

    def byte_string(self, value: Octets) -> None:
        self.value(codecs.byte_string, octets(value))

    def file(self, value: File) -> None:
        self.value(codecs.file, value)


class Decoder:
    """Gives the parts of one value back, in the order in which they were encoded."""

    __slots__ = ("_at", "_data", "_frame")

    def __init__(self, data: Buffer, at: int, frame: Frame) -> None:
        self._data = data
        self._at = at
        self._frame = frame

    def value(self, codec: Codec[T]) -> T:
        """A part of any type: `decoder.value(codec_of(list[i32]))`."""
        value, self._at = codec.decode(self._data, self._at, self._frame)
        return value

    def count(self, smallest: int) -> int:
        """A u32 number of elements, refused unless so many of `smallest` bytes each can follow and the
        message may have so many. Loop over no number of a peer's that was not checked like this."""
        count = self._frame.count(self._data, self._at, smallest)
        self._at += 4
        return count

    def position(self) -> int:
        return self._at

    def boolean(self) -> bool:
        return self.value(codecs.boolean)

    def i8(self) -> int:
        return self.value(codecs.i8)

    def i16(self) -> int:
        return self.value(codecs.i16)

    def i32(self) -> int:
        return self.value(codecs.i32)

    def i64(self) -> int:
        return self.value(codecs.i64)

    def u8(self) -> int:
        return self.value(codecs.u8)

    def u16(self) -> int:
        return self.value(codecs.u16)

    def u32(self) -> int:
        return self.value(codecs.u32)

    def u64(self) -> int:
        return self.value(codecs.u64)

    def float_(self) -> float:
        return self.value(codecs.float_)

    def double(self) -> float:
        return self.value(codecs.double)

    def string(self) -> str:
        return self.value(codecs.string)

    def byte_string(self) -> bytes:
        return self.value(codecs.byte_string)

    def file(self) -> File:
        return self.value(codecs.file)


class Coded(Protocol):
    """A class that writes and reads itself."""

    def encode(self, encoder: Encoder) -> None: ...

    @classmethod
    def decode(cls, decoder: Decoder) -> Self: ...


class OwnCodec(Codec[Any]):
    """A class's own encode() and decode(). A value takes at least one byte, so that a count of them is
    bounded.
    """

    smallest = 1

    def __init__(self, python: type[Coded]) -> None:
        self.name = python.__name__
        self._python = python

    def encode(self, value: Any, files: Files) -> bytes:
        if not isinstance(value, self._python):
            raise TypeError(f"{self.name} is needed, not {type(value).__name__}")
        encoder = Encoder(files)
        value.encode(encoder)
        written = encoder.bytes_written()
        if not written:
            raise ValueError(f"{self.name}.encode() wrote no byte; a value takes one at least")
        return written

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[Any, int]:
        decoder = Decoder(data, at, frame)
        try:
            value = self._python.decode(decoder)
        except (ProtocolViolation, RecursionError):
            raise
        except Exception as error:  # The class may raise anything, for what a peer chose.
            raise ProtocolViolation(f"{self.name}: {error}") from error
        return value, decoder.position()

    def python_types(self) -> frozenset[type]:
        return frozenset((self._python,))
