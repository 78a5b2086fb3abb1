"""Owns the codecs of containers: vectors, arrays, maps.
Must not know messages, frames, sockets or loops.
"""

from __future__ import annotations

import struct
from array import array as PackedArray
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice
from struct import Struct
from time import thread_time_ns
from typing import TYPE_CHECKING, Any, TypeVar

from ipclib.errors import ProtocolViolation
from ipclib.values.codecs import Codec, Number
from ipclib.values.decoding import Buffer, Decoding, Files, Outgoing, weight

if TYPE_CHECKING:
    from ipclib.values.samples import Dice

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# The time that an entry may take to enter a map. An honest one takes 0.1 us, or 1 us if its key is of a class
# that hashes itself. A colliding one takes up to 20 ns for each entry that is there.
_NS_PER_ENTRY = 2_000
_FEW_ENTRIES = 8
_MOST_ENTRIES_AT_ONCE = 256
_MOST_PROBES_AT_ONCE = 5_000_000

_U32 = Struct("=I")


def _check_room(what: str, count: int, files: int) -> None:
    """Refuse elements that take neither bytes nor descriptors: a receiver could not check their count."""
    if count > files:
        raise ValueError(f"{what} of {count} elements that take no bytes")


class Vector(Codec[list[T]]):
    """The codec of Vector<T>, a list of any elements but fixed-width numbers."""

    smallest = 4
    counts = True

    def __init__(self, element: Codec[T]) -> None:
        self.name = f"Vector<{element.name}>"
        self._element = element
        self.each = 0 if element.counts_itself else weight(element.values, element.smallest)
        """How often an element counts."""

    def encode(self, value: list[T], files: Files) -> bytes:
        if not isinstance(value, (list, tuple)):
            raise TypeError("a list is needed")
        encode = self._element.encode
        before = len(files)
        encoded = [encode(element, files) for element in value]
        if not self._element.smallest:
            _check_room(self.name, len(encoded), len(files) - before)
        return self.counted(len(encoded), files) + b"".join(encoded)

    def counted(self, count: int, files: Files) -> bytes:
        """Count the elements of a list that is sent, and return the bytes of their number."""
        if type(files) is Outgoing:
            files.elements += count * self.each
        return _U32.pack(count)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[list[T], int]:
        count = decoding.count(data, at, self._element.smallest, self.each)
        at += 4
        decode = self._element.decode
        values: list[T] = []
        for _ in range(count):
            value, at = decode(data, at, decoding)
            values.append(value)
        return values, at

    def python_types(self) -> frozenset[type]:
        return frozenset((list,))

    def sample(self, dice: Dice) -> list[T]:
        return dice.several(self._element.sample)


class NumberVector(Codec[list[T]]):
    """The codec of Vector<T> for fixed-width numbers, which are packed in one step.

    They have their own limit, max_numbers: they are cheap to decode, but take up to 36 bytes each in memory.
    """

    smallest = 4
    counts = True

    def __init__(self, element: Number[T]) -> None:
        self.name = f"Vector<{element.name}>"
        self._element = element

    def encode(self, value: list[T], files: Files) -> bytes:
        if not isinstance(value, (list, tuple, PackedArray)):
            raise TypeError("a list is needed")
        if type(files) is Outgoing:
            files.numbers += len(value)
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

    def sample(self, dice: Dice) -> list[T]:
        return dice.several(self._element.sample)


class Array(Codec[tuple[T, ...]]):
    """The codec of Array<T, N>, a tuple: a vector whose count is known."""

    values = 2
    counts = True

    def __init__(self, element: Codec[T], length: int) -> None:
        self.name = f"Array<{element.name},{length}>"
        self.smallest = 4 + length * element.smallest
        self._element = element
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

    def sample(self, dice: Dice) -> tuple[T, ...]:
        return tuple(dice.several(self._element.sample, self._length))


class HashMap(Codec[dict[K, V]]):
    """The codec of HashMap<K, V> and OrderedHashMap<K, V>, a dict."""

    counts = True

    def __init__(self, name: str, key: Codec[K], value: Codec[V]) -> None:
        key.check_key()
        self.name = f"{name}<{key.name},{value.name}>"
        self.smallest = 4
        self._key = key
        self._value = value
        self.each = weight(key.values + value.values, key.smallest + value.smallest)
        """How often an entry counts."""

    def encode(self, value: dict[K, V], files: Files) -> bytes:
        if not isinstance(value, dict):
            raise TypeError("a dict is needed")
        encode_key = self._key.encode
        encode_value = self._value.encode
        before = len(files)
        pieces = []
        keys = set()
        for key, element in value.items():
            encoded = encode_key(key, files)
            keys.add(encoded)
            pieces.append(encoded)
            pieces.append(encode_value(element, files))
        if len(keys) != len(value):
            raise ValueError("two keys of the dict are the same on the wire")
        if not self._key.smallest + self._value.smallest:
            _check_room(self.name, len(keys), len(files) - before)
        return self.counted(len(keys), files) + b"".join(pieces)

    def counted(self, count: int, files: Files) -> bytes:
        """Count the entries of a dict that is sent, and return the bytes of their number."""
        if type(files) is Outgoing:
            files.elements += count * self.each
        return _U32.pack(count)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[dict[K, V], int]:
        count = decoding.count(data, at, self._key.smallest + self._value.smallest, self.each)
        at += 4
        decode_key = self._key.decode
        decode_value = self._value.decode
        keys: list[K] = []
        values: list[V] = []
        for _ in range(count):
            key, at = decode_key(data, at, decoding)
            keys.append(key)
            value, at = decode_value(data, at, decoding)
            values.append(value)
        return self.entries(zip(keys, values, strict=True), count, decoding), at

    def entries(self, entries: Iterable[tuple[K, V]], count: int, decoding: Decoding) -> dict[K, V]:
        """Make a dict of `count` entries that a peer has sent.

        Raises:
            ProtocolViolation: a key is repeated, or the keys are chosen so that they collide.
        """
        made = dict(entries) if count <= _FEW_ENTRIES else _entered(iter(entries), count, decoding)
        if len(made) != count:
            raise ProtocolViolation("a key is repeated in a map")
        return made

    def python_types(self) -> frozenset[type]:
        return frozenset((dict,))

    def sample(self, dice: Dice) -> dict[K, V]:
        return dict(dice.several(lambda dice: (self._key.sample(dice), self._value.sample(dice))))


def _entered(given: Iterator[tuple[K, V]], count: int, decoding: Decoding) -> dict[K, V]:
    """A dict of these entries, whose keys a peer may have chosen to collide.

    An int hashes to itself, and a struct's hash can be calculated, so a peer can choose keys that are all
    looked for in the same places; each then costs more than the one before. This thread's CPU time shows it,
    and is read so often that the time between two readings is bounded, too.

    Raises:
        ProtocolViolation: the keys take too long, or one is repeated.
    """
    entries: dict[K, V] = {}
    began = thread_time_ns()
    at = 0
    while at < count:
        some = min(_MOST_ENTRIES_AT_ONCE, _MOST_PROBES_AT_ONCE // (at + 1), count - at)
        entries.update(islice(given, some))
        at += some
        if len(entries) != at:
            raise ProtocolViolation("a key is repeated in a map")
        now = thread_time_ns()
        late = now - began - _NS_PER_ENTRY * some
        if late > 0:
            decoding.spend_work(late, "the keys of a map collide")
        began = now
    return entries


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
