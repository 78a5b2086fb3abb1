"""What a type is once its name is resolved: in Python, in a signature, and for the generated code.

Knows types and their definitions alone, no sources, messages or names of the table.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import attrs


class Packing(enum.Enum):
    """How generated code moves a value at message level."""

    NUMBER = "a fixed-size number, packed by struct"
    FLAG = "a bool: one byte, 0 or 1"
    TEXT = "u32 length, UTF-8"
    OCTETS = "u32 length, bytes"
    CODED = "by a codec object"


@attrs.frozen
class Type:
    """A resolved type.

    `canonical` is its spelling in signatures, without white space; `annotation` its Python type, builtins
    in braces; `accepts` what a sender may pass, where that is more; `classes` the classes that its values
    have, by which a Variant tells them apart. `codec` names the runtime's codec of a type without
    parts; `maker` is the runtime's function that makes the codec of a composite type from those of its
    `parts`, and from its `count`.
    """

    canonical: str
    annotation: str
    classes: frozenset[str]
    codec: str = ""
    packing: Packing = Packing.CODED
    format: str = ""
    can_be_key: bool = True
    carries_files: bool = False
    takes_no_bytes: bool = False
    accepts: str = ""
    maker: str = ""
    parts: tuple[Type, ...] = ()
    count: int | None = None
    definition: Definition | None = None

    @property
    def accepted(self) -> str:
        """The annotation of what a sender may pass."""
        return self.accepts or self.annotation

    @property
    def is_key(self) -> bool:
        """Whether it may be a map's key: hashable, and equal to itself."""
        return self.definition.is_key if self.definition else self.can_be_key

    @property
    def is_empty(self) -> bool:
        """Whether its values take neither bytes nor descriptors."""
        return self.definition.is_empty if self.definition else self.takes_no_bytes

    @property
    def holds_files(self) -> bool:
        if self.definition:
            return self.definition.holds_files
        return self.carries_files or any(part.holds_files for part in self.parts)

    @property
    def is_closed(self) -> bool:
        """Whether a value may end here: a list may be empty, an optional absent."""
        return self.maker in ("vector", "hash_map", "ordered_hash_map", "optional")

    @property
    def mentioned(self) -> Iterator[Definition]:
        """The definitions that the type names, in order; not those that their own fields name."""
        if self.definition:
            yield self.definition
        for part in self.parts:
            yield from part.mentioned

    @property
    def mentioned_directly(self) -> Iterator[Definition]:
        """Those of which each value of the type holds one."""
        if self.definition:
            yield self.definition
        if not self.is_closed:
            for part in self.parts:
                yield from part.mentioned_directly


UNKNOWN = Type("?", "object", frozenset())
"""Stands for a type that was refused, so that checking can go on."""


@attrs.frozen
class Member:
    """A field of a struct. `name` is the interface's, `python` the one of the attribute."""

    name: str
    python: str
    type: Type
    documentation: tuple[str, ...] = ()


@attrs.frozen
class Enumerator:
    name: str
    python: str
    number: int
    documentation: tuple[str, ...] = ()


@attrs.define(eq=False)
class Struct:
    """A struct of an interface file or, with `module`, a registered attrs class.

    Fields may mention structs that come later, so they and what follows from them (the last five) are
    known only when all names are.
    """

    name: str
    python: str
    documentation: tuple[str, ...] = ()
    module: Module | None = None
    is_hashable: bool = True
    fields: tuple[Member, ...] = ()
    is_key: bool = True
    is_empty: bool = False
    holds_files: bool = False
    depth: int = 1
    is_recursive: bool = False

    @property
    def types(self) -> tuple[Type, ...]:
        return tuple(field.type for field in self.fields)

    @property
    def canonical(self) -> str:
        """The definition as a signature spells it out."""
        return f"{self.name}{{{','.join(type.canonical for type in self.types)}}}"

    @property
    def text(self) -> list[str]:
        """The lines of its declaration."""
        return _declared(
            "struct",
            self.name,
            self.documentation,
            ((f, f"{f.type.canonical} {f.name};") for f in self.fields),
        )


@attrs.define(eq=False)
class Enumeration:
    """An enum of an interface file or, with `module`, a registered Python enum."""

    name: str
    python: str
    underlying: Type
    documentation: tuple[str, ...] = ()
    module: Module | None = None
    enumerators: tuple[Enumerator, ...] = ()
    is_key = True
    is_empty = False
    holds_files = False
    depth = 1
    is_recursive = False
    types: tuple[Type, ...] = attrs.field(default=(), init=False)

    @property
    def canonical(self) -> str:
        numbers = ",".join(str(enumerator.number) for enumerator in self.enumerators)
        return f"{self.name}:{self.underlying.canonical}{{{numbers}}}"

    @property
    def text(self) -> list[str]:
        head = f"{self.name} : {self.underlying.canonical}"
        members = ((e, f"{e.name} = {e.number},") for e in self.enumerators)
        return _declared("enum", head, self.documentation, members)


@attrs.define(eq=False)
class Opaque:
    """A registered class with a codec of its own: nothing is known of it but its name."""

    name: str
    python: str
    module: Module
    is_key = True
    is_empty = False
    holds_files = True
    depth = 1
    is_recursive = False
    types: tuple[Type, ...] = attrs.field(default=(), init=False)

    @property
    def canonical(self) -> str:
        return ""

    @property
    def text(self) -> list[str]:
        return [f"// {self.name} has a codec of its own."]


Definition: TypeAlias = Struct | Enumeration | Opaque


@attrs.frozen
class Module:
    """Where a registered class is imported from: `name` as an import statement spells it, and as what."""

    name: str
    class_name: str


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


def defined(definition: Definition) -> Type:
    """The type that a definition makes."""
    return Type(definition.name, definition.python, frozenset({definition.name}), definition=definition)


def reached(types: Iterable[Type]) -> tuple[Definition, ...]:
    """The definitions that types mention and that those mention in turn, in order of first use."""
    found = list(dict.fromkeys(d for type in types for d in type.mentioned))
    seen = set(found)
    for definition in found:
        for type in definition.types:
            new = [d for d in dict.fromkeys(type.mentioned) if d not in seen]
            seen.update(new)
            found += new
    return tuple(found)


def _declared(
    keyword: str, head: str, documentation: Iterable[str], members: Iterable[tuple[Member | Enumerator, str]]
) -> list[str]:
    lines = [*doc_comments(documentation, ""), f"{keyword} {head}", "{"]
    for member, text in members:
        lines += [*doc_comments(member.documentation, "    "), f"    {text}"]
    return [*lines, "}"]


def doc_comments(documentation: Iterable[str], indentation: str) -> Iterator[str]:
    for line in documentation:
        yield f"{indentation}/// {line}".rstrip()
