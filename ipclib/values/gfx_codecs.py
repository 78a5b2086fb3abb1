"""Owns the codecs of LibGfx's values: points, sizes, rectangles, colours and bitmaps.
Must not know messages, or how descriptors travel.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from ipclib.gfx import (
    BitmapFormat,
    Color,
    FloatPoint,
    FloatRect,
    FloatSize,
    IntPoint,
    IntRect,
    IntSize,
    ShareableBitmap,
    bitmap_size,
)
from ipclib.values.codecs import BOOLEANS, Codec, float_, i32, u32
from ipclib.values.decoding import Buffer, Decoding, Files
from ipclib.values.shared_memory import received_memory, share
from ipclib.values.structures import Converted, structure

if TYPE_CHECKING:
    from ipclib.values.samples import Dice

_GEOMETRY = Struct("=iiII")
_FORMATS = frozenset(BitmapFormat)


class ShareableBitmapCodec(Codec[ShareableBitmap]):
    """The codec of Gfx::ShareableBitmap. Sending shares its memory."""

    name = "Gfx::ShareableBitmap"
    smallest = 1
    counts = True

    def encode(self, value: ShareableBitmap, files: Files) -> bytes:
        if not isinstance(value, ShareableBitmap):
            raise TypeError("an ipclib.gfx.ShareableBitmap is needed; ShareableBitmap() stands for none")
        if not value.is_valid:
            return b"\0"
        if value.format not in _FORMATS:
            raise ValueError(f"{value.format!r} is not a valid BitmapFormat")
        size = bitmap_size(value.width, value.height, value.scale)
        if size > value.buffer.size:
            raise ValueError(f"{value!r} needs {size} bytes, and its buffer has {value.buffer.size}")
        geometry = _GEOMETRY.pack(value.width, value.height, value.scale, value.format)
        share(value.buffer, size, files)
        return b"\1" + geometry

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[ShareableBitmap, int]:
        if not BOOLEANS[data[at]]:
            return ShareableBitmap(), at + 1
        width, height, scale, number = _GEOMETRY.unpack_from(data, at + 1)
        format = BitmapFormat(number)
        buffer = received_memory(bitmap_size(width, height, scale), decoding)
        return ShareableBitmap(buffer, width, height, scale, format), at + 17

    def python_types(self) -> frozenset[type]:
        return frozenset((ShareableBitmap,))

    def sample(self, dice: Dice) -> ShareableBitmap:
        bitmap = ShareableBitmap.create(dice.random.randint(1, 4), dice.random.randint(1, 4))
        bitmap.pixels[:] = dice.random.randbytes(len(bitmap.pixels))
        return bitmap


def _color_to_wire(value: Color) -> int:
    if not isinstance(value, Color):
        raise TypeError("an ipclib.gfx.Color is needed")
    return value.argb


int_point: Codec[IntPoint] = structure(IntPoint, i32, i32)
int_size: Codec[IntSize] = structure(IntSize, i32, i32)
int_rect: Codec[IntRect] = structure(IntRect, i32, i32, i32, i32)
float_point: Codec[FloatPoint] = structure(FloatPoint, float_, float_)
float_size: Codec[FloatSize] = structure(FloatSize, float_, float_)
float_rect: Codec[FloatRect] = structure(FloatRect, float_, float_, float_, float_)
color: Codec[Color] = Converted("Gfx::Color", u32, _color_to_wire, Color.from_argb, Color)
shareable_bitmap: Codec[ShareableBitmap] = ShareableBitmapCodec()
