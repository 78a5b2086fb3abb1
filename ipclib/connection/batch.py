"""Owns a batch of frames that leave in one system call, with their descriptors, and how much of it has left.
Must not know sockets, or when a batch leaves.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from ipclib.values.codecs import Payload
from ipclib.values.decoding import Buffer, Files
from ipclib.values.file import File

NONE: list[Any] = []
"""Stands for no Files and no small frames. It is never changed."""
_NO_FDS = array("i")


class Batch:
    """Frames that leave in one system call, and the descriptors that go with its first byte."""

    __slots__ = ("fds", "files", "large", "length", "sent", "small")

    def __init__(
        self, length: int, *, small: list[bytes] = NONE, large: tuple[bytes, ...] = (), files: Files = NONE
    ) -> None:
        self.small = small
        """Small frames, which are joined."""
        self.large = large
        """The pieces of one frame that is not joined with others."""
        self.length = length
        """Bytes of the batch."""
        self.sent = 0
        """How many of these bytes have left."""
        self.files = files
        self.fds = array("i", [file.fileno() for file in files]) if files else _NO_FDS

    @classmethod
    def apart(cls, frame: Payload, files: Files) -> Batch:
        """A batch for one frame, whose Files are moved: the caller's are empty afterwards.

        A frame with descriptors has a sendmsg to itself, so that the receiver knows whose they are; a large
        frame is not copied.
        """
        pieces = (frame,) if isinstance(frame, bytes) else frame
        length = sum(map(len, pieces))
        return cls(length, large=pieces, files=[File(file.take_fd()) for file in files])

    def unsent(self) -> Sequence[Buffer]:
        """The bytes that have not left yet."""
        if self.large:
            return _after(self.large, self.sent)
        joined = b"".join(self.small)
        return (memoryview(joined)[self.sent :] if self.sent else joined,)


def _after(pieces: tuple[bytes, ...], sent: int) -> Sequence[Buffer]:
    """The pieces after the first `sent` bytes, without copying."""
    for place, piece in enumerate(pieces):
        if sent < len(piece):
            return (memoryview(piece)[sent:] if sent else piece, *pieces[place + 1 :])
        sent -= len(piece)
    return ()
