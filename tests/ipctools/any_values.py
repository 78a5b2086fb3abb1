"""Owns Hypothesis strategies for the values of every type of an interface.
Must not know how values are written.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import strategies as st

from ipcc.definitions import Enumeration, Struct
from ipcc.types import Type
from ipclib import (
    URL,
    Alternative,
    AnonymousBuffer,
    BlobEntry,
    Duration,
    OpenMode,
    Origin,
    ProxyData,
    UnixDateTime,
    gfx,
)
from ipctools.interface import Interface

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["null", "true", "5", "0x10", "nan", "@here", '"', "[1]", '{"text": "x"}', "#ffffff", "1s"]
)
_BYTES = st.binary(max_size=8) | _TEXT.map(str.encode)
_I64 = st.integers(-(1 << 63), (1 << 63) - 1)
_FLOAT = st.floats(width=32, allow_nan=False)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
_HOST = (
    st.none()
    | _TEXT
    | st.integers(0, (1 << 32) - 1).map(IPv4Address)
    | st.integers(0, (1 << 128) - 1).map(IPv6Address)
)
_ORIGIN = st.builds(Origin, _TEXT, _HOST, st.none() | st.integers(0, 65535))
_I32 = st.integers(-(1 << 31), (1 << 31) - 1)


def _buffer(content: bytes | None) -> AnonymousBuffer:
    if content is None:
        return AnonymousBuffer()
    buffer = AnonymousBuffer.create(len(content))
    buffer.data[:] = content
    return buffer


def _bitmap(width: int, height: int, format: gfx.BitmapFormat, fill: int) -> gfx.ShareableBitmap:
    bitmap = gfx.ShareableBitmap.create(width, height, format=format)
    bitmap.pixels[:] = bytes([fill]) * len(bitmap.pixels)
    return bitmap


_LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    **{f"i{bits}": st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    "float_": _FLOAT,
    "double": st.floats(allow_nan=False),
    "string": _TEXT,
    "byte_string": _BYTES,
    "empty": st.none(),
    "json_value": _JSON,
    "duration": _I64.map(Duration),
    "unix_date_time": _I64.map(UnixDateTime),
    "date_time": st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0)),
    "url": st.builds(URL, _TEXT, st.none() | st.builds(BlobEntry, _TEXT, _BYTES, _ORIGIN)),
    "origin": _ORIGIN,
    "proxy_data": st.builds(ProxyData, st.sampled_from([0, 1]), st.integers(0, (1 << 32) - 1), _I32),
    "open_mode": st.integers(0, (1 << 32) - 1).map(OpenMode) | st.sampled_from(OpenMode),
    "int_point": st.builds(gfx.IntPoint, _I32, _I32),
    "int_size": st.builds(gfx.IntSize, _I32, _I32),
    "int_rect": st.builds(gfx.IntRect, _I32, _I32, _I32, _I32),
    "float_point": st.builds(gfx.FloatPoint, _FLOAT, _FLOAT),
    "float_size": st.builds(gfx.FloatSize, _FLOAT, _FLOAT),
    "float_rect": st.builds(gfx.FloatRect, _FLOAT, _FLOAT, _FLOAT, _FLOAT),
    "color": st.builds(gfx.Color, *[st.integers(0, 255)] * 4),
    "anonymous_buffer": (st.none() | _BYTES).map(_buffer),
    "shareable_bitmap": st.just(gfx.ShareableBitmap())
    | st.builds(
        _bitmap, st.integers(0, 3), st.integers(0, 3), st.sampled_from(gfx.BitmapFormat), st.integers(0, 255)
    ),
}
assert datetime  # The annotation of date_time.


def values_of(interface: Interface, type: Type, depth: int = 3) -> st.SearchStrategy[Any]:
    """The values of a type; deeper than `depth`, containers are empty."""
    if type.codec:
        return _LEAVES[type.codec.removeprefix("_ipc.")]
    if type.defined:
        return _of_defined(interface, type, depth)
    parts = [values_of(interface, part, depth - 1) if depth else st.nothing() for part in type.parts]
    most = 3 if depth else 0
    match type.maker:
        case "vector":
            return st.lists(parts[0], max_size=most)
        case "array":
            count = type.count or 0
            return st.lists(parts[0], min_size=count, max_size=count).map(tuple)
        case "hash_map" | "ordered_hash_map":
            return st.dictionaries(*parts, max_size=most)
        case "optional":
            return st.none() | parts[0]
    return st.one_of(*(_alternative(type, index, part) for index, part in enumerate(parts)))


def _of_defined(interface: Interface, type: Type, depth: int) -> st.SearchStrategy[Any]:
    definition = interface.model.definitions.of(type)
    python = getattr(interface.module, definition.python) if definition else None
    if isinstance(definition, Enumeration):
        return st.sampled_from(python)
    assert isinstance(definition, Struct)
    assert python is not None
    return st.builds(python, *(values_of(interface, each, max(depth - 1, 0)) for each in definition.types))


def _alternative(type: Type, index: int, part: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The values of one type of a Variant, as decoding makes them."""
    own = type.parts[index].classes
    others = {name for place, each in enumerate(type.parts) if place != index for name in each.classes}
    is_plain = own.isdisjoint(others | {"_ipc.Alternative"})
    return part if is_plain else part.map(lambda value: Alternative(index, value))
