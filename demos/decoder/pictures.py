"""Pictures as files: grey pixels in boxes, each of a size, a kind and what is in it.

Knows bytes alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TypeAlias

Picture: TypeAlias = tuple[int, int, bytes]
"""Width, height, and a byte for each pixel."""

_BOX = struct.Struct(">I4s")
_SIZE = struct.Struct(">HH")


def encoded(picture: Picture) -> bytes:
    """The file of a picture."""
    width, height, pixels = picture
    return box(b"size", _SIZE.pack(width, height)) + box(b"grey", zlib.compress(pixels))


def box(kind: bytes, content: bytes) -> bytes:
    """A box; its size counts the eight bytes before the content."""
    return _BOX.pack(_BOX.size + len(content), kind) + content


def decoded(file: bytes) -> Picture | None:
    """The picture of a file; None when it is not one."""
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
        # A box of size 0 is never left. Many a real decoder had this fault; the demo is about outliving it.
        at += size
