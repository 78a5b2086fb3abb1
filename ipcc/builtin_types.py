"""Owns the built-in types of the language, and what each is in Python. A new built-in type is a new row here.

Must not know sources, messages, or the types that a compilation defines.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs

from ipcc.types import Packing, Type, composite


class Argument(enum.Enum):
    """The kinds of arguments between `<` and `>`."""

    TYPE = "a type"
    ELEMENT = "a type whose values occupy bytes (otherwise a count could not be bounded)"
    KEY = "a type that can be a key"
    COUNT = "a number of elements"


@attrs.frozen
class Row:
    """A built-in name, and how its type is made."""

    namespace: str
    """The C++ namespace that may qualify the name."""
    arguments: tuple[Argument, ...]
    make: Callable[..., Type]
    """Makes the type from its arguments."""
    is_variadic: bool = False
    """Whether the last argument may be repeated."""

    @classmethod
    def of(cls, type: Type, namespace: str = "AK") -> Row:
        """A row for a type without arguments."""
        return cls(namespace, (), lambda: type)

    @property
    def example(self) -> str:
        """The arguments as a hint shows them."""
        return ", ".join("4" if argument is Argument.COUNT else "..." for argument in self.arguments)


def _number(canonical: str, format: str, codec: str = "") -> Type:
    python = "float" if format in "fd" else "int"
    return Type(
        canonical,
        f"{{{python}}}",
        frozenset({python}),
        f"_ipc.{codec or canonical}",
        Packing.NUMBER,
        format,
        can_be_key=python == "int",
    )


def _value(
    canonical: str, annotation: str, codec: str, *, also: str = "", key: bool = True, files: bool = False
) -> Type:
    """A type whose class and codec are in the runtime; a sender may also pass an instance of `also`."""
    return Type(
        canonical,
        annotation,
        frozenset({annotation, also} if also else {annotation}),
        f"_ipc.{codec}",
        can_be_key=key,
        carries_files=files,
        accepts=f"{annotation} | {also}" if also else "",
    )


def _gfx(name: str, codec: str, *, key: bool = True, files: bool = False) -> Row:
    return Row.of(_value(f"Gfx::{name}", f"_ipc.gfx.{name}", codec, key=key, files=files), "Gfx")


_I32 = _number("i32", "i")
_U32 = _number("u32", "I")
_U64 = _number("u64", "Q")
_U8 = _number("u8", "B")
STRING = Type("String", "{str}", frozenset({"str"}), "_ipc.string", Packing.TEXT)
"""The type of String and StringView, which are UTF-8 with or without the attribute that says so."""
_BYTES = Type(
    "ByteString", "{bytes}", frozenset({"bytes"}), "_ipc.byte_string", Packing.OCTETS, accepts="_ipc.Octets"
)
_EMPTY = Type("Empty", "None", frozenset({"None"}), "_ipc.empty", can_be_key=False, takes_no_bytes=True)
_JSON = Type(
    "JsonValue",
    "_ipc.Json",
    frozenset({"None", "bool", "int", "float", "str", "list", "dict"}),
    "_ipc.json_value",
    can_be_key=False,
)
_FILE = _value("IPC::File", "_ipc.File", "file", key=False, files=True)
_BITMAP = _gfx("ShareableBitmap", "shareable_bitmap", key=False, files=True)

_ALTERNATIVE = "_ipc.Alternative"

UTF8_BYTE_STRING = attrs.evolve(STRING, canonical="[UTF8] ByteString")

ATTRIBUTES = {"UTF8": UTF8_BYTE_STRING, "File": _FILE, "Bitmap": _BITMAP.make()}
"""The attributes of parameters, with the types that they stand for."""


def _vector(element: Type) -> Type:
    if element is _U8:
        return attrs.evolve(_BYTES, canonical="Vector<u8>", can_be_key=False)
    return composite("Vector", f"{{list}}[{element.annotation}]", "vector", {"list"}, element)


def _array(element: Type, count: int) -> Type:
    annotation = f"{{tuple}}[{element.annotation}, ...]"
    array = composite("Array", annotation, "array", {"tuple"}, element)
    return attrs.evolve(array, canonical=f"Array<{element.canonical},{count}>", count=count)


def _map(name: str, maker: str) -> Callable[[Type, Type], Type]:
    def make(key: Type, value: Type) -> Type:
        annotation = f"{{dict}}[{key.annotation}, {value.annotation}]"
        return composite(name, annotation, maker, {"dict"}, key, value)

    return make


def _optional(value: Type) -> Type:
    made = composite(
        "Optional", _union(value.annotation, "None"), "optional", value.classes | {"None"}, value
    )
    return attrs.evolve(made, accepts=_union(value.accepts, "None") if value.accepts else "")


def _variant(*alternatives: Type) -> Type:
    """The type of a Variant. Alternatives that share a class are distinguished by their index."""
    annotations = []
    classes = {class_ for type in alternatives for class_ in type.classes}
    for number, type in enumerate(alternatives):
        others = {c for index, other in enumerate(alternatives) if index != number for c in other.classes}
        if type.classes.isdisjoint(others | {_ALTERNATIVE}):
            annotations.append(type.annotation)
        else:
            annotations.append(f"{_ALTERNATIVE}[{type.annotation}]")
            classes.add(_ALTERNATIVE)
    return composite("Variant", _union(*annotations), "variant", classes, *alternatives)


def _union(*annotations: str) -> str:
    """The union of annotations, each once, None last."""
    parts = dict.fromkeys(part for annotation in annotations for part in _alternatives(annotation))
    return " | ".join(sorted(parts, key=lambda part: part == "None"))


def _alternatives(annotation: str) -> list[str]:
    """The members of a union, which may have unions inside of brackets."""
    parts, depth = [""], 0
    for word in annotation.split(" | "):
        parts[-1] += f" | {word}" if depth else word
        depth += word.count("[") - word.count("]")
        if depth == 0:
            parts.append("")
    return parts[:-1]


BUILTIN_TYPES: dict[str, Row] = {
    "bool": Row.of(Type("bool", "{bool}", frozenset({"bool"}), "_ipc.boolean", Packing.FLAG, "B")),
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
    "float": Row.of(_number("float", "f", "float_")),
    "double": Row.of(_number("double", "d")),
    "String": Row.of(STRING),
    "StringView": Row.of(STRING),
    "ByteString": Row.of(_BYTES),
    "ByteBuffer": Row.of(_BYTES),
    "Vector": Row("AK", (Argument.ELEMENT,), _vector),
    "Array": Row("AK", (Argument.ELEMENT, Argument.COUNT), _array),
    "HashMap": Row("AK", (Argument.KEY, Argument.TYPE), _map("HashMap", "hash_map")),
    "OrderedHashMap": Row("AK", (Argument.KEY, Argument.TYPE), _map("OrderedHashMap", "ordered_hash_map")),
    "Optional": Row("AK", (Argument.TYPE,), _optional),
    "Variant": Row("AK", (Argument.TYPE,), _variant, is_variadic=True),
    "Empty": Row.of(_EMPTY),
    "JsonValue": Row.of(_JSON),
    "Duration": Row.of(_value("Duration", "_ipc.Duration", "duration", also="_datetime.timedelta")),
    "UnixDateTime": Row.of(
        _value("UnixDateTime", "_ipc.UnixDateTime", "unix_date_time", also="_datetime.datetime")
    ),
    "DateTime": Row.of(_value("Core::DateTime", "_datetime.datetime", "date_time"), "Core"),
    "ProxyData": Row.of(_value("Core::ProxyData", "_ipc.ProxyData", "proxy_data"), "Core"),
    "AnonymousBuffer": Row.of(
        _value("Core::AnonymousBuffer", "_ipc.AnonymousBuffer", "anonymous_buffer", key=False, files=True),
        "Core",
    ),
    "OpenMode": Row.of(_value("Core::File::OpenMode", "_ipc.OpenMode", "open_mode"), "Core::File"),
    "URL": Row.of(_value("URL::URL", "_ipc.URL", "url"), "URL"),
    "Origin": Row.of(_value("URL::Origin", "_ipc.Origin", "origin"), "URL"),
    "File": Row.of(_FILE, "IPC"),
    "IntPoint": _gfx("IntPoint", "int_point"),
    "IntSize": _gfx("IntSize", "int_size"),
    "IntRect": _gfx("IntRect", "int_rect"),
    "FloatPoint": _gfx("FloatPoint", "float_point", key=False),
    "FloatSize": _gfx("FloatSize", "float_size", key=False),
    "FloatRect": _gfx("FloatRect", "float_rect", key=False),
    "Color": _gfx("Color", "color"),
    "ShareableBitmap": _BITMAP,
}

BUILTIN_NAMES = tuple(
    name if row.namespace == "AK" else f"{row.namespace}::{name}" for name, row in BUILTIN_TYPES.items()
)
"""The built-in names as a hint should spell them."""

INTEGERS = tuple(
    name for name, row in BUILTIN_TYPES.items() if not row.arguments and row.make().annotation == "{int}"
)
"""The types that an enum may be based on."""


def look_up(name: str) -> Row | None:
    """The row of a name as written, with or without a leading `::` and the name's own namespace."""
    namespace, _, plain = name.removeprefix("::").rpartition("::")
    row = BUILTIN_TYPES.get(plain)
    return row if row and f"::{row.namespace}".endswith(f"::{namespace}" if namespace else "") else None
