"""Owns the format of picture files: grey pixels in boxes, each of a size, a kind and a content.
Must not know processes and IPC."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TypeAlias

Picture: TypeAlias = tuple[int, int, bytes]
"""Width, height, and one byte for each pixel."""

_BOX = struct.Struct(">I4s")
_SIZE = struct.Struct(">HH")


def encoded(picture: Picture) -> bytes:
    """Return the file of a picture."""
    width, height, pixels = picture
    return box(b"size", _SIZE.pack(width, height)) + box(b"grey", zlib.compress(pixels))


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box; its size includes the eight bytes before the content."""
    return _BOX.pack(_BOX.size + len(content), kind) + content


def decoded(file: bytes) -> Picture | None:
    """Return the picture in a file, or None if it is not a picture."""
    try:
        boxes = dict(_boxes(file))
        width, height = _SIZE.unpack(boxes[b"size"])
        pixels = zlib.decompress(boxes[b"grey"])
    except (KeyError, struct.error, zlib.error):
        return None
    return (width, height, pixels) if len(pixels) == width * height else None


def _boxes(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(file):
        size, kind = _BOX.unpack_from(file, at)
        yield kind, file[at + _BOX.size : at + size]
        # A fault on purpose, which real decoders had: a box of size 0 loops forever. The app must survive it.
        at += size
