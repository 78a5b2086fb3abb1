"""Owns Codec and the codecs of single values: numbers, texts, byte strings, Files, Optional.
Must not know messages, frames, sockets or loops. Generated code packs fixed-size fields by itself.
"""

from __future__ import annotations

import struct
from struct import Struct
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from ipclib.showing import text_shown
from ipclib.values.decoding import Buffer, Decoding, Files
from ipclib.values.file import File

if TYPE_CHECKING:
    from ipclib.values.samples import Dice

T = TypeVar("T")

Octets: TypeAlias = bytes | bytearray | memoryview
"""The types that a byte string can be encoded from."""
Payload: TypeAlias = bytes | tuple[bytes, ...]
"""Encoded bytes; a large byte string stays a piece of its own."""

ENCODE_ERRORS = (struct.error, TypeError, ValueError, AttributeError, OverflowError)
"""The errors of encode() for a value that does not fit."""
DECODE_ERRORS = (struct.error, ValueError, IndexError)
"""The errors of decode() for bytes that are no such value, beside ProtocolViolation."""
_OUR_MODULES = frozenset({"ipclib", "corelib", "json"})
"""Modules whose lines say nothing about a user's code. Generated modules are another; each has `_ipc`."""


class _Booleans(Protocol):
    def __getitem__(self, byte: int, /) -> bool: ...


BOOLEANS: _Booleans = (False, True)
"""Indexed by the byte on the wire, so that any other byte raises IndexError."""

_U32 = Struct("=I")


def flag(value: bool) -> int:
    """The byte of a bool.

    Raises:
        TypeError: the value is no bool; accepting any truthy value would hide mistakes.
    """
    if value is True:
        return 1
    if value is False:
        return 0
    raise TypeError("a bool is needed")


def octets(value: Octets) -> bytes:
    """The bytes of a byte string; a mutable one is copied.

    Raises:
        TypeError: the value is no byte string.
    """
    if type(value) is bytes:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError("bytes, a bytearray or a memoryview is needed")


class Codec(Generic[T]):
    """Encodes and decodes the values of one type of the interface language.

    Reading past the end of a payload is harmless, because the offset after a message's last value is checked.
    Allocating is not, so lengths and counts are checked first.
    """

    name: str
    """The type as the language writes it."""
    smallest: int
    """The least number of bytes that a value takes."""
    values: int = 1
    """How many values it is made of, without the elements of containers: a struct of two texts is three."""
    counts_itself: bool = False
    """Whether each value counts as an element, so that containers need not count it."""
    counts: bool = False
    """Whether its values cost what Outgoing counts."""

    def encode(self, value: T, files: Files) -> bytes:
        """Return the bytes of a value, and append its Files to `files`.

        Raises:
            TypeError, ValueError: the value does not fit; others of ENCODE_ERRORS are possible.
        """
        raise NotImplementedError

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[T, int]:
        """Return the value at an offset, and the offset after it.

        Raises:
            ProtocolViolation: the bytes are no such value; DECODE_ERRORS are possible too.
        """
        raise NotImplementedError

    def python_types(self) -> frozenset[type]:
        """The exact classes of the decoded values, by which a Variant tells its alternatives apart."""
        raise NotImplementedError

    def sample(self, dice: Dice) -> T:
        """Make up a value, for tests.

        Raises:
            NoSample: that is not possible; the text names the class and the remedy.
        """
        raise NotImplementedError

    def check_key(self) -> None:
        """Check that the values can be keys of a map.

        Raises:
            TypeError: they are not hashable.
        """
        for python in self.python_types():
            if python.__hash__ is None:
                raise TypeError(
                    f"{python.__qualname__} cannot be a key: it is not hashable; attrs.frozen makes it so"
                )


class Empty(Codec[None]):
    """The codec of Empty, whose value None takes no bytes."""

    name = "Empty"
    smallest = 0

    def encode(self, value: None, files: Files) -> bytes:
        if value is not None:
            raise TypeError("None is needed")
        return b""

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[None, int]:
        return None, at

    def python_types(self) -> frozenset[type]:
        return frozenset((NoneType,))

    def sample(self, dice: Dice) -> None:
        return None


class Boolean(Codec[bool]):
    """The codec of bool, a byte 0 or 1."""

    name = "bool"
    smallest = 1

    def encode(self, value: bool, files: Files) -> bytes:
        return b"\1" if flag(value) else b"\0"

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[bool, int]:
        return BOOLEANS[data[at]], at + 1

    def python_types(self) -> frozenset[type]:
        return frozenset((bool,))

    def sample(self, dice: Dice) -> bool:
        return dice.random.random() < 0.5


class Number(Codec[T]):
    """The codec of a fixed-width number, with its `struct` format character."""

    def __init__(self, name: str, format: str, python: type[T], accepts: str) -> None:
        self.name = name
        self.format = format
        self.smallest = struct.calcsize("=" + format)
        self._struct = Struct("=" + format)
        self._python = python
        self._accepts = accepts

    def encode(self, value: T, files: Files) -> bytes:
        try:
            return self._struct.pack(value)
        except (struct.error, OverflowError):
            raise ValueError(f"{self.name} takes {self._accepts}") from None

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[T, int]:
        (value,) = self._struct.unpack_from(data, at)
        return value, at + self.smallest

    def python_types(self) -> frozenset[type]:
        return frozenset((self._python,))

    def sample(self, dice: Dice) -> T:
        number: Any
        if self._python is float:
            number = dice.random.choice((0.0, -1.5, dice.random.uniform(-1e30, 1e30)))
        else:
            bits = 8 * self.smallest
            number = dice.integer(*_range_of(bits, self.format))
        (value,) = self._struct.unpack(self._struct.pack(number))  # A float of 32 bits is rounded.
        return value  # type: ignore[no-any-return]


class String(Codec[str]):
    """The codec of String: the number of bytes as a u32, and the text in UTF-8."""

    name = "String"
    smallest = 4

    def encode(self, value: str, files: Files) -> bytes:
        if not isinstance(value, str):
            raise TypeError("a str is needed")
        raw = str.encode(value)
        return _U32.pack(len(raw)) + raw

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[str, int]:
        (length,) = _U32.unpack_from(data, at)
        at += 4
        if length > decoding.end - at:
            raise decoding.cut_off(length, at)
        return str(data[at : at + length], "utf-8"), at + length

    def python_types(self) -> frozenset[type]:
        return frozenset((str,))

    def sample(self, dice: Dice) -> str:
        return dice.text()


class ByteString(Codec[bytes]):
    """The codec of ByteString: the number of bytes as a u32, and the bytes."""

    name = "ByteString"
    smallest = 4

    def encode(self, value: Octets, files: Files) -> bytes:
        raw = octets(value)
        return _U32.pack(len(raw)) + raw

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[bytes, int]:
        (length,) = _U32.unpack_from(data, at)
        at += 4
        if length > decoding.end - at:
            raise decoding.cut_off(length, at)
        return bytes(data[at : at + length]), at + length

    def python_types(self) -> frozenset[type]:
        return frozenset((bytes,))

    def sample(self, dice: Dice) -> bytes:
        return dice.octets()


class FileCodec(Codec[File]):
    """The codec of File, whose descriptor travels beside the bytes."""

    name = "File"
    smallest = 0

    def encode(self, value: File, files: Files) -> bytes:
        if not isinstance(value, File):
            raise TypeError("an ipclib.File is needed")
        value.fileno()
        if value in files:
            raise ValueError("the same File twice in one message; send a clone()")
        files.append(value)
        return b""

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[File, int]:
        return decoding.take_file(), at

    def python_types(self) -> frozenset[type]:
        return frozenset((File,))

    def sample(self, dice: Dice) -> File:
        return File(dice.descriptor())


class Optional(Codec[T | None]):
    """The codec of Optional<T>: a byte 0, or a byte 1 and the value."""

    smallest = 1

    def __init__(self, value: Codec[T]) -> None:
        self.name = f"Optional<{value.name}>"
        self.values = 1 + value.values
        self.counts = value.counts
        self._value = value

    def encode(self, value: T | None, files: Files) -> bytes:
        return b"\0" if value is None else b"\1" + self._value.encode(value, files)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[T | None, int]:
        if BOOLEANS[data[at]]:
            return self._value.decode(data, at + 1, decoding)
        return None, at + 1

    def python_types(self) -> frozenset[type]:
        return self._value.python_types() | {NoneType}

    def sample(self, dice: Dice) -> T | None:
        return dice.maybe(self._value.sample)


def _range_of(bits: int, format: str) -> tuple[int, int]:
    """The least and the largest integer of a `struct` format character."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if format.islower() else (0, (1 << bits) - 1)


def _integer(name: str, format: str) -> Number[int]:
    low, high = _range_of(8 * struct.calcsize("=" + format), format)
    return Number(name, format, int, f"an int from {low} to {high}")


empty = Empty()
boolean = Boolean()
i8 = _integer("i8", "b")
i16 = _integer("i16", "h")
i32 = _integer("i32", "i")
i64 = _integer("i64", "q")
u8 = _integer("u8", "B")
u16 = _integer("u16", "H")
u32 = _integer("u32", "I")
u64 = _integer("u64", "Q")
float_: Number[float] = Number("float", "f", float, "a float within the range of 32 bits")
double: Number[float] = Number("double", "d", float, "a float")
string = String()
byte_string = ByteString()
file = FileCodec()


def optional(value: Codec[T]) -> Codec[T | None]:
    """The codec of Optional<value>."""
    return Optional(value)


def user_cause(error: BaseException) -> BaseException | None:
    """What a user's own code raised while a value was encoded; None if the error is ours.

    It is the cause of the error that the user sees. Lines of our own codecs would hide the user's.
    """
    trace = error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals
        if str(module.get("__name__")).partition(".")[0] not in _OUR_MODULES and "_ipc" not in module:
            return error
        trace = trace.tb_next
    return error.__cause__


def explain(
    parameters: tuple[str, ...], codecs: tuple[Codec[Any], ...], values: tuple[object, ...]
) -> tuple[str, object, str] | None:
    """The first parameter whose value does not fit, the value, and the reason; None if each of them fits."""
    for parameter, codec, value in zip(parameters, codecs, values, strict=True):
        try:
            codec.encode(value, [])
        except ENCODE_ERRORS as error:
            return parameter, value, text_shown(error)
    return None
