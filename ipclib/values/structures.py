"""Owns the codecs of structs, of enums, and of types that are another type on the wire.
Must not know which classes there are, nor messages, frames, sockets or loops.
"""

from __future__ import annotations

import enum
import struct
import threading
from collections.abc import Callable
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from ipclib.errors import ProtocolViolation
from ipclib.showing import text_shown
from ipclib.values.codecs import ENCODE_ERRORS, Codec, Number, user_cause
from ipclib.values.decoding import MOST_PER_BYTE, Buffer, Decoding, Files, Outgoing

if TYPE_CHECKING:
    from ipclib.values.samples import Dice

T = TypeVar("T")
W = TypeVar("W")
E = TypeVar("E", bound=enum.Enum)

MAX_DEPTH = 64
"""How deep structs that contain themselves may be nested, sent or received."""


class Struct:
    """The base of the structs of generated modules."""

    __slots__ = ("__weakref__",)


class Structure(Codec[T]):
    """The codec of a struct: the fields of an attrs class in order."""

    def __init__(self, python: type[T], *codecs: Codec[Any]) -> None:
        fields = _fields(python)
        if len(fields) != len(codecs):
            raise TypeError(f"{python.__qualname__} has {len(fields)} fields, and {len(codecs)} codecs")
        self.name = python.__name__
        self.smallest = sum(codec.smallest for codec in codecs)
        self.values = 1 + sum(codec.values for codec in codecs)
        self.counts = any(codec.counts for codec in codecs)
        self._python = python
        self._is_validated = any(field.validator for field in fields)
        self._names = tuple(field.name for field in fields)
        self._values = _reader(self._names)
        self._make = _maker(python, fields)
        self._codecs = codecs

    @cached_property
    def draft(self) -> Callable[[], Any]:
        """A class with the fields of a generated struct that can be assigned.

        To set `__class__` of its object then makes a struct, for a third of the time that __init__ of a
        frozen attrs class takes. Generated structs have nothing else that __init__ would do.
        """
        return type(self.name, (Struct,), {"__slots__": self._names})

    def encode(self, value: T, files: Files) -> bytes:
        if not isinstance(value, self._python):
            raise TypeError(f"{self.name} is needed, not {type(value).__name__}")
        if self._is_validated:
            self._validate(value)
        return self._pack(self._values(value), files)

    def _validate(self, value: T) -> None:
        """Run the class's validators, as the receiver will: fields can be set, or changed, without them."""
        try:
            attrs.validate(value)  # type: ignore[arg-type]
        except Exception as error:  # The class's validators may raise anything.
            raise ValueError(f"{self.name}: {error}") from user_cause(error)

    def _pack(self, values: tuple[Any, ...], files: Files) -> bytes:
        pieces: list[bytes] = []
        try:
            for codec, value in zip(self._codecs, values, strict=True):
                pieces.append(codec.encode(value, files))
        except ENCODE_ERRORS as error:
            raise ValueError(f"{self.name}.{self._names[len(pieces)]}: {error}") from user_cause(error)
        return b"".join(pieces)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[T, int]:
        values = []
        for codec in self._codecs:
            value, at = codec.decode(data, at, decoding)
            values.append(value)
        return self._made(values), at

    def _made(self, values: list[Any] | tuple[Any, ...]) -> T:
        try:
            return self._make(*values)
        except (RecursionError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # The class's validators may raise anything for a peer's values.
            raise ProtocolViolation(f"{self.name}: {text_shown(error)}") from error

    def python_types(self) -> frozenset[type]:
        return frozenset((self._python,))

    def sample(self, dice: Dice) -> T:
        return dice.made(self._python, lambda: self._made([codec.sample(dice) for codec in self._codecs]))


class NumberStructure(Structure[T]):
    """The codec of a struct that has only fixed-width numbers, which are packed in one step."""

    def __init__(self, python: type[T], *codecs: Number[Any]) -> None:
        super().__init__(python, *codecs)
        self.values = 1 + len(codecs) // 8  # They are unpacked in one step.
        self._struct = struct.Struct("=" + "".join(codec.format for codec in codecs))

    def _pack(self, values: tuple[Any, ...], files: Files) -> bytes:
        try:
            return self._struct.pack(*values)
        except (struct.error, OverflowError):
            return super()._pack(values, files)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[T, int]:
        return self._made(self._struct.unpack_from(data, at)), at + self.smallest


def _fields(python: type[Any]) -> list[attrs.Attribute[Any]]:
    return [field for field in attrs.fields(python) if field.init]


def _reader(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """A function that returns these attributes of a value as a tuple, even if there is only one."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple([getattr(value, name) for name in names])


def _maker(python: type[T], fields: list[attrs.Attribute[Any]]) -> Callable[..., T]:
    """A function that makes a value from the values of its fields, in order."""
    if not any(field.kw_only for field in fields):
        return python
    names = [field.alias or field.name for field in fields]
    return lambda *values: python(**dict(zip(names, values, strict=True)))


class Converted(Codec[T], Generic[T, W]):
    """The codec of values that are of another type on the wire, with a function for each direction."""

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
        self.values = 1 + wire.values
        self.counts = wire.counts
        self._wire = wire
        self._to_wire = to_wire
        self._from_wire = from_wire
        self._python = frozenset(python)
        self._main = python[0]

    def encode(self, value: T, files: Files) -> bytes:
        return self._wire.encode(self._to_wire(value), files)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[T, int]:
        value, at = self._wire.decode(data, at, decoding)
        return self._from_wire(value), at

    def python_types(self) -> frozenset[type]:
        return self._python

    def sample(self, dice: Dice) -> T:
        return dice.made(self._main, lambda: self._from_wire(self._wire.sample(dice)))


class _Depth(threading.local):
    encoding = 0


_depth = _Depth()


class Recursive(Codec[T]):
    """The codec of a struct that contains itself, made at its first use, when the codecs of its parts exist.

    A struct contains itself through a Vector, an Optional or a map, so it takes at least one byte. Each value
    counts as an element, wherever it is: else each element of a Vector could be as deep as MAX_DEPTH.
    """

    name = "a struct that contains itself"
    smallest = 1
    counts = True
    counts_itself = True

    def __init__(self, make: Callable[[], Codec[T]]) -> None:
        self._make = make
        self._made: Codec[T] | None = None
        self._each = 2
        """How often a value counts, from the first use on."""

    def _codec(self) -> Codec[T]:
        if self._made is None:
            self._made = made = self._make()
            # Each level takes 0.5 us and each value 0.3 us, so they count one by one.
            self._each = 1 + min(made.values, MOST_PER_BYTE * made.smallest)
        return self._made

    def encode(self, value: T, files: Files) -> bytes:
        if _depth.encoding == MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        _depth.encoding += 1
        try:
            codec = self._codec()
            if type(files) is Outgoing:
                files.elements += self._each
            return codec.encode(value, files)
        except RecursionError:
            raise ValueError("nested too deep for this stack") from None
        finally:
            _depth.encoding -= 1

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[T, int]:
        if decoding.depth == MAX_DEPTH:
            raise ProtocolViolation(f"nested deeper than {MAX_DEPTH}")
        decoding.depth += 1
        try:
            codec = self._codec()
            decoding.spend(self._each)
            return codec.decode(data, at, decoding)
        finally:
            decoding.depth -= 1

    def python_types(self) -> frozenset[type]:
        return self._codec().python_types()

    def sample(self, dice: Dice) -> T:
        return self._codec().sample(dice)

    def check_key(self) -> None:
        """Check nothing: its class is not known yet, and the compiler has checked it."""


def structure(python: type[T], *codecs: Codec[Any]) -> Codec[T]:
    """The codec of a struct, from the codecs of its fields.

    Raises:
        TypeError: there are more or fewer codecs than fields.
    """
    numbers = tuple(codec for codec in codecs if isinstance(codec, Number))
    return NumberStructure(python, *numbers) if len(numbers) == len(codecs) else Structure(python, *codecs)


class Members(dict[int, E]):
    """The members of an enum by number; of another number, the enum says what it stands for.

    A look-up takes a sixth of the time of a call of the enum.
    """

    __slots__ = ("_python",)

    def __init__(self, python: type[E]) -> None:
        super().__init__({int(member.value): member for member in python})
        self._python = python

    def __missing__(self, number: int) -> E:
        return self._python(number)


class Enumeration(Codec[E]):
    """The codec of an enum: the number of a member, in the underlying type."""

    values = 2

    def __init__(self, python: type[E], underlying: Codec[int]) -> None:
        self.name = python.__name__
        self.smallest = underlying.smallest
        self.members = Members(python)
        """The members by number."""
        self._python = python
        self._underlying = underlying

    def encode(self, value: E, files: Files) -> bytes:
        if not isinstance(value, self._python):
            raise TypeError(f"{self.name} is needed, not {type(value).__name__}")
        return self._underlying.encode(int(value.value), files)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[E, int]:
        number, at = self._underlying.decode(data, at, decoding)
        return self.members[number], at

    def python_types(self) -> frozenset[type]:
        return frozenset((self._python,))

    def sample(self, dice: Dice) -> E:
        return dice.random.choice(tuple(self._python))


def enumeration(python: type[E], underlying: Codec[int]) -> Enumeration[E]:
    """The codec of an enum: the number of a member, in the underlying type.

    Raises:
        ValueError: the number of a member does not fit the underlying type.
    """
    name = python.__name__
    for member in python:
        try:
            underlying.encode(member.value, [])
            if python(int(member.value)) is not member:
                raise ValueError("its number stands for another member")
        except ENCODE_ERRORS as error:
            raise ValueError(f"{name}.{member.name} = {member.value!r}: {error}") from None
    return Enumeration(python, underlying)


def recursive(make: Callable[[], Codec[T]]) -> Codec[T]:
    """The codec of a struct that contains itself; `make` makes the codec of its fields at the first use."""
    return Recursive(make)
