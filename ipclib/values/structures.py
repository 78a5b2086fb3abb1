"""Codecs that give values a class of their own: structs, enums, a type that is another type on the wire, and
structs that contain themselves. Knows codecs only; which classes there are is for generated code and its
neighbours to say.
"""

from __future__ import annotations

import enum
import struct
import threading
from collections.abc import Callable
from operator import attrgetter
from struct import Struct
from typing import Any, Generic, TypeVar

import attrs

from ipclib.errors import ProtocolViolation
from ipclib.values.codecs import ENCODE_ERRORS, Buffer, Codec, Files, Frame, Number

T = TypeVar("T")
W = TypeVar("W")
E = TypeVar("E", bound=enum.Enum)

MAX_DEPTH = 64
"""Of structs inside structs of their own kind, and of whatever else nests as deep as its sender likes."""


class Structure(Codec[T]):
    """An attrs class: its fields in order."""

    def __init__(self, python: type[T], codecs: tuple[Codec[Any], ...]) -> None:
        fields = _fields(python)
        if len(fields) != len(codecs):
            raise TypeError(f"{python.__qualname__} has {len(fields)} fields, and {len(codecs)} codecs")
        self.name = python.__name__
        self.smallest = sum(codec.smallest for codec in codecs)
        self._python = python
        self._names = tuple(field.name for field in fields)
        self._values = _reader(self._names)
        self._make = _maker(python, fields)
        self._codecs = codecs

    def encode(self, value: T, files: Files) -> bytes:
        if not isinstance(value, self._python):
            raise TypeError(f"{self.name} is needed, not {type(value).__name__}")
        return self._pack(self._values(value), files)

    def _pack(self, values: tuple[Any, ...], files: Files) -> bytes:
        pieces: list[bytes] = []
        try:
            for codec, value in zip(self._codecs, values, strict=True):
                pieces.append(codec.encode(value, files))
        except ENCODE_ERRORS as error:
            raise ValueError(f"{self.name}.{self._names[len(pieces)]}: {error}") from error
        return b"".join(pieces)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[T, int]:
        values = []
        for codec in self._codecs:
            value, at = codec.decode(data, at, frame)
            values.append(value)
        return self._made(values), at

    def _made(self, values: list[Any] | tuple[Any, ...]) -> T:
        try:
            return self._make(*values)
        except Exception as error:  # A class's own validators may raise anything, for what a peer chose.
            raise ProtocolViolation(f"{self.name}: {error}") from error

    def python_types(self) -> frozenset[type]:
        return frozenset((self._python,))


class NumberStructure(Structure[T]):
    """A struct of fixed-width numbers alone, packed in one go."""

    def __init__(self, python: type[T], codecs: tuple[Number[Any], ...]) -> None:
        super().__init__(python, codecs)
        self._struct = Struct("=" + "".join(codec.format for codec in codecs))

    def _pack(self, values: tuple[Any, ...], files: Files) -> bytes:
        try:
            return self._struct.pack(*values)
        except (struct.error, OverflowError):
            return super()._pack(values, files)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[T, int]:
        return self._made(self._struct.unpack_from(data, at)), at + self.smallest


def _fields(python: type[Any]) -> list[attrs.Attribute[Any]]:
    return [field for field in attrs.fields(python) if field.init]


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """What reads these attributes off a value, as a tuple however many they are."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple([getattr(value, name) for name in names])


def _maker(python: type[T], fields: list[attrs.Attribute[Any]]) -> Callable[..., T]:
    """What makes a value of its fields' values, in order."""
    if not any(field.kw_only for field in fields):
        return python
    names = [field.alias or field.name for field in fields]
    return lambda *values: python(**dict(zip(names, values, strict=True)))


class Converted(Codec[T], Generic[T, W]):
    """Values that are others on the wire, with a function for each way."""

    def __init__(
        self,
        name: str,
        wire: Codec[W],
        to_wire: Callable[[T], W],
        from_wire: Callable[[W], T],
        *python: type,
    ) -> None:
        self.name = name
        self.smallest = wire.smallest
        self._wire = wire
        self._to_wire = to_wire
        self._from_wire = from_wire
        self._python = frozenset(python)

    def encode(self, value: T, files: Files) -> bytes:
        return self._wire.encode(self._to_wire(value), files)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[T, int]:
        value, at = self._wire.decode(data, at, frame)
        return self._from_wire(value), at

    def python_types(self) -> frozenset[type]:
        return self._python


class _Depth(threading.local):
    encoding = 0


_depth = _Depth()


class Recursive(Codec[T]):
    """A struct that contains itself, made at its first use, when its parts exist.

    Between it and itself stands a Vector, an Optional or a map, so it takes at least one byte.
    """

    name = "a struct that contains itself"
    smallest = 1

    def __init__(self, make: Callable[[], Codec[T]]) -> None:
        self._make = make
        self._made: Codec[T] | None = None

    def _codec(self) -> Codec[T]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def encode(self, value: T, files: Files) -> bytes:
        if _depth.encoding == MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        _depth.encoding += 1
        try:
            return self._codec().encode(value, files)
        except RecursionError:
            raise ValueError("nested too deep for this stack") from None
        finally:
            _depth.encoding -= 1

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[T, int]:
        if frame.depth == MAX_DEPTH:
            raise ProtocolViolation(f"nested deeper than {MAX_DEPTH}")
        frame.depth += 1
        try:
            return self._codec().decode(data, at, frame)
        except RecursionError:
            raise ProtocolViolation("nested too deep for this stack") from None
        finally:
            frame.depth -= 1

    def python_types(self) -> frozenset[type]:
        return self._codec().python_types()

    def check_key(self) -> None:
        """Its class is not known yet; the compiler saw to it."""


def structure(python: type[T], *codecs: Codec[Any]) -> Codec[T]:
    """The codec of a struct, from those of its fields. TypeError when their numbers differ."""
    numbers = tuple(codec for codec in codecs if isinstance(codec, Number))
    return NumberStructure(python, numbers) if len(numbers) == len(codecs) else Structure(python, codecs)


def enumeration(python: type[E], underlying: Codec[int]) -> Codec[E]:
    """The codec of an enum: its number, which must be a member's. ValueError when a member's does not fit."""
    name = python.__name__
    for member in python:
        try:
            underlying.encode(member.value, [])
        except ENCODE_ERRORS as error:
            raise ValueError(f"{name}.{member.name} = {member.value!r}: {error}") from None

    def number(value: E) -> int:
        if not isinstance(value, python):
            raise TypeError(f"{name} is needed, not {type(value).__name__}")
        return int(value.value)

    return Converted(name, underlying, number, python, python)


def recursive(make: Callable[[], Codec[T]]) -> Codec[T]:
    return Recursive(make)
