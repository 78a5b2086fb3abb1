"""Values to bytes and descriptors, and back: one codec for each type of the interface language.

Knows no message, frame header, socket or loop. Generated code packs fixed-size fields and strings
itself; it comes here for everything else, and the runtime comes here to explain a refused value.

A codec's `encode` returns the value's bytes and appends the Files that it holds to `files`; its
`decode` reads at an offset and returns the value with the offset behind it. Reading behind the
payload's end is allowed and harmless, since the whole message is refused when its last offset is
not the end; allocating for a count that the payload cannot hold is not, so counts are checked.
"""

from __future__ import annotations

import struct
from array import array as PackedArray
from collections.abc import Hashable
from struct import Struct
from time import thread_time_ns
from types import NoneType
from typing import Any, Generic, TypeAlias, TypeVar

from ipclib.errors import ProtocolViolation
from ipclib.file import File

T = TypeVar("T")

MAX_NUMBERS = 4 * 1024 * 1024

_ENTRIES_A_LOOK = 1024
_PATIENCE_NS = 50_000_000
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Buffer: TypeAlias = bytes | memoryview
Octets: TypeAlias = bytes | bytearray | memoryview
Payload: TypeAlias = bytes | tuple[bytes, ...]
Files: TypeAlias = list[File]

ENCODE_ERRORS = (struct.error, TypeError, ValueError, AttributeError, OverflowError)
"""What an encoder raises for a value that does not fit."""
DECODE_ERRORS = (struct.error, ValueError, IndexError)
"""What a decoder raises for bytes that are no such value."""

BOOLEANS = (False, True)
"""Indexed by the byte on the wire; any other byte raises IndexError."""

_U32 = Struct("=I")
_MAX_COPIED = 64 * 1024 * 1024


class Frame:
    """The message being decoded: where its payload ends, and what it may still take.

    `fds` is the connection's queue of received descriptors, each with the stream offset at which
    the bytes that it came with ended. `copied` counts the bytes of shared memory that had to be copied for
    this message, at most `max_copied`; `depth` the structs that contain themselves, around the current one.
    """

    __slots__ = ("copied", "depth", "elements", "end", "fds", "files", "max_copied", "numbers")

    def __init__(self, max_copied: int = _MAX_COPIED) -> None:
        self.end = 0
        self.elements = 0
        self.numbers = MAX_NUMBERS
        self.depth = 0
        self.copied = 0
        self.max_copied = max_copied
        self.fds: list[tuple[File, int]] = []
        self.files: Files = []

    def take_file(self) -> File:
        """The connection's next received descriptor, now this message's."""
        if not self.fds:
            raise ProtocolViolation("fewer descriptors came than the message needs")
        if not self.files:
            self.copied = 0
        file, _arrived = self.fds.pop(0)
        self.files.append(file)
        return file

    def count(self, data: Buffer, at: int, smallest: int) -> int:
        """The element count at an offset, believed only when that many elements can follow."""
        (count,) = _U32.unpack_from(data, at)
        available = (self.end - at - 4) // smallest if smallest else len(self.fds)
        if count > available:
            raise ProtocolViolation(f"a count of {count} where at most {available} elements can follow")
        self.spend(count)
        return int(count)

    def cut_off(self, length: int, at: int) -> ProtocolViolation:
        """What to raise for a text or byte string that goes on behind the payload's end."""
        return ProtocolViolation(f"a length of {length} bytes where {self.end - at} follow")

    def spend(self, elements: int) -> None:
        """Count elements against what the message may still have."""
        self.elements -= elements
        if self.elements < 0:
            raise ProtocolViolation("more elements than max_elements allows")

    def spend_numbers(self, count: int) -> None:
        """Count fixed-width numbers likewise."""
        self.numbers -= count
        if self.numbers < 0:
            raise ProtocolViolation("more numbers than max_numbers allows")

    def release(self) -> None:
        """Close what the message took."""
        for file in self.files:
            file.close()
        self.files = []


def flag(value: bool) -> int:
    """The byte of a bool. Raises TypeError for anything else: every value has a truth, few are meant."""
    if value is True:
        return 1
    if value is False:
        return 0
    raise TypeError("a bool is needed")


def octets(value: Octets) -> bytes:
    """The bytes of a byte string; what the caller could still change is copied."""
    if type(value) is bytes:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError("bytes, a bytearray or a memoryview is needed")


class Codec(Generic[T]):
    """One type of the language. `smallest` is the fewest bytes that a value takes (or fewer)."""

    name: str
    smallest: int

    def encode(self, value: T, files: Files) -> bytes:
        raise NotImplementedError

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[T, int]:
        raise NotImplementedError

    def python_types(self) -> frozenset[type]:
        """The exact classes of the values, by which a Variant tells its alternatives apart."""
        raise NotImplementedError

    def check_key(self) -> None:
        """Raise TypeError when the values cannot be a map's keys."""
        for python in self.python_types():
            if python.__hash__ is None:
                raise TypeError(
                    f"{python.__qualname__} is no key, for it is not hashable; attrs.frozen makes it so"
                )


class Empty(Codec[None]):
    name = "Empty"
    smallest = 0

    def encode(self, value: None, files: Files) -> bytes:
        if value is not None:
            raise TypeError("None is needed")
        return b""

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[None, int]:
        return None, at

    def python_types(self) -> frozenset[type]:
        return frozenset((NoneType,))


class Boolean(Codec[bool]):
    name = "bool"
    smallest = 1

    def encode(self, value: bool, files: Files) -> bytes:
        return b"\1" if flag(value) else b"\0"

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[bool, int]:
        return BOOLEANS[data[at]], at + 1

    def python_types(self) -> frozenset[type]:
        return frozenset((bool,))


class Number(Codec[T]):
    """A fixed-width number, by its `struct` format character."""

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

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[T, int]:
        (value,) = self._struct.unpack_from(data, at)
        return value, at + self.smallest

    def python_types(self) -> frozenset[type]:
        return frozenset((self._python,))


class String(Codec[str]):
    name = "String"
    smallest = 4

    def encode(self, value: str, files: Files) -> bytes:
        if not isinstance(value, str):
            raise TypeError("a str is needed")
        raw = value.encode()
        return _U32.pack(len(raw)) + raw

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[str, int]:
        (length,) = _U32.unpack_from(data, at)
        at += 4
        if length > frame.end - at:
            raise frame.cut_off(length, at)
        return str(data[at : at + length], "utf-8"), at + length

    def python_types(self) -> frozenset[type]:
        return frozenset((str,))


class ByteString(Codec[bytes]):
    name = "ByteString"
    smallest = 4

    def encode(self, value: Octets, files: Files) -> bytes:
        raw = octets(value)
        return _U32.pack(len(raw)) + raw

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[bytes, int]:
        (length,) = _U32.unpack_from(data, at)
        at += 4
        if length > frame.end - at:
            raise frame.cut_off(length, at)
        return bytes(data[at : at + length]), at + length

    def python_types(self) -> frozenset[type]:
        return frozenset((bytes,))


class FileCodec(Codec[File]):
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

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[File, int]:
        return frame.take_file(), at

    def python_types(self) -> frozenset[type]:
        return frozenset((File,))


class Vector(Codec[list[T]]):
    """A list of any elements but fixed-width numbers."""

    smallest = 4

    def __init__(self, element: Codec[T]) -> None:
        self.name = f"Vector<{element.name}>"
        self._element = element

    def encode(self, value: list[T], files: Files) -> bytes:
        if not isinstance(value, (list, tuple)):
            raise TypeError("a list is needed")
        encode = self._element.encode
        return _U32.pack(len(value)) + b"".join([encode(element, files) for element in value])

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[list[T], int]:
        count = frame.count(data, at, self._element.smallest)
        at += 4
        decode = self._element.decode
        values: list[T] = []
        for _ in range(count):
            value, at = decode(data, at, frame)
            values.append(value)
        return values, at

    def python_types(self) -> frozenset[type]:
        return frozenset((list,))


class NumberVector(Codec[list[T]]):
    """A list of fixed-width numbers, packed in one go. They do not count as elements, for they cost no time;
    but each takes up to 36 bytes in Python, so that they have a bound of their own."""

    smallest = 4

    def __init__(self, element: Number[T]) -> None:
        self.name = f"Vector<{element.name}>"
        self._element = element

    def encode(self, value: list[T], files: Files) -> bytes:
        if not isinstance(value, (list, tuple, PackedArray)):
            raise TypeError("a list is needed")
        try:
            return struct.pack(f"=I{len(value)}{self._element.format}", len(value), *value)
        except (struct.error, OverflowError):
            for element in value:
                self._element.encode(element, files)
            raise

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[list[T], int]:
        (count,) = _U32.unpack_from(data, at)
        at += 4
        size = count * self._element.smallest
        if size > frame.end - at:
            raise ProtocolViolation(f"a count of {count} where {frame.end - at} bytes follow")
        frame.spend_numbers(count)
        # No tuple in between, as struct would make.
        numbers: PackedArray[Any] = PackedArray(self._element.format)
        numbers.frombytes(memoryview(data)[at : at + size])
        return numbers.tolist(), at + size

    def python_types(self) -> frozenset[type]:
        return frozenset((list,))


class Array(Codec[tuple[T, ...]]):
    """A tuple of a fixed length: a vector whose count is known."""

    def __init__(self, element: Codec[T], length: int) -> None:
        self.name = f"Array<{element.name},{length}>"
        self.smallest = 4 + length * element.smallest
        self._elements = vector(element)
        self._length = length

    def encode(self, value: tuple[T, ...], files: Files) -> bytes:
        if not isinstance(value, (tuple, list)) or len(value) != self._length:
            raise TypeError(f"a tuple of {self._length} is needed")
        return self._elements.encode(list(value), files)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[tuple[T, ...], int]:
        (count,) = _U32.unpack_from(data, at)
        if count != self._length:
            raise ProtocolViolation(f"{self.name} with a count of {count}")
        values, at = self._elements.decode(data, at, frame)
        return tuple(values), at

    def python_types(self) -> frozenset[type]:
        return frozenset((tuple,))


class HashMap(Codec[dict[K, V]]):
    def __init__(self, name: str, key: Codec[K], value: Codec[V]) -> None:
        key.check_key()
        self.name = f"{name}<{key.name},{value.name}>"
        self.smallest = 4
        self._key = key
        self._value = value

    def encode(self, value: dict[K, V], files: Files) -> bytes:
        if not isinstance(value, dict):
            raise TypeError("a dict is needed")
        encode_key = self._key.encode
        encode_value = self._value.encode
        pieces = [_U32.pack(len(value))]
        for key, element in value.items():
            pieces.append(encode_key(key, files))
            pieces.append(encode_value(element, files))
        return b"".join(pieces)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[dict[K, V], int]:
        count = frame.count(data, at, self._key.smallest + self._value.smallest)
        at += 4
        decode_key = self._key.decode
        decode_value = self._value.decode
        entries: dict[K, V] = {}
        patience = _Patience()
        for number in range(count):
            key, at = decode_key(data, at, frame)
            entries[key], at = decode_value(data, at, frame)
            if not number % _ENTRIES_A_LOOK:
                patience.look()
        if len(entries) != count:
            raise ProtocolViolation("a key is repeated in a map")
        return entries, at

    def python_types(self) -> frozenset[type]:
        return frozenset((dict,))


class _Patience:
    """Numbers hash to themselves, so a peer can choose keys that all collide, and each then costs more than
    the one before. That shows in this thread's processor time, by a hundred times and more."""

    __slots__ = ("_looked_at",)

    def __init__(self) -> None:
        self._looked_at = thread_time_ns()

    def look(self) -> None:
        """After so many entries."""
        before, self._looked_at = self._looked_at, thread_time_ns()
        if self._looked_at - before > _PATIENCE_NS:
            raise ProtocolViolation("the keys of a map collide")


class Optional(Codec[T | None]):
    smallest = 1

    def __init__(self, value: Codec[T]) -> None:
        self.name = f"Optional<{value.name}>"
        self._value = value

    def encode(self, value: T | None, files: Files) -> bytes:
        return b"\0" if value is None else b"\1" + self._value.encode(value, files)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[T | None, int]:
        if BOOLEANS[data[at]]:
            return self._value.decode(data, at + 1, frame)
        return None, at + 1

    def python_types(self) -> frozenset[type]:
        return self._value.python_types() | {NoneType}


def _integer(name: str, format: str) -> Number[int]:
    bits = 8 * struct.calcsize("=" + format)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if format.islower() else (0, (1 << bits) - 1)
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


def vector(element: Codec[T]) -> Codec[list[T]]:
    """The codec of Vector<element>; Vector<u8> is a byte string, which has a codec of its own."""
    return NumberVector(element) if isinstance(element, Number) else Vector(element)


def array(element: Codec[T], length: int) -> Codec[tuple[T, ...]]:
    return Array(element, length)


def hash_map(key: Codec[K], value: Codec[V]) -> Codec[dict[K, V]]:
    return HashMap("HashMap", key, value)


def ordered_hash_map(key: Codec[K], value: Codec[V]) -> Codec[dict[K, V]]:
    """A dict keeps its order either way; the name alone differs."""
    return HashMap("OrderedHashMap", key, value)


def optional(value: Codec[T]) -> Codec[T | None]:
    return Optional(value)


def explain(
    parameters: tuple[str, ...], codecs: tuple[Codec[Any], ...], values: tuple[object, ...]
) -> tuple[str, object, str] | None:
    """Which value an encoder refused, and why; None when each by itself is fine."""
    for parameter, codec, value in zip(parameters, codecs, values, strict=True):
        try:
            codec.encode(value, [])
        except ENCODE_ERRORS as error:
            return parameter, value, str(error)
    return None
