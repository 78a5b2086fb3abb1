"""Frames that wait to leave, and how few system calls they leave in.

Owns the order of what is sent and the descriptors that travel with it. Writes to a LocalSocket when
it is told to; when to do so is the connection's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from corelib import LocalSocket
from ipclib.file import File
from ipclib.values.codecs import Buffer, Files, Payload

_JOINED_UP_TO = 64 * 1024
_PIECES_IN_ONE_CALL = 256


class Outbox:
    """A queue of frames."""

    __slots__ = ("_frames", "fds_sent", "frames", "high_water", "sent", "size")

    def __init__(self) -> None:
        self._frames: deque[tuple[Sequence[Buffer], Files]] = deque()
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
        return bool(self._frames)

    def put(self, frame: Payload, files: Files) -> None:
        """Queue a frame; its Files are moved, so the sender's are empty afterwards."""
        if files:
            files = [File(file.take_fd()) for file in files]
        if isinstance(frame, bytes):
            self.size += len(frame)
            self._frames.append(((frame,), files))
        else:
            self.size += sum(map(len, frame))
            self._frames.append((frame, files))
        self.frames += 1
        if self.size > self.high_water:
            self.high_water = self.size

    def write_to(self, socket: LocalSocket) -> bool:
        """Send what the socket takes; True when nothing waits any longer. Raises the socket's OSError."""
        frames = self._frames
        while frames:
            pieces, files = frames.popleft()
            if not files and frames:
                pieces = self._with_followers(pieces)
            try:
                sent = self._send(socket, pieces, files)
            except OSError:
                frames.appendleft((pieces, files))  # So that clear() closes its descriptors too.
                raise
            self.size -= sent
            self.sent += sent
            rest = _behind(pieces, sent)
            if rest:
                frames.appendleft((rest, [] if sent else files))
                return False
        return True

    def clear(self) -> None:
        """Drop everything; descriptors are closed."""
        for _pieces, files in self._frames:
            for file in files:
                file.close()
        self._frames.clear()
        self.size = 0

    def _with_followers(self, pieces: Sequence[Buffer]) -> Sequence[Buffer]:
        """The pieces, and those of the frames behind that may leave in the same call.

        A frame with descriptors begins a sendmsg of its own, and ends it: the receiver can then
        tell which frame they came with.
        """
        frames = self._frames
        batch = list(pieces)
        size = sum(map(len, batch))
        while frames and not frames[0][1] and size < _JOINED_UP_TO and len(batch) < _PIECES_IN_ONE_CALL:
            following, _files = frames.popleft()
            batch += following
            size += sum(map(len, following))
        return (b"".join(batch),) if size <= 2 * _JOINED_UP_TO else batch

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
