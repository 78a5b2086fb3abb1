"""Frames that wait to leave, and how few system calls they leave in.

Owns the order of what is sent and the descriptors that travel with it. Writes to a LocalSocket when
it is told to; when to do so is the connection's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from corelib import LocalSocket
from ipclib.file import File
from ipclib.values.codecs import Buffer, Files, Payload

_JOINED_UP_TO = 64 * 1024
_NOTHING_JOINS: list[bytes] = []


class Outbox:
    """A queue of frames, in batches that leave in a system call each."""

    __slots__ = ("_batches", "_joining", "_room", "fds_sent", "frames", "high_water", "sent", "size")

    def __init__(self) -> None:
        #: No deque: an empty one takes 760 bytes, in each idle connection.
        self._batches: list[tuple[Sequence[Buffer], Files]] = []
        #: The last batch, where small frames may still join it, and for how many bytes it has room.
        self._joining = _NOTHING_JOINS
        self._room = 0
        self.size = 0
        """Bytes that wait."""
        self.high_water = 0
        """The most that ever waited."""
        self.sent = 0
        """Bytes that have left."""
        self.frames = 0
        """Frames that were put in."""
        self.fds_sent = 0

    def __bool__(self) -> bool:
        return self.size > 0

    def put(self, frame: Payload, files: Files) -> None:
        """Queue a frame; its Files are moved, so the sender's are empty afterwards."""
        self.frames += 1
        if files or not isinstance(frame, bytes):
            self._put_apart(frame, files)
        else:
            size = len(frame)
            if size > self._room:
                self._joining = []
                self._room = _JOINED_UP_TO
                self._batches.append((self._joining, []))
            self._joining.append(frame)
            self._room -= size
            self.size += size
        if self.size > self.high_water:
            self.high_water = self.size

    def _put_apart(self, frame: Payload, files: Files) -> None:
        """A frame with descriptors begins a sendmsg of its own, and ends it: the receiver can then tell which
        frame they came with. One that is large is not copied together with others."""
        pieces = (frame,) if isinstance(frame, bytes) else frame
        self._batches.append((pieces, [File(file.take_fd()) for file in files]))
        self._room = 0
        self.size += sum(map(len, pieces))

    def send(self, frame: Payload, files: Files, socket: LocalSocket) -> bool:
        """put() and write_to(), in one step for a small frame when nothing waits."""
        if self.size or files or not isinstance(frame, bytes):
            self.put(frame, files)
            return self.write_to(socket)
        self.frames += 1
        sent = socket.send(frame)
        self.sent += sent
        if sent == len(frame):
            return True
        self._batches.append((_behind((frame,), sent), []))
        self.size = len(frame) - sent
        self.high_water = max(self.high_water, self.size)
        return False

    def write_to(self, socket: LocalSocket) -> bool:
        """Send what the socket takes; True when nothing waits any longer. Raises the socket's OSError."""
        self._joining = _NOTHING_JOINS
        self._room = 0
        batches = self._batches
        while batches:
            pieces, files = batches[0]
            if isinstance(pieces, list):
                pieces = (b"".join(pieces),)
            sent = self._send(socket, pieces, files)
            self.size -= sent
            self.sent += sent
            rest = _behind(pieces, sent)
            if rest:
                batches[0] = (rest, [] if sent else files)
                return False
            del batches[0]
        return True

    def clear(self) -> None:
        """Drop everything; descriptors are closed."""
        for _pieces, files in self._batches:
            for file in files:
                file.close()
        self._batches.clear()
        self._joining = _NOTHING_JOINS
        self._room = 0
        self.size = 0

    def _send(self, socket: LocalSocket, pieces: Sequence[Buffer], files: Files) -> int:
        if files:
            sent = socket.send_parts(pieces, [file.fileno() for file in files])
            if sent:
                self.fds_sent += len(files)
                for file in files:
                    file.close()
            return sent
        return socket.send(pieces[0]) if len(pieces) == 1 else socket.send_parts(pieces)


def _behind(pieces: Sequence[Buffer], sent: int) -> Sequence[Buffer]:
    """What is left of the pieces behind the first `sent` bytes, without copying."""
    for place, piece in enumerate(pieces):
        if sent < len(piece):
            return (memoryview(piece)[sent:], *pieces[place + 1 :])
        sent -= len(piece)
    return ()
