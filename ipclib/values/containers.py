"""Owns the codecs of containers: vectors, arrays, maps.
Must not know messages, frames, sockets or loops.
"""

from __future__ import annotations

import struct
from array import array as PackedArray
from collections.abc import Hashable
from struct import Struct
from time import thread_time_ns
from typing import Any, TypeVar

from ipclib.errors import ProtocolViolation
from ipclib.values.codecs import Codec, Number
from ipclib.values.decoding import Buffer, Decoding, Files

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_ENTRIES_PER_CHECK = 1024
_LONGEST_CHECK_NS = 50_000_000

_U32 = Struct("=I")


class Vector(Codec[list[T]]):
    """The codec of Vector<T>, a list of any elements but fixed-width numbers."""

    smallest = 4

    def __init__(self, element: Codec[T]) -> None:
        self.name = f"Vector<{element.name}>"
        self._element = element

    def encode(self, value: list[T], files: Files) -> bytes:
        if not isinstance(value, (list, tuple)):
            raise TypeError("a list is needed")
        encode = self._element.encode
        return _U32.pack(len(value)) + b"".join([encode(element, files) for element in value])

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[list[T], int]:
        count = decoding.count(data, at, self._element.smallest)
        at += 4
        decode = self._element.decode
        values: list[T] = []
        for _ in range(count):
            value, at = decode(data, at, decoding)
            values.append(value)
        return values, at

    def python_types(self) -> frozenset[type]:
        return frozenset((list,))


class NumberVector(Codec[list[T]]):
    """The codec of Vector<T> for fixed-width numbers, which are packed in one step.

    They have their own limit, max_numbers: they are cheap to decode, but take up to 36 bytes each in memory.
    """

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

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[list[T], int]:
        (count,) = _U32.unpack_from(data, at)
        at += 4
        size = count * self._element.smallest
        if size > decoding.end - at:
            raise ProtocolViolation(f"a count of {count} where {decoding.end - at} bytes follow")
        decoding.spend_numbers(count)
        # Not by struct, which would make a tuple first.
        numbers: PackedArray[Any] = PackedArray(self._element.format)
        numbers.frombytes(memoryview(data)[at : at + size])
        return numbers.tolist(), at + size

    def python_types(self) -> frozenset[type]:
        return frozenset((list,))


class Array(Codec[tuple[T, ...]]):
    """The codec of Array<T, N>, a tuple: a vector whose count is known."""

    def __init__(self, element: Codec[T], length: int) -> None:
        self.name = f"Array<{element.name},{length}>"
        self.smallest = 4 + length * element.smallest
        self._elements = vector(element)
        self._length = length

    def encode(self, value: tuple[T, ...], files: Files) -> bytes:
        if not isinstance(value, (tuple, list)) or len(value) != self._length:
            raise TypeError(f"a tuple of {self._length} is needed")
        return self._elements.encode(list(value), files)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[tuple[T, ...], int]:
        (count,) = _U32.unpack_from(data, at)
        if count != self._length:
            raise ProtocolViolation(f"{self.name} with a count of {count}")
        values, at = self._elements.decode(data, at, decoding)
        return tuple(values), at

    def python_types(self) -> frozenset[type]:
        return frozenset((tuple,))


class HashMap(Codec[dict[K, V]]):
    """The codec of HashMap<K, V> and OrderedHashMap<K, V>, a dict."""

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

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[dict[K, V], int]:
        count = decoding.count(data, at, self._key.smallest + self._value.smallest)
        at += 4
        decode_key = self._key.decode
        decode_value = self._value.decode
        entries: dict[K, V] = {}
        guard = _CollisionGuard()
        for number in range(count):
            key, at = decode_key(data, at, decoding)
            entries[key], at = decode_value(data, at, decoding)
            if not number % _ENTRIES_PER_CHECK:
                guard.check()
        if len(entries) != count:
            raise ProtocolViolation("a key is repeated in a map")
        return entries, at

    def python_types(self) -> frozenset[type]:
        return frozenset((dict,))


class _CollisionGuard:
    """Refuses a map whose keys were chosen to collide.

    An int hashes to itself, so a peer can choose keys that all collide; each then costs more than the one
    before. Such keys are detected by this thread's CPU time, which rises more than a hundredfold.
    """

    __slots__ = ("_checked_at",)

    def __init__(self) -> None:
        self._checked_at = thread_time_ns()

    def check(self) -> None:
        """Compare the CPU time with that of the last check, _ENTRIES_PER_CHECK entries ago.

        Raises:
            ProtocolViolation: these entries took far too long.
        """
        before, self._checked_at = self._checked_at, thread_time_ns()
        if self._checked_at - before > _LONGEST_CHECK_NS:
            raise ProtocolViolation("the keys of a map collide")


def vector(element: Codec[T]) -> Codec[list[T]]:
    """The codec of Vector<element>; Vector<u8> is a byte string, which has a codec of its own."""
    return NumberVector(element) if isinstance(element, Number) else Vector(element)


def array(element: Codec[T], length: int) -> Codec[tuple[T, ...]]:
    """The codec of Array<element, length>."""
    return Array(element, length)


def hash_map(key: Codec[K], value: Codec[V]) -> Codec[dict[K, V]]:
    """The codec of HashMap<key, value>."""
    return HashMap("HashMap", key, value)


def ordered_hash_map(key: Codec[K], value: Codec[V]) -> Codec[dict[K, V]]:
    """The codec of OrderedHashMap<key, value>. A dict keeps its order either way."""
    return HashMap("OrderedHashMap", key, value)
