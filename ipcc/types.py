"""The type table: what each `.ipc` type is in Python, in a signature and for the generated code.

Knows types alone, no messages and no sources. A new type is a new row here.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

import attrs


class Layout(enum.Enum):
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
    in braces; `codec` the expression that names its codec; `maker` the runtime's function that makes the
    codec of a composite type from those of its `parts`.
    """

    canonical: str
    annotation: str
    codec: str
    layout: Layout = Layout.CODED
    format: str = ""
    is_hashable: bool = True
    holds_files: bool = False
    maker: str = ""
    parts: tuple[Type, ...] = ()

    @property
    def accepted(self) -> str:
        """The annotation of what a sender may pass."""
        return "_ipc.Octets" if self.layout is Layout.OCTETS else self.annotation


@attrs.frozen
class Row:
    """One name of the table: the namespace that may qualify it, and what makes its type of `arity` others.

    Where it `has_key`, the first of these must be hashable.
    """

    namespace: str
    arity: int
    make: Callable[..., Type]
    has_key: bool = False

    @classmethod
    def of(cls, type: Type, namespace: str = "AK") -> Row:
        return cls(namespace, 0, lambda: type)


def _number(canonical: str, format: str, annotation: str = "{int}", codec: str = "") -> Type:
    hashable = annotation == "{int}"
    return Type(canonical, annotation, f"_ipc.{codec or canonical}", Layout.NUMBER, format, hashable)


_I32 = _number("i32", "i")
_U32 = _number("u32", "I")
_U64 = _number("u64", "Q")
_U8 = _number("u8", "B")
_STRING = Type("String", "{str}", "_ipc.string", Layout.TEXT)
_BYTES = Type("ByteString", "{bytes}", "_ipc.byte_string", Layout.OCTETS)
_FILE = Type("File", "_ipc.File", "_ipc.file", is_hashable=False, holds_files=True)


UNKNOWN = Type("?", "object", "", Layout.CODED)
"""Stands for a type that was refused, so that checking can go on."""


def utf8_byte_string() -> Type:
    """`[UTF8] ByteString`."""
    return attrs.evolve(_STRING, canonical="[UTF8] ByteString")


def file() -> Type:
    """`[File] x`, which is an IPC::File."""
    return _FILE


def _composite(name: str, annotation: str, maker: str, *parts: Type) -> Type:
    canonical = f"{name}<{','.join(part.canonical for part in parts)}>"
    return Type(
        canonical,
        annotation,
        codec=re.sub(r"\W+", "_", f"_{canonical}").rstrip("_"),
        is_hashable=False,
        holds_files=any(part.holds_files for part in parts),
        maker=maker,
        parts=parts,
    )


def _vector(element: Type) -> Type:
    if element is _U8:
        return attrs.evolve(_BYTES, canonical="Vector<u8>", is_hashable=False)
    return _composite("Vector", f"{{list}}[{element.annotation}]", "vector", element)


def _hash_map(key: Type, value: Type) -> Type:
    return _composite("HashMap", f"{{dict}}[{key.annotation}, {value.annotation}]", "hash_map", key, value)


def _optional(value: Type) -> Type:
    annotation = value.annotation if value.maker == "optional" else f"{value.annotation} | None"
    return _composite("Optional", annotation, "optional", value)


TABLE: dict[str, Row] = {
    "bool": Row.of(Type("bool", "{bool}", "_ipc.boolean", Layout.FLAG, "B")),
    "i8": Row.of(_number("i8", "b")),
    "i16": Row.of(_number("i16", "h")),
    "i32": Row.of(_I32),
    "i64": Row.of(_number("i64", "q")),
    "u8": Row.of(_U8),
    "u16": Row.of(_number("u16", "H")),
    "u32": Row.of(_U32),
    "u64": Row.of(_U64),
    "int": Row.of(_I32),
    "unsigned": Row.of(_U32),
    "size_t": Row.of(_U64),
    "float": Row.of(_number("float", "f", "{float}", "float_")),
    "double": Row.of(_number("double", "d", "{float}")),
    "String": Row.of(_STRING),
    "StringView": Row.of(_STRING),
    "ByteString": Row.of(_BYTES),
    "ByteBuffer": Row.of(_BYTES),
    "Vector": Row("AK", 1, _vector),
    "HashMap": Row("AK", 2, _hash_map, has_key=True),
    "Optional": Row("AK", 1, _optional),
    "File": Row.of(_FILE, "IPC"),
}

KNOWN_NAMES = tuple(f"IPC::{name}" if row.namespace == "IPC" else name for name, row in TABLE.items())
"""The names of the table as a hint should spell them."""


def look_up(name: str) -> Row | None:
    """The row of a name as written; a leading `::` and the name's own namespace add nothing."""
    namespace, _, plain = name.removeprefix("::").rpartition("::")
    row = TABLE.get(plain)
    return row if row and namespace in ("", row.namespace) else None


def plain_name(name: str) -> str:
    """The name without qualifiers."""
    return name.rpartition("::")[2]
