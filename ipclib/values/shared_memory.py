"""Owns the codec of AnonymousBuffer, and the limit of what a peer's shared memory may cost.
Must not know bitmaps, or how descriptors travel.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from corelib import AnonymousBuffer
from ipclib.values.codecs import BOOLEANS, Codec
from ipclib.values.decoding import Buffer, Decoding, Files, Outgoing
from ipclib.values.file import Duplicate

if TYPE_CHECKING:
    from ipclib.values.samples import Dice

_SIZE = Struct("=I")


class AnonymousBufferCodec(Codec[AnonymousBuffer]):
    """The codec of Core::AnonymousBuffer. Sending shares its memory, where sending a File moves it."""

    name = "Core::AnonymousBuffer"
    smallest = 1
    counts = True

    def encode(self, value: AnonymousBuffer, files: Files) -> bytes:
        if not isinstance(value, AnonymousBuffer):
            raise TypeError("a corelib.AnonymousBuffer is needed; AnonymousBuffer() stands for none")
        if not value.is_valid:
            return b"\0"
        share(value, value.size, files)
        return b"\1" + _SIZE.pack(value.size)

    def decode(self, data: Buffer, at: int, decoding: Decoding) -> tuple[AnonymousBuffer, int]:
        if not BOOLEANS[data[at]]:
            return AnonymousBuffer(), at + 1
        (size,) = _SIZE.unpack_from(data, at + 1)
        return received_memory(size, decoding), at + 5

    def python_types(self) -> frozenset[type]:
        return frozenset((AnonymousBuffer,))

    def sample(self, dice: Dice) -> AnonymousBuffer:
        content = dice.octets() + b"."  # LibIPC's connections fall silent after memory of 0 bytes.
        buffer = AnonymousBuffer.create(len(content))
        buffer.data[:] = content
        return buffer


def share(buffer: AnonymousBuffer, size: int, files: Files) -> None:
    """Append a descriptor of the buffer to the message, which takes `size` bytes of it."""
    files.append(Duplicate(buffer.fd))
    if type(files) is Outgoing:
        files.has_empty_memory |= not size
        if buffer.may_shrink:
            files.copied += size


def received_memory(size: int, decoding: Decoding) -> AnonymousBuffer:
    """The memory of the message's next descriptor. The message keeps the descriptor if the memory is refused.

    Raises:
        corelib.BufferRefused: it is smaller than `size` bytes, is no memory, or is over the limit of copies.
        OSError: this process cannot map or copy it; the peer is not at fault.
    """
    file = decoding.take_file()
    most = decoding.max_copied - decoding.copied
    buffer = AnonymousBuffer.create_from_fd(file.fileno(), size, most, trusted=decoding.maps_unsealed)
    if file.take_fd() != buffer.fd:  # A copy has a descriptor of its own.
        decoding.copied += size
    return buffer


anonymous_buffer: Codec[AnonymousBuffer] = AnonymousBufferCodec()
