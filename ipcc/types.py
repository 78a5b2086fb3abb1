"""Owns what a type is once its name is resolved: in Python, in a signature, and for generated code.

Must not know sources, messages, the names of the built-in types, or what a compilation defines.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator

import attrs


class Packing(enum.Enum):
    """How generated code packs a parameter."""

    NUMBER = "a fixed-size number, packed by struct"
    FLAG = "a bool: one byte, 0 or 1"
    TEXT = "a u32 length, then UTF-8"
    OCTETS = "a u32 length, then the bytes"
    CODED = "whatever its codec writes"


@attrs.frozen
class Type:
    """A resolved type. A struct, enum or registered class is held by name, never by reference."""

    canonical: str
    """Its spelling in signatures, without white space."""
    annotation: str
    """Its Python type, with each builtin in braces, so that the emitter can qualify it."""
    classes: frozenset[str]
    """The classes of its values; a Variant tells its alternatives apart by them."""
    codec: str = ""
    """The runtime's codec, for a type without parts."""
    packing: Packing = Packing.CODED
    format: str = ""
    """Its character in a struct format, for a number or a flag."""
    can_be_key: bool = True
    """Whether its values are hashable and equal to themselves; for a defined type, its definition decides."""
    carries_files: bool = False
    """Whether its values hold descriptors of their own, apart from those of its parts."""
    takes_no_bytes: bool = False
    accepts: str = ""
    """The annotation of what a sender may pass, where that is more than `annotation`."""
    maker: str = ""
    """The runtime's function that makes the codec of a composite type from those of its parts."""
    parts: tuple[Type, ...] = ()
    count: int | None = None
    """The number of elements of an Array."""
    defined: str = ""
    """The name of the struct, enum or registered class that it is; empty for every other type."""

    @property
    def accepted(self) -> str:
        """The annotation of what a sender may pass."""
        return self.accepts or self.annotation

    @property
    def may_hold_nothing(self) -> bool:
        """Whether a value may hold no value of its parts, as an empty list or an absent optional."""
        return self.maker in ("vector", "hash_map", "ordered_hash_map", "optional")

    @property
    def mentioned(self) -> Iterator[str]:
        """The names of the definitions in it, in order, without those that their own fields mention."""
        if self.defined:
            yield self.defined
        for part in self.parts:
            yield from part.mentioned

    @property
    def always_held(self) -> Iterator[str]:
        """The names of the definitions of which every value of this type holds one."""
        if self.defined:
            yield self.defined
        if not self.may_hold_nothing:
            for part in self.parts:
                yield from part.always_held


UNKNOWN = Type("?", "object", frozenset())
"""Stands for a type that was refused, so that checking can go on."""


def composite(name: str, annotation: str, maker: str, classes: Iterable[str], *parts: Type) -> Type:
    """A type made of others."""
    return Type(
        f"{name}<{','.join(part.canonical for part in parts)}>",
        annotation,
        frozenset(classes),
        can_be_key=False,
        maker=maker,
        parts=parts,
    )


def defined_type(name: str, python: str) -> Type:
    """The type that a definition makes, from its name in interfaces and its name in Python."""
    return Type(name, python, frozenset({name}), defined=name)
