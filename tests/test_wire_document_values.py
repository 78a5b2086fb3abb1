"""Owns the tests that the tables of docs/wire.md are enough to read every type that LibIPC and ipclib write.
Must not know sockets or loops, nor how the page is read (wire_document.py).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import NoneType
from typing import Any

import attrs
import pytest

import ipcc
from ipclib import URL, AnonymousBuffer, Duration, File, OpenMode, Origin, ProxyData, UnixDateTime, gfx
from ipclib.values.urls import BlobEntry
from tests.wire.golden_values import VECTORS, arguments, files_of, load
from tests.wire_document import DESK, LAYOUTS, ROOT, Peer, Stream


@pytest.fixture(scope="module")
def gold() -> Any:
    """The interface of the golden messages, compiled."""
    return load()


def _plain(value: Any, type: str = "") -> Any:
    """Return a value of a program as the peer reads it."""
    if type == "JsonValue":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if type.startswith("Variant"):
        place = {NoneType: 0, int: 1}.get(value.__class__)
        return (place, value) if place is not None else (value.index, _plain(value.value))
    if isinstance(value, Origin):
        place = (IPv4Address, IPv6Address, str, NoneType).index(value.host.__class__)
        groups = struct.unpack(">8H", value.host.packed) if isinstance(value.host, IPv6Address) else ()
        host = int(value.host) if isinstance(value.host, IPv4Address) else list(groups) or _plain(value.host)
        return [value.scheme.encode(), (place, host), value.port]
    if isinstance(value, gfx.ShareableBitmap):
        return [value.width, value.height, value.scale, value.format, "fd"] if value.is_valid else None
    if isinstance(value, AnonymousBuffer):
        return [value.size, "fd"] if value.is_valid else None
    if isinstance(value, gfx.Color):
        return value.argb
    if attrs.has(value.__class__):
        fields = [_plain(field) for field in attrs.astuple(value, recurse=False)]
        return fields if len(fields) > 1 else fields[0]
    return _PLAIN.get(value.__class__, lambda value: value.value if isinstance(value, Enum) else value)(value)


_PLAIN: dict[type, Callable[[Any], Any]] = {
    str: str.encode,
    list: lambda value: [_plain(each) for each in value],
    tuple: lambda value: [_plain(each) for each in value],
    dict: lambda value: [[_plain(key), _plain(each)] for key, each in value.items()],
    datetime: lambda value: int(value.timestamp()),
    File: lambda _value: "fd",
}
_GOLD = Peer(
    (ROOT / "tests" / "wire" / "Gold.ipc").read_text(),
    {"Gold::Shade": "u8", "Gold::Plain": "i32", "Gold::Wide": "i64"},
)


@pytest.mark.parametrize("place", range(len(VECTORS)))
def test_the_tables_alone_read_what_libipc_wrote(gold: Any, place: int) -> None:
    vector = VECTORS[place]
    frame = bytes.fromhex(vector["wire"])
    stream = Stream(frame, ["fd"] * vector["fds"], at=12)
    _name, parameters = _GOLD.messages[vector["endpoint"], vector["message_id"]]
    values = [_GOLD.read(type, stream, name) for name, type in parameters]
    files = files_of(vector)
    expected = arguments(vector, files, gold)
    assert values == [_plain(value, type) for value, (_, type) in zip(expected, parameters, strict=True)]
    assert (stream.at, stream.fds) == (len(frame), [])
    for file in files:
        file.close()


_ALL_GROUPS = Origin("b", IPv6Address("fffe:fffd::ffff"), 0xFFFF)
_EXTREMES: dict[str, Any] = {
    "Core::DateTime": datetime(1969, 1, 1, tzinfo=UTC),
    "Core::File::OpenMode": OpenMode(0xFFFFFFFF),
    "Core::ProxyData": ProxyData(1, 0xFFFFFFFF, -1),
    "Duration": Duration(-1),
    "Gfx::Color": gfx.Color(1, 2, 3, 0xFF),
    "Gfx::FloatPoint": gfx.FloatPoint(0.5, -1.5),
    "Gfx::FloatRect": gfx.FloatRect(0.5, -1.5, 2.5, -3.5),
    "Gfx::FloatSize": gfx.FloatSize(0.5, -1.5),
    "Gfx::IntPoint": gfx.IntPoint(-1, -2),
    "Gfx::IntRect": gfx.IntRect(-1, -2, -3, -4),
    "Gfx::IntSize": gfx.IntSize(-1, -2),
    "Gfx::ShareableBitmap": gfx.ShareableBitmap.create(1, 2, 3, gfx.BitmapFormat.RGBA8888),
    "OrderedHashMap<bool, i8>": {True: -1, False: -2},
    "URL::URL": URL("blob:x", BlobEntry("text/plain", b"x", _ALL_GROUPS)),
    "UnixDateTime": UnixDateTime(-1),
    "Vector<URL::Origin>": [_ALL_GROUPS, Origin("a", IPv4Address("255.0.0.254")), Origin("c")],
}


@pytest.mark.parametrize("type", _EXTREMES)
def test_the_tables_alone_read_what_ipclib_wrote(tmp_path: Path, type: str) -> None:
    path = tmp_path / "Any.ipc"
    path.write_text(f"endpoint AnyServer\n{{\n    m({type} value) =|\n}}\n")
    files: list[File] = []
    (message,) = ipcc.load(path).AnyServer.__ipc__
    stream = Stream(message.encode(files, _EXTREMES[type]), ["fd"] * len(files))
    assert DESK.read(type, stream, "value") == _plain(_EXTREMES[type])
    assert (stream.at, stream.fds) == (len(stream.data), [])


def test_every_length_and_count_is_a_u32() -> None:
    counted = {part.name: part.type for _parameters, parts in LAYOUTS.values() for part in parts}
    assert (counted["length"], counted["count"]) == ("u32", "u32")
    for _parameters, parts in LAYOUTS.values():
        assert all(part.type == counted[part.name] for part in parts if part.name in ("length", "count"))
