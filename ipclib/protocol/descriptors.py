"""Owns the received descriptors that no message has taken yet, and decides to which frame each belongs.
Must not know messages, the contents of frames, or sockets.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipclib.errors import ProtocolViolation
from ipclib.values.file import File


class DescriptorQueue:
    """Received descriptors in order of arrival.

    A frame with descriptors has a sendmsg to itself, the descriptors arrive with its first byte, and recvmsg
    returns no bytes of later sendmsg calls with them (unix(7)). So they belong to the last frame that begins
    among the bytes with which they arrived.
    """

    __slots__ = ("queue", "received")

    def __init__(self) -> None:
        self.queue: list[tuple[File, int]] = []
        """Each descriptor, with the offset in the stream after the bytes with which it arrived. A list, as an
        empty deque takes 760 bytes in each idle connection."""
        self.received = 0
        """How many descriptors have arrived so far."""

    def __len__(self) -> int:
        return len(self.queue)

    def add(self, fds: Sequence[int], offset: int) -> None:
        """Take ownership of descriptors that arrived with bytes up to this offset in the stream."""
        self.received += len(fds)
        self.queue.extend((File(fd), offset) for fd in fds)

    def take(self, start: int, end: int) -> list[File]:
        """Remove and return the descriptors of the frame at these offsets in the stream."""
        files = []
        while self.queue and start < self.queue[0][1] <= end:
            files.append(self.queue.pop(0)[0])
        return files

    def check_pending(self, is_frame_begun: bool, most: int) -> None:
        """Check that the descriptors which no complete frame took belong to an incomplete frame.

        Raises:
            ProtocolViolation: there is no such frame, or it has more than `most` descriptors.
        """
        pending = len(self.queue)
        if not pending:
            return
        if not is_frame_begun:
            raise ProtocolViolation(f"{pending} descriptors that no message takes")
        if pending > most:
            raise ProtocolViolation(f"{pending} descriptors for one message; max_fds_per_message is {most}")

    def clear(self) -> None:
        """Close all descriptors."""
        queue, self.queue = self.queue, []
        for file, _offset in queue:
            file.close()
