"""Codecs of what is passed as memory: AnonymousBuffer and ShareableBitmap. Knows what a peer's descriptor may
cost, and that sending shares a buffer where it moves a File.
"""

from __future__ import annotations

from struct import Struct

from corelib import AnonymousBuffer
from ipclib.errors import ProtocolViolation
from ipclib.file import Duplicate
from ipclib.gfx import BitmapFormat, ShareableBitmap, bitmap_size
from ipclib.values.codecs import BOOLEANS, Buffer, Codec, Files, Frame

_SIZE = Struct("=I")
_GEOMETRY = Struct("=iiII")


class AnonymousBufferCodec(Codec[AnonymousBuffer]):
    name = "Core::AnonymousBuffer"
    smallest = 1

    def encode(self, value: AnonymousBuffer, files: Files) -> bytes:
        if not isinstance(value, AnonymousBuffer):
            raise TypeError("a corelib.AnonymousBuffer is needed; AnonymousBuffer() stands for none")
        if not value.is_valid:
            return b"\0"
        files.append(Duplicate(value.fd))
        return b"\1" + _SIZE.pack(value.size)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[AnonymousBuffer, int]:
        if not BOOLEANS[data[at]]:
            return AnonymousBuffer(), at + 1
        (size,) = _SIZE.unpack_from(data, at + 1)
        return _received(size, frame), at + 5

    def python_types(self) -> frozenset[type]:
        return frozenset((AnonymousBuffer,))


class ShareableBitmapCodec(Codec[ShareableBitmap]):
    name = "Gfx::ShareableBitmap"
    smallest = 1

    def encode(self, value: ShareableBitmap, files: Files) -> bytes:
        if not isinstance(value, ShareableBitmap):
            raise TypeError("an ipclib.gfx.ShareableBitmap is needed; ShareableBitmap() stands for none")
        if not value.is_valid:
            return b"\0"
        files.append(Duplicate(value.buffer.fd))
        return b"\1" + _GEOMETRY.pack(value.width, value.height, value.scale, value.format)

    def decode(self, data: Buffer, at: int, frame: Frame) -> tuple[ShareableBitmap, int]:
        if not BOOLEANS[data[at]]:
            return ShareableBitmap(), at + 1
        width, height, scale, number = _GEOMETRY.unpack_from(data, at + 1)
        format = BitmapFormat(number)
        buffer = _received(bitmap_size(width, height, scale), frame)
        return ShareableBitmap(buffer, width, height, scale, format), at + 17

    def python_types(self) -> frozenset[type]:
        return frozenset((ShareableBitmap,))


def _received(size: int, frame: Frame) -> AnonymousBuffer:
    """The memory behind the next received descriptor, which the message keeps when the memory is refused."""
    file = frame.take_file()
    most = frame.max_copied - frame.copied
    try:
        buffer = AnonymousBuffer.create_from_fd(file.fileno(), size, most)
    except OSError as error:
        raise ProtocolViolation(f"the memory cannot be taken: {error}") from error
    if file.take_fd() != buffer.fd:  # A copy has a descriptor of its own.
        frame.copied += size
    return buffer


anonymous_buffer: Codec[AnonymousBuffer] = AnonymousBufferCodec()
shareable_bitmap: Codec[ShareableBitmap] = ShareableBitmapCodec()
