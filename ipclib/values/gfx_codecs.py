"""The codecs of LibGfx's plain values. Knows the values and codecs only."""

from __future__ import annotations

from ipclib.gfx import Color, FloatPoint, FloatRect, FloatSize, IntPoint, IntRect, IntSize
from ipclib.values.codecs import Codec, float_, i32, u32
from ipclib.values.structures import Converted, structure


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
