"""Owns LibGfx's values in messages: points, sizes, rectangles, colours, and bitmaps in shared memory.
Must not know codecs. numpy and Pillow are imported when a method first needs them.
"""

from __future__ import annotations

import enum
import os
from importlib import import_module
from types import ModuleType, TracebackType
from typing import IO, Any, Self, TypeAlias

import attrs

from corelib import AnonymousBuffer
from corelib.turn import NotCopied

BYTES_PER_PIXEL = 4
LARGEST_BITMAP = 0x7FFFFFFF
"""Bytes of the largest bitmap, the most that LibGfx can count."""

ImageFile: TypeAlias = str | os.PathLike[str] | IO[bytes]
"""An image's file: a path, or a file opened in binary mode."""


@attrs.frozen
class IntPoint:
    """A position in whole pixels."""

    x: int = 0
    y: int = 0


@attrs.frozen
class IntSize:
    """A width and a height in whole pixels."""

    width: int = 0
    height: int = 0


@attrs.frozen
class IntRect:
    """A rectangle in whole pixels: its upper left corner and its size."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0


@attrs.frozen
class FloatPoint:
    """A position between pixels. Each number has 32 bits on the wire."""

    x: float = 0.0
    y: float = 0.0


@attrs.frozen
class FloatSize:
    """A width and a height. Each number has 32 bits on the wire."""

    width: float = 0.0
    height: float = 0.0


@attrs.frozen
class FloatRect:
    """A rectangle: its upper left corner and its size. Each number has 32 bits on the wire."""

    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0


def _check_channel(_color: Color, field: attrs.Attribute[int], value: int) -> None:
    if not isinstance(value, int) or not 0 <= value <= 255:
        raise ValueError(f"Color.{field.name} is an int from 0 to 255, not {value!r}")


@attrs.frozen
class Color:
    """A colour of red, green, blue and alpha, each from 0 to 255.

    Raises:
        ValueError: one of them is not an int from 0 to 255.
    """

    r: int = attrs.field(validator=_check_channel)
    g: int = attrs.field(validator=_check_channel)
    b: int = attrs.field(validator=_check_channel)
    a: int = attrs.field(validator=_check_channel, default=255)

    @classmethod
    def from_argb(cls, argb: int) -> Color:
        """The colour of a number 0xAARRGGBB."""
        return cls(argb >> 16 & 0xFF, argb >> 8 & 0xFF, argb & 0xFF, argb >> 24)

    @property
    def argb(self) -> int:
        """The colour as one number, 0xAARRGGBB."""
        return self.a << 24 | self.r << 16 | self.g << 8 | self.b


class BitmapFormat(enum.IntEnum):
    """The order of a pixel's four bytes in memory; x is an unused byte.

    As in LibGfx, colours are not multiplied by their alpha.
    """

    BGRx8888 = 1
    BGRA8888 = 2
    RGBA8888 = 3


_PILLOW_MODES = {
    BitmapFormat.BGRx8888: ("RGB", "BGRX"),
    BitmapFormat.BGRA8888: ("RGBA", "BGRA"),
    BitmapFormat.RGBA8888: ("RGBA", "RGBA"),
}
"""The mode of an image in Pillow, and Pillow's name of its layout in memory."""


class ShareableBitmap(NotCopied):
    """Pixels in shared memory. `ShareableBitmap()` is invalid and stands for no bitmap.

    Width and height are logical: a bitmap of scale 2 has twice as many pixels in each direction. `buffer` may
    be longer than the pixels need.

    The pixels are not copied between two processes: when one of them writes to `pixels` or `to_numpy()`, the
    other sees it. Both may write, unless the memory is sealed against writing; then the receiver's views are
    read-only. Views stay usable after close(); the memory is freed when the last view is.

    Raises:
        ValueError: the buffer is shorter than the pixels, or there can be no bitmap of that size.
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
        """A bitmap whose bytes are all zero.

        Raises:
            ValueError: there can be no bitmap of that size.
        """
        return cls(AnonymousBuffer.create(bitmap_size(width, height, scale)), width, height, scale, format)

    @classmethod
    def from_image(cls, image: Any, format: BitmapFormat = BitmapFormat.BGRA8888) -> Self:
        """A copy of the pixels of a Pillow image of any mode.

        Raises:
            ValueError: the image is larger than a bitmap can be.
        """
        width, height = image.size
        bitmap = cls.create(width, height, format=format)
        mode, layout = _PILLOW_MODES[bitmap.format]
        bitmap.pixels[:] = image.convert(mode).tobytes("raw", layout)
        return bitmap

    @classmethod
    def load_png(cls, file: ImageFile, format: BitmapFormat = BitmapFormat.BGRA8888) -> Self:
        """The pixels of a PNG file.

        Raises:
            OSError: the file cannot be read, or is not a PNG file.
            ValueError: the image is larger than a bitmap can be.
            ModuleNotFoundError: Pillow is not installed.
        """
        with _optional("PIL.Image", "pillow").open(file, formats=["PNG"]) as image:
            return cls.from_image(image, format)

    @property
    def is_valid(self) -> bool:
        """False for a bitmap that was made without a buffer, or is closed."""
        return self.buffer.is_valid

    @property
    def physical_width(self) -> int:
        """Pixels in a row, with the scale."""
        return self.width * self.scale

    @property
    def physical_height(self) -> int:
        """Rows of pixels, with the scale."""
        return self.height * self.scale

    @property
    def pitch(self) -> int:
        """Bytes from the start of one row to the start of the next."""
        return self.physical_width * BYTES_PER_PIXEL

    @property
    def pixels(self) -> memoryview:
        """The shared memory of the pixels, row by row.

        Raises:
            corelib.UsageError: the bitmap is invalid.
        """
        return self.buffer.data[: self.pitch * self.physical_height]

    def to_numpy(self) -> Any:
        """The pixels as a numpy array that shares their memory.

        Its shape is (rows, columns, 4), its type uint8, and its last axis has the order of `format`. As one
        number for each pixel it is `.view("<u4")[..., 0]`.

        Raises:
            corelib.UsageError: the bitmap is invalid.
            ModuleNotFoundError: numpy is not installed.
        """
        numpy = _optional("numpy", "numpy")
        shape = (self.physical_height, self.physical_width, BYTES_PER_PIXEL)
        return numpy.ndarray(shape, numpy.uint8, self.pixels)

    def to_image(self) -> Any:
        """A copy of the pixels as a Pillow image, of mode RGB for BGRx8888 and else RGBA.

        Raises:
            corelib.UsageError: the bitmap is invalid.
            ModuleNotFoundError: Pillow is not installed.
        """
        pillow = _optional("PIL.Image", "pillow")
        mode, layout = _PILLOW_MODES[self.format]
        size = (self.physical_width, self.physical_height)
        return pillow.frombytes(mode, size, self.pixels, "raw", layout)

    def save_png(self, file: ImageFile) -> None:
        """Write the pixels to a PNG file.

        Raises:
            OSError: the file cannot be written.
            corelib.UsageError, ModuleNotFoundError: as for to_image().
        """
        self.to_image().save(file, "PNG")

    def close(self) -> None:
        """Close the buffer, as AnonymousBuffer.close() does."""
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
    """Import a module that the distribution has as an extra."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"this needs {module}: pip install 'corelib-ipc[{extra}]'", name=module
        ) from error


def bitmap_size(width: int, height: int, scale: int) -> int:
    """How many bytes the pixels of a bitmap take.

    Raises:
        ValueError: there can be no bitmap of that size.
        TypeError: a number is not whole.
    """
    for number in (width, height, scale):
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"a bitmap is measured in whole numbers, not {number!r}")
    if width < 0 or height < 0 or scale < 1:
        raise ValueError(f"no bitmap is {width}x{height} at scale {scale}")
    size = width * scale * BYTES_PER_PIXEL * height * scale
    if size > LARGEST_BITMAP or width * scale > LARGEST_BITMAP or height * scale > LARGEST_BITMAP:
        raise ValueError(
            f"a bitmap of {width}x{height} at scale {scale} is larger than {LARGEST_BITMAP} bytes"
        )
    return size
