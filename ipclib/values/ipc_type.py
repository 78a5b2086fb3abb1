"""Owns the Python classes that interface files may name, and the codec of each annotation.
Must not know messages, frames, sockets or loops. The compiler reads the same classes as text.
"""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import attrs

from corelib import AnonymousBuffer
from ipclib import gfx
from ipclib.errors import BadDeclaration
from ipclib.values import codecs, containers, gfx_codecs
from ipclib.values.codecs import Codec
from ipclib.values.coder import OwnCodec
from ipclib.values.core_values import OpenMode, ProxyData, open_mode, proxy_data
from ipclib.values.file import File
from ipclib.values.shared_memory import anonymous_buffer
from ipclib.values.structures import Recursive, enumeration, structure
from ipclib.values.times import Duration, UnixDateTime, date_time, duration, unix_date_time
from ipclib.values.urls import URL, Origin, origin, url

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(::[A-Za-z][A-Za-z0-9_]*)*")

_CODEC_OF_CLASS: dict[Any, Codec[Any]] = {
    bool: codecs.boolean,
    str: codecs.string,
    bytes: codecs.byte_string,
    File: codecs.file,
    Duration: duration,
    UnixDateTime: unix_date_time,
    datetime: date_time,
    URL: url,
    Origin: origin,
    ProxyData: proxy_data,
    OpenMode: open_mode,
    AnonymousBuffer: anonymous_buffer,
    gfx.ShareableBitmap: gfx_codecs.shareable_bitmap,
    gfx.IntPoint: gfx_codecs.int_point,
    gfx.IntSize: gfx_codecs.int_size,
    gfx.IntRect: gfx_codecs.int_rect,
    gfx.FloatPoint: gfx_codecs.float_point,
    gfx.FloatSize: gfx_codecs.float_size,
    gfx.FloatRect: gfx_codecs.float_rect,
    gfx.Color: gfx_codecs.color,
}
_INSTEAD: dict[Any, str] = {
    int: "an int has no width: write ipclib's i32, or another of i8 to u64",
    float: "a float has no width: write ipclib's double, or float_ for 32 bits",
    bytearray: "write bytes",
    list: "say of what: list[i32]",
    dict: "say of what: dict[str, i32]",
}


_SPELLED: dict[Any, str] = {
    File: "IPC::File",
    URL: "URL::URL",
    Origin: "URL::Origin",
    ProxyData: "Core::ProxyData",
    OpenMode: "Core::File::OpenMode",
    gfx.IntPoint: "Gfx::IntPoint",
    gfx.IntSize: "Gfx::IntSize",
    gfx.IntRect: "Gfx::IntRect",
    gfx.FloatPoint: "Gfx::FloatPoint",
    gfx.FloatSize: "Gfx::FloatSize",
    gfx.FloatRect: "Gfx::FloatRect",
}
"""The types that signatures spell otherwise than the codec's name."""

_underlying: dict[type, Codec[int]] = {}
"""Every registered class, with the codec of its numbers if it is an enum."""
_names: dict[type, str] = {}
"""Every registered class, with its name in interfaces."""
_codecs: dict[type, Codec[Any]] = {}
"""The codec of each registered class that was used."""
_building: set[type] = set()
"""Classes whose codecs are being made, by which a class that contains itself is recognised."""


def ipc_type(name: str, *, underlying: Any = None) -> Callable[[type[T]], type[T]]:
    """Let interface files name a class: `@ipc_type("Geo::Point")`.

    There are three kinds of such classes. An attrs class is encoded by the annotations of its fields. An enum
    of ints is encoded as the `underlying` integer type, i32 by default. A class that has a method
    `encode(self, encoder)` and a classmethod `decode(cls, decoder)` encodes itself.

    Raises:
        BadDeclaration: the class is of no such kind, or the name is no name of the interface language.
    """
    if not _NAME.fullmatch(name):
        raise BadDeclaration(f"{name!r} is no name in interface files: write one such as Geo::Point")

    def declare(python: type[T]) -> type[T]:
        _check_kind(python, underlying)
        _underlying[python] = codecs.i32 if underlying is None else codec_of(underlying)
        _names[python] = name
        if issubclass(python, enum.Enum):
            registered(python)
        return python

    return declare


def registered(python: type[T], read: str = "") -> Codec[T]:
    """The codec of a class that was given to ipc_type.

    A generated module passes what the compiler read of the class, as signatures spell it. The compiler does
    not run Python, so a class may be otherwise than it looks; its messages would then be misread.

    Raises:
        BadDeclaration: the class has no form on the wire, or another one than the compiler read.
    """
    codec: Codec[T] = _registered(python)
    if read and (own := _spelled_out(python)) != read:
        raise BadDeclaration(
            f"{python.__qualname__} is {own}, and the generated module was made for {read}: run ipcc again; "
            "if that changes nothing, declare the class so that its text alone tells its fields or members"
        )
    return codec


def _registered(python: type[Any]) -> Codec[Any]:
    if python not in _codecs:
        if python in _building:
            _codecs[python] = Recursive(lambda: _made(python))
            return _codecs[python]
        _building.add(python)
        try:
            _codecs.setdefault(python, _made(python))
        except BaseException:
            _codecs.pop(python, None)
            raise
        finally:
            _building.discard(python)
    return _codecs[python]


def codec_of(annotation: Any) -> Codec[Any]:
    """The codec of a type as Python writes it: `codec_of(dict[str, list[i32]])`, `codec_of(Point | None)`.

    Raises:
        BadDeclaration: the type has no form on the wire.
    """
    if not isinstance(annotation, Hashable):
        raise BadDeclaration(f"{annotation!r} has no form on the wire: write list[T] or dict[K, V]")
    if annotation in _CODEC_OF_CLASS:
        return _CODEC_OF_CLASS[annotation]
    if annotation in _INSTEAD:
        raise BadDeclaration(_INSTEAD[annotation])
    origin = typing.get_origin(annotation)
    if origin is not None:
        return _codec_of_generic(annotation, origin, typing.get_args(annotation))
    if isinstance(annotation, type):
        return registered(annotation)
    raise BadDeclaration(f"{annotation!r} has no form on the wire")


def _codec_of_generic(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Codec[Any]:
    if origin is Annotated:
        known = [datum for datum in arguments[1:] if isinstance(datum, Codec)]
        return known[0] if known else codec_of(arguments[0])
    if origin is list:
        return _vector(codec_of(arguments[0]))
    if origin is dict:
        return _map(codec_of(arguments[0]), codec_of(arguments[1]))
    if origin in (types.UnionType, typing.Union) and len(arguments) == 2 and type(None) in arguments:
        (value,) = (argument for argument in arguments if argument is not type(None))
        return codecs.optional(codec_of(value))
    raise BadDeclaration(
        f"{annotation} has no form on the wire: fields are list[T], dict[K, V], T | None and the types that "
        "ipclib exports; other classes give encode and decode"
    )


def _vector(element: Codec[Any]) -> Codec[Any]:
    if element is codecs.u8:
        raise BadDeclaration("a list of u8 is bytes in Python: write bytes")
    return containers.vector(element)


def _map(key: Codec[Any], value: Codec[Any]) -> Codec[Any]:
    if key in (codecs.float_, codecs.double):
        raise BadDeclaration("a float is no key")
    try:
        return containers.hash_map(key, value)
    except TypeError as error:
        raise BadDeclaration(str(error)) from None


def _check_kind(python: type, underlying: Any) -> None:
    where = python.__qualname__
    own = _own_methods(python)
    if issubclass(python, enum.Enum):
        return
    if underlying is not None:
        raise BadDeclaration(f"{where}: underlying= is for enums")
    if len(own) == 1:
        raise BadDeclaration(f"{where} has {own[0]}() alone: give it both encode() and decode(), or neither")
    if not own and "__attrs_attrs__" not in vars(python):
        raise BadDeclaration(
            f"{where} is no attrs class: put @ipc_type above @attrs.define, or give it encode() and decode()"
        )


def _own_methods(python: type) -> list[str]:
    return [method for method in ("encode", "decode") if callable(getattr(python, method, None))]


def _made(python: type[Any]) -> Codec[Any]:
    if python not in _underlying:
        raise BadDeclaration(f"{python.__qualname__} is not registered: decorate it with @ipc_type(...)")
    if issubclass(python, enum.Enum):
        return _enumeration(python, _underlying[python])
    if _own_methods(python):
        return Recursive(lambda: OwnCodec(python))
    return _structure(python)


def _enumeration(python: type[Any], underlying: Codec[int]) -> Codec[Any]:
    try:
        return enumeration(python, underlying)
    except ValueError as error:
        raise BadDeclaration(str(error)) from None


def _structure(python: type[Any]) -> Codec[Any]:
    hints = _hints(python)
    return structure(python, *(_field(python, field, hints) for field in attrs.fields(python)))


def _hints(python: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(python, localns={python.__name__: python}, include_extras=True)
    except NameError as error:
        raise BadDeclaration(f"{python.__qualname__}: {error}: its module needs to import it") from None


def _field(python: type[Any], field: attrs.Attribute[Any], hints: dict[str, Any]) -> Codec[Any]:
    where = f"{python.__qualname__}.{field.name}"
    if field.name not in hints:
        raise BadDeclaration(f"{where} has no annotation: write {field.name}: i32")
    if not field.init:
        raise BadDeclaration(f"{where} has init=False, so that a received value could not be made")
    try:
        return codec_of(hints[field.name])
    except BadDeclaration as error:
        raise BadDeclaration(f"{where}: {error}") from None


# --- what a signature says of a class ---


def _spelled_out(python: type[Any]) -> str:
    """A registered class as the compiler spells it in signatures; the name alone if it encodes itself."""
    name = _names[python]
    if issubclass(python, enum.Enum):
        numbers = ",".join(str(member.value) for member in python.__members__.values())
        return f"{name}:{_underlying[python].name}{{{numbers}}}"
    if _own_methods(python):
        return name
    hints = _hints(python)
    return f"{name}{{{','.join(_spelled(hints.get(field.name)) for field in attrs.fields(python))}}}"


def _spelled(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return f"Vector<{_spelled(arguments[0])}>"
    if origin is dict:
        return f"HashMap<{_spelled(arguments[0])},{_spelled(arguments[1])}>"
    if origin in (types.UnionType, typing.Union):
        (value,) = (argument for argument in arguments if argument is not type(None))
        return f"Optional<{_spelled(value)}>"
    if isinstance(annotation, type) and annotation in _names:
        return _names[annotation]
    return _SPELLED.get(annotation) or codec_of(annotation).name
