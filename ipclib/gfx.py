"""LibGfx's values in messages: points, sizes, rectangles, colours, and bitmaps in shared memory.

Knows no codec. What numpy and Pillow bring is imported when it is first asked for.
"""

from __future__ import annotations

import enum
import os
from importlib import import_module
from types import ModuleType, TracebackType
from typing import IO, Any, Self, TypeAlias

import attrs

from corelib import AnonymousBuffer

BYTES_PER_PIXEL = 4
LARGEST_BITMAP = 0x7FFFFFFF
"""Bytes: what LibGfx itself can count."""

ImageFile: TypeAlias = str | os.PathLike[str] | IO[bytes]
"""Where an image is kept: a path, or a file opened in binary."""


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
    """The order of a pixel's four bytes in memory. Colours are not multiplied by their alpha, as in LibGfx;
    x is a byte that means nothing."""

    BGRx8888 = 1
    BGRA8888 = 2
    RGBA8888 = 3


_PILLOW_MODES = {
    BitmapFormat.BGRx8888: ("RGB", "BGRX"),
    BitmapFormat.BGRA8888: ("RGBA", "BGRA"),
    BitmapFormat.RGBA8888: ("RGBA", "RGBA"),
}
"""An image's mode in Pillow, and the name of its layout in memory."""


class ShareableBitmap:
    """Pixels in shared memory. `ShareableBitmap()` is an invalid one, which stands for none.

    Width and height are logical: a bitmap of scale 2 has twice as many pixels each way. `buffer` may be
    longer than the pixels need. ValueError when it is shorter, or when there can be no such bitmap.

    Nothing copies the pixels between two processes: what one writes to `pixels` or `to_numpy()`, the
    other sees. Both may write, unless the buffer's memory was sealed against it; then the receiver's
    views are read-only. Views stay usable after close(), and give the memory back when the last one goes.
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
    ) -> Self:
        """A bitmap of zeros. ValueError when there can be no such bitmap."""
        return cls(AnonymousBuffer.create(bitmap_size(width, height, scale)), width, height, scale, format)

    @classmethod
    def from_image(cls, image: Any, format: BitmapFormat = BitmapFormat.BGRA8888) -> Self:
        """The pixels of a Pillow image of any mode, copied. ValueError when it is larger than a bitmap."""
        width, height = image.size
        bitmap = cls.create(width, height, format=format)
        mode, layout = _PILLOW_MODES[bitmap.format]
        bitmap.pixels[:] = image.convert(mode).tobytes("raw", layout)
        return bitmap

    @classmethod
    def load_png(cls, file: ImageFile, format: BitmapFormat = BitmapFormat.BGRA8888) -> Self:
        """The pixels of a PNG file. OSError when it is none or cannot be read, ValueError when it is larger
        than a bitmap, ModuleNotFoundError without Pillow."""
        with _optional("PIL.Image", "pillow").open(file, formats=["PNG"]) as image:
            return cls.from_image(image, format)

    @property
    def is_valid(self) -> bool:
        """False for a bitmap that stands for none, and for a closed one."""
        return self.buffer.is_valid

    @property
    def physical_width(self) -> int:
        """Pixels in a row, scale included."""
        return self.width * self.scale

    @property
    def physical_height(self) -> int:
        """Rows of pixels, scale included."""
        return self.height * self.scale

    @property
    def pitch(self) -> int:
        """Bytes from one row of pixels to the next."""
        return self.physical_width * BYTES_PER_PIXEL

    @property
    def pixels(self) -> memoryview:
        """The pixels, row by row, as shared memory. corelib.UsageError when the bitmap is invalid."""
        return self.buffer.data[: self.pitch * self.physical_height]

    def to_numpy(self) -> Any:
        """The pixels as a numpy array that shares their memory: rows, columns, and four uint8 in the order
        of `format`. `.view("<u4")[..., 0]` of it has one number a pixel. corelib.UsageError when the bitmap
        is invalid, ModuleNotFoundError without numpy."""
        numpy = _optional("numpy", "numpy")
        shape = (self.physical_height, self.physical_width, BYTES_PER_PIXEL)
        return numpy.ndarray(shape, numpy.uint8, self.pixels)

    def to_image(self) -> Any:
        """A copy of the pixels as a Pillow image: RGB for BGRx8888, else RGBA. corelib.UsageError when the
        bitmap is invalid, ModuleNotFoundError without Pillow."""
        pillow = _optional("PIL.Image", "pillow")
        mode, layout = _PILLOW_MODES[self.format]
        size = (self.physical_width, self.physical_height)
        return pillow.frombytes(mode, size, self.pixels, "raw", layout)

    def save_png(self, file: ImageFile) -> None:
        """Write the pixels to a PNG file. Raises what to_image() does, and OSError."""
        self.to_image().save(file, "PNG")

    def close(self) -> None:
        """Give the memory up, as AnonymousBuffer.close() does."""
        self.buffer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if not self.is_valid:
            return "ShareableBitmap(invalid)"
        return f"ShareableBitmap({self.width}x{self.height}, scale {self.scale}, {self.format.name})"


def _optional(module: str, extra: str) -> ModuleType:
    """A module that ipclib does without until somebody asks for what only it can do."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"this needs {module}: pip install 'corelib-ipc[{extra}]'", name=module
        ) from error


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
