"""Owns Encoder and Decoder, with which a class writes and reads itself, and the codec of such a class.
Must not know messages, frames, sockets or loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from ipclib.errors import ProtocolViolation
from ipclib.showing import text_shown
from ipclib.values import codecs
from ipclib.values.codecs import Codec, Octets, octets
from ipclib.values.decoding import Buffer, Decoding, Files, Outgoing
from ipclib.values.file import File

if TYPE_CHECKING:
    from ipclib.values.samples import Dice

T = TypeVar("T")


class Encoder:
    """Writes the parts of one value, in order.

    Each method is named after the type that it writes.

    Raises:
        TypeError, ValueError: by each method, for a value that does not fit the type.
    """

    __slots__ = ("_files", "_pieces")

    def __init__(self, files: Files) -> None:
        self._files = files
        self._pieces: list[bytes] = []

    def value(self, codec: Codec[T], value: T) -> None:
        """Write a value of any type: `encoder.value(codec_of(list[i32]), [1, 2])`."""
        self._pieces.append(codec.encode(value, self._files))

    def count(self, count: int) -> None:
        """Write a u32 count of elements, which Decoder.count() reads.

        The elements count against Limits.max_elements, so that a sender is told
        if the receiver would take fewer.
        """
        self.value(codecs.u32, count)
        if type(self._files) is Outgoing:
            self._files.elements += count

    def bytes_written(self) -> bytes:
        """The bytes of everything that was written so far."""
        return b"".join(self._pieces)

    def boolean(self, value: bool) -> None:
        """Write a bool."""
        self.value(codecs.boolean, value)

    def i8(self, value: int) -> None:
        """Write an int from -128 to 127."""
        self.value(codecs.i8, value)

    def i16(self, value: int) -> None:
        """Write an int of 16 bits, with a sign."""
        self.value(codecs.i16, value)

    def i32(self, value: int) -> None:
        """Write an int of 32 bits, with a sign."""
        self.value(codecs.i32, value)

    def i64(self, value: int) -> None:
        """Write an int of 64 bits, with a sign."""
        self.value(codecs.i64, value)

    def u8(self, value: int) -> None:
        """Write an int from 0 to 255."""
        self.value(codecs.u8, value)

    def u16(self, value: int) -> None:
        """Write an int of 16 bits, without a sign."""
        self.value(codecs.u16, value)

    def u32(self, value: int) -> None:
        """Write an int of 32 bits, without a sign."""
        self.value(codecs.u32, value)

    def u64(self, value: int) -> None:
        """Write an int of 64 bits, without a sign."""
        self.value(codecs.u64, value)

    def float_(self, value: float) -> None:
        """Write a float, rounded to 32 bits."""
        self.value(codecs.float_, value)

    def double(self, value: float) -> None:
        """Write a float of 64 bits."""
        self.value(codecs.double, value)

    def string(self, value: str) -> None:
        """Write a str, in UTF-8."""
        self.value(codecs.string, value)

    def byte_string(self, value: Octets) -> None:
        """Write bytes, a bytearray or a memoryview."""
        self.value(codecs.byte_string, octets(value))

    def file(self, value: File) -> None:
        """Write a File, whose descriptor is moved when the message is sent."""
        self.value(codecs.file, value)


class Decoder:
    """Reads the parts of one value, in the order in which they were written.

    Each method is named after the type that it reads.

    Raises:
        ProtocolViolation, ValueError, IndexError, struct.error: by each method, if the bytes are no such
            value. A class need not catch them: each ends as a ProtocolViolation.
    """

    __slots__ = ("_at", "_data", "_decoding")

    def __init__(self, data: Buffer, at: int, decoding: Decoding) -> None:
        self._data = data
        self._at = at
        self._decoding = decoding

    def value(self, codec: Codec[T]) -> T:
        """Read a value of any type: `decoder.value(codec_of(list[i32]))`."""
        value, self._at = codec.decode(self._data, self._at, self._decoding)
        return value

    def count(self, smallest: int) -> int:
        """Read a u32 count of elements that take at least `smallest` bytes each.

        Use it for every count that a peer chose and that is looped over.

        Raises:
            ProtocolViolation: so many elements cannot follow, or are more than the message may have.
        """
        count = self._decoding.count(self._data, self._at, smallest)
        self._at += 4
        return count

    def position(self) -> int:
        """The offset after everything that was read so far."""
        return self._at

    def boolean(self) -> bool:
        """Read a bool."""
        return self.value(codecs.boolean)

    def i8(self) -> int:
        """Read an int from -128 to 127."""
        return self.value(codecs.i8)

    def i16(self) -> int:
        """Read an int of 16 bits, with a sign."""
        return self.value(codecs.i16)

    def i32(self) -> int:
        """Read an int of 32 bits, with a sign."""
        return self.value(codecs.i32)

    def i64(self) -> int:
        """Read an int of 64 bits, with a sign."""
        return self.value(codecs.i64)

    def u8(self) -> int:
        """Read an int from 0 to 255."""
        return self.value(codecs.u8)

    def u16(self) -> int:
        """Read an int of 16 bits, without a sign."""
        return self.value(codecs.u16)

    def u32(self) -> int:
        """Read an int of 32 bits, without a sign."""
        return self.value(codecs.u32)

    def u64(self) -> int:
        """Read an int of 64 bits, without a sign."""
        return self.value(codecs.u64)

    def float_(self) -> float:
        """Read a float of 32 bits."""
        return self.value(codecs.float_)

    def double(self) -> float:
        """Read a float of 64 bits."""
        return self.value(codecs.double)

    def string(self) -> str:
        """Read a str."""
        return self.value(codecs.string)

    def byte_string(self) -> bytes:
        """Read bytes."""
        return self.value(codecs.byte_string)

    def file(self) -> File:
        """Read a File, which the value owns from now on."""
        return self.value(codecs.file)


class Coded(Protocol):
    """A class that writes and reads itself."""

    def encode(self, encoder: Encoder) -> None:
        """Write the value."""

    @classmethod
    def decode(cls, decoder: Decoder) -> Self:
        """Read a value."""
        ...


class OwnCodec(Codec[Any]):
    """The codec of a class with its own encode() and decode().

    A value takes at least one byte, so that the bytes of a message limit the count of its values.
    """

    smallest = 1
    counts = True

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
            raise ValueError(f"{self.name}.encode() wrote no byte; a value takes at least one")
        return written

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[Any, int]:
        decoder = Decoder(data, at, decoding)
        try:
            value = self._python.decode(decoder)
        except (ProtocolViolation, RecursionError, UnicodeDecodeError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # The class may raise anything, for what a peer chose.
            raise ProtocolViolation(f"{self.name}: {text_shown(error)}") from error
        return value, decoder.position()

    def python_types(self) -> frozenset[type]:
        return frozenset((self._python,))

    def sample(self, dice: Dice) -> Any:
        def refuse() -> Any:
            raise dice.refusal(self._python, "it encodes itself")

        return dice.made(self._python, refuse)
