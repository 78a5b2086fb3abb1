"""Owns the golden messages, which LibIPC itself wrote, and their arguments as Python values.
Must not know how ipclib encodes and decodes."""

from __future__ import annotations

import json
import os
import re
import struct
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import ipcc
from ipclib import URL, Alternative, AnonymousBuffer, Duration, File, Origin, ProxyData, UnixDateTime, gfx

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden.json").read_text())
VECTORS = GOLDEN["messages"]


def load() -> Any:
    """Compile Gold.ipc and return its module."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))  # The module imports gold_types.
    return ipcc.load(HERE / "Gold.ipc", types=[str(HERE / "gold_types.py")])


def arguments(vector: dict[str, Any], files: list[File], gold: Any) -> tuple[Any, ...]:
    """Return a vector's arguments as a program would pass them."""
    types = re.findall(r"(?:^|, )((?:\[UTF8\] )?[^\s<]+(?:<.*?>+)?) \w+(?=,|$)", vector["params"])
    values = [python(value, files, gold) for value in vector["args"].values()]
    assert len(types) == len(values), vector["params"]
    return tuple(shaped(value, type_) for value, type_ in zip(values, types, strict=True))


def files_of(vector: dict[str, Any]) -> list[File]:
    """Return the files that go with a vector: shared memory if its arguments say so, else any file."""
    contents = {
        value["$buffer"]["fd"]: value["$buffer"]["content"]
        for value in vector["args"].values()
        if isinstance(value, dict) and value.get("$buffer")
    }
    return [File(_memory(contents.get(number, "").encode())) for number in range(vector["fds"])]


def _memory(content: bytes) -> int:
    fd = os.memfd_create("golden")
    os.write(fd, content)
    return fd


def python(value: Any, files: list[File], gold: Any) -> Any:
    """Return a golden argument as a Python value."""
    if isinstance(value, list):
        return [python(element, files, gold) for element in value]
    if not isinstance(value, dict):
        return value
    tags = [key for key in value if key.startswith("$")]
    if not tags:
        return _GFX[tuple(value)](**value)
    (tag,) = tags
    return _TAGGED[tag](value[tag], value, files, gold)


def _map(pairs: list[Any], _whole: Any, files: list[File], gold: Any) -> Any:
    return {python(key, files, gold): python(value, files, gold) for key, value in pairs}


def _origin(origin: dict[str, Any], *_others: Any) -> Any:
    host = origin["host"]
    return Origin(origin["scheme"], _HOSTS[host["$variant"]](host["value"]), origin["port"])


def _variant(index: int, whole: dict[str, Any], files: list[File], gold: Any) -> Any:
    inner = python(whole["value"], files, gold)
    return inner if index < 2 else Alternative(index, inner)


def _bitmap(bitmap: None, *_others: Any) -> Any:
    assert bitmap is None, "the golden file has only bitmaps without memory"
    return gfx.ShareableBitmap()


def _buffer(buffer: dict[str, Any] | None, _whole: Any, files: list[File], _gold: Any) -> Any:
    if buffer is None:
        return AnonymousBuffer()
    return AnonymousBuffer.create_from_fd(files[buffer["fd"]].clone().take_fd(), buffer["size"])


_TAGGED: dict[str, Callable[[Any, dict[str, Any], list[File], Any], Any]] = {
    "$hex": lambda digits, *_others: bytes.fromhex(digits),
    "$map": _map,
    "$fd": lambda number, _whole, files, _gold: files[number],
    "$json": lambda value, *_others: value,
    "$ns": lambda nanoseconds, *_others: nanoseconds,
    "$timestamp": lambda seconds, *_others: datetime.fromtimestamp(seconds, UTC),
    "$url": lambda text, *_others: URL(text),
    "$origin": _origin,
    "$proxy": lambda proxy, *_others: ProxyData(**proxy),
    "$enum": lambda name, whole, _files, gold: getattr(gold, _ENUMS[whole["underlying"]])[name],
    "$variant": _variant,
    "$bitmap": _bitmap,
    "$buffer": _buffer,
}
"""For each tag: a function of its value, the whole object, the vector's files, and Gold.ipc's module."""
_GFX: dict[tuple[str, ...], Any] = {
    ("x", "y"): gfx.IntPoint,
    ("width", "height"): gfx.IntSize,
    ("x", "y", "width", "height"): gfx.IntRect,
    ("r", "g", "b", "a"): gfx.Color,
}
_ENUMS = {"u8": "Shade", "i32": "Plain", "i64": "Wide"}
_HOSTS = (IPv4Address, lambda segments: IPv6Address(struct.pack(">8H", *segments)), str, lambda _: None)
_BY_TYPE: dict[str, Any] = {
    "AK::Duration": Duration,
    "UnixDateTime": UnixDateTime,
    "Gfx::FloatPoint": lambda point: gfx.FloatPoint(point.x, point.y),
    "Array<u16, 4>": tuple,
}


def shaped(value: Any, type_: str) -> Any:
    """Give a value the class of its type: the golden file has byte strings as text, and some values bare."""
    if type_ in _BY_TYPE:
        return _BY_TYPE[type_](value)
    if isinstance(value, Alternative):
        return Alternative(value.index, value.value.encode() if isinstance(value.value, str) else value.value)
    if isinstance(value, str) and "ByteString" in type_ and "[UTF8]" not in type_:
        return value.encode()
    if isinstance(value, list) and "ByteString" in type_:
        return [shaped(element, type_) for element in value]
    if isinstance(value, dict) and type_.startswith("HashMap<ByteString"):
        return {shaped(key, type_): element for key, element in value.items()}
    return value
