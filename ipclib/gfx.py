"""LibGfx's values in messages: points, sizes, rectangles, colours, and bitmaps in shared memory."""

from __future__ import annotations

import enum

import attrs

from corelib import AnonymousBuffer

BYTES_PER_PIXEL = 4
LARGEST_BITMAP = 0x7FFFFFFF
"""Bytes: what LibGfx itself can count."""


@attrs.frozen
class IntPoint:
    """A place, in whole pixels."""

    x: int = 0
    y: int = 0


@attrs.frozen
class IntSize:
    """A width and a height, in whole pixels."""

    width: int = 0
    height: int = 0


@attrs.frozen
class IntRect:
    """A rectangle by its left upper corner, in whole pixels."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0


@attrs.frozen
class FloatPoint:
    """A place between pixels, in 32 bits for each number."""

    x: float = 0.0
    y: float = 0.0


@attrs.frozen
class FloatSize:
    """A width and a height, in 32 bits for each number."""

    width: float = 0.0
    height: float = 0.0


@attrs.frozen
class FloatRect:
    """A rectangle by its left upper corner, in 32 bits for each number."""

    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0


def _check_channel(_color: Color, field: attrs.Attribute[int], value: int) -> None:
    if not isinstance(value, int) or not 0 <= value <= 255:
        raise ValueError(f"Color.{field.name} is an int from 0 to 255, not {value!r}")


@attrs.frozen
class Color:
    """Red, green, blue and alpha, each 0 to 255; ValueError when one is not."""

    r: int = attrs.field(validator=_check_channel)
    g: int = attrs.field(validator=_check_channel)
    b: int = attrs.field(validator=_check_channel)
    a: int = attrs.field(validator=_check_channel, default=255)

    @classmethod
    def from_argb(cls, argb: int) -> Color:
        return cls(argb >> 16 & 0xFF, argb >> 8 & 0xFF, argb & 0xFF, argb >> 24)

    @property
    def argb(self) -> int:
        """As one number, 0xAARRGGBB."""
        return self.a << 24 | self.r << 16 | self.g << 8 | self.b


class BitmapFormat(enum.IntEnum):
    """The order of a pixel's four bytes in memory."""

    BGRx8888 = 1
    BGRA8888 = 2
    RGBA8888 = 3


class ShareableBitmap:
    """Pixels in shared memory. `ShareableBitmap()` is an invalid one, which stands for none.

    Width and height are logical: a bitmap of scale 2 has twice as many pixels each way. `buffer` may be
    longer than the pixels need. ValueError when it is shorter, or when there can be no such bitmap.
    """

    __slots__ = ("buffer", "format", "height", "scale", "width")

    def __init__(
        self,
        buffer: AnonymousBuffer | None = None,
        width: int = 0,
        height: int = 0,
        scale: int = 1,
        format: BitmapFormat = BitmapFormat.BGRA8888,
    ) -> None:
        self.buffer = AnonymousBuffer() if buffer is None else buffer
        self.width = width
        self.height = height
        self.scale = scale
        self.format = BitmapFormat(format)
        if buffer is not None and buffer.size < bitmap_size(width, height, scale):
            raise ValueError(f"{width}x{height} pixels at scale {scale} do not fit {buffer.size} bytes")

    @classmethod
    def create(
        cls, width: int, height: int, scale: int = 1, format: BitmapFormat = BitmapFormat.BGRA8888
    ) -> ShareableBitmap:
        """A bitmap of zeros. ValueError when there can be no such bitmap."""
        return cls(AnonymousBuffer.create(bitmap_size(width, height, scale)), width, height, scale, format)

    @property
    def is_valid(self) -> bool:
        """False for a bitmap that stands for none."""
        return self.buffer.is_valid

    @property
    def pitch(self) -> int:
        """Bytes from one row of pixels to the next."""
        return self.width * self.scale * BYTES_PER_PIXEL

    @property
    def pixels(self) -> memoryview:
        """The pixels, row by row, as shared memory. corelib.UsageError when the bitmap is invalid."""
        return self.buffer.data[: self.pitch * self.height * self.scale]

    def __repr__(self) -> str:
        if not self.is_valid:
            return "ShareableBitmap(invalid)"
        return f"ShareableBitmap({self.width}x{self.height}, scale {self.scale}, {self.format.name})"


def bitmap_size(width: int, height: int, scale: int) -> int:
    """The bytes of a bitmap's pixels. ValueError when there can be no such bitmap."""
    if width < 0 or height < 0 or scale < 1:
        raise ValueError(f"no bitmap is {width}x{height} at scale {scale}")
    size = width * scale * BYTES_PER_PIXEL * height * scale
    if size > LARGEST_BITMAP or width * scale > LARGEST_BITMAP or height * scale > LARGEST_BITMAP:
        raise ValueError(
            f"a bitmap of {width}x{height} at scale {scale} is larger than {LARGEST_BITMAP} bytes"
        )
    return size
