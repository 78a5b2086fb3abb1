"""Owns the reading of one link's socket: plain frames go to the cursor, everything else into the inbox.
Must not know what becomes of either, or how the link ends.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from corelib import DescriptorsTruncated, LocalSocket
from ipclib.connection.state import State
from ipclib.connection.watchdog import Watchdog
from ipclib.limits import Limits
from ipclib.protocol.partial_frame import PartialFrame
from ipclib.protocol.plain_frames import Cursor
from ipclib.protocol.receiver import Receiver

# Bytes: a payload of 128 KiB and what surrounds it. Each further read of a frame costs a copy of it.
_READ_SIZE = 132 * 1024
# Bytes. So much of a frame that has begun is copied before the bytes that complete it.
_SMALL_START = 16 * 1024
# Plain ints: on 3.11 an operation on an IntFlag costs as much as a small system call.
_CLOSE_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)
_TRUNCATED = int(socket.MSG_CTRUNC)
_OPEN = State.OPEN

# glibc gives fresh pages for each block of 128 KiB or more, until one is freed: then it keeps as much.
_never_used = bytes(1024 * 1024)
del _never_used


class Guard(Protocol):
    """What serves the link, as its Reading sees it."""

    is_guarded: bool
    """Whether each message is looked at before its handler is called."""


class ReadingLink(Protocol):
    """A link, as its Reading sees it."""

    limits: Limits
    state: State
    watchdog: Watchdog

    def end_reading(self) -> None:
        """Note that the stream is over."""

    def fail(self, verb: str, error: OSError) -> None:
        """Close the link, because the system refused to receive."""


class Reading:
    """Reads one socket into the cursor, or by the receiver into the inbox.

    What was read was sent in this order: the inbox, the rest of the cursor, the frame that has begun.
    """

    __slots__ = (
        "_ancillary_size",
        "_inbox",
        "_link",
        "_max_fds",
        "_receives_files",
        "_serving",
        "_socket",
        "_system",
        "_trailers",
        "cursor",
        "receiver",
    )

    def __init__(
        self,
        link: ReadingLink,
        socket: LocalSocket,
        receiver: Receiver,
        serving: Guard,
        *,
        receives_files: bool,
    ) -> None:
        self._link = link
        self._serving = serving
        self._socket = socket
        self._system = socket.system
        self._inbox = receiver.inbox
        self._trailers = receiver.trailers
        self._receives_files = receives_files
        self._max_fds = link.limits.max_fds_per_message
        self._ancillary_size = LocalSocket.ancillary_size(self._max_fds)
        self.receiver = receiver
        self.cursor = Cursor()

    def read(self) -> None:  # noqa: C901
        """Read the socket once.

        It is one function because every message passes it, and a call of another costs 50 ns.
        """
        if self._link.state is not _OPEN:
            return
        receiver = self.receiver
        partial = receiver.partial
        failure: Exception | None = None
        fds: Sequence[int] = ()
        count: int | None = None
        collects = gc.isenabled()
        gc.disable()  # A finaliser could make a turn, which would read on before these bytes are taken apart.
        try:
            try:
                if partial.missing and (room := partial.room()) is not None:
                    data = b""
                    count, fds = self._receive_into(room)
                elif self._receives_files:
                    data, ancillary, flags, _ = self._system.recvmsg(
                        _READ_SIZE, self._ancillary_size, _CLOSE_ON_EXEC
                    )
                    if ancillary or flags & _TRUNCATED:
                        fds = LocalSocket.fds_of(ancillary, flags, self._max_fds)
                else:
                    data = self._system.recv(_READ_SIZE)  # The kernel closes descriptors that come anyway.
            except BlockingIOError:
                return
            except (OSError, DescriptorsTruncated) as error:
                failure = error
            else:
                if partial.received or fds or not data or not self._trailers.in_all or self._inbox:
                    self._receive(data, count, fds)
                elif self._serving.is_guarded:
                    receiver.receive(data)
                else:
                    cursor = self.cursor
                    cursor.data = data
                    cursor.at = receiver.bytes_received
                    receiver.bytes_received = cursor.end = cursor.at + len(data)
                    cursor.holds_no_cancel = False
        finally:
            if collects:
                gc.enable()
        if failure is not None:
            self._on_failure(failure)
        elif receiver.ended or partial.missing:
            self._note_state()

    def _receive_into(self, room: memoryview) -> tuple[int, Sequence[int]]:
        """Read the rest of a large frame, or a part of the rest, into the frame's own memory."""
        if not self._receives_files:
            return self._system.recv_into(room), ()
        received = self._socket.receive_into_with_fds(room, self._max_fds)
        if received is None:
            raise BlockingIOError
        return received

    def _receive(self, data: bytes, count: int | None, fds: Sequence[int]) -> None:
        """Have the receiver take what was read: `data`, or `count` bytes in the room of a large frame."""
        partial = self.receiver.partial
        if count is not None:
            self.receiver.receive_in_place(count, fds)
        elif (
            0 < partial.received <= _SMALL_START
            and partial.missing <= len(data)
            and self._trailers.in_all
            and not (fds or self._inbox or self._serving.is_guarded or self.receiver.descriptors.queue)
        ):
            self._complete(partial, data)
        else:
            self.receiver.receive(data, fds)

    def _complete(self, partial: PartialFrame, data: bytes) -> None:
        """Put the start of a small frame before the bytes that complete it."""
        cursor = self.cursor
        cursor.at = self.receiver.bytes_received - partial.received
        cursor.data = partial.take_small() + data
        self.receiver.bytes_received = cursor.end = cursor.at + len(cursor.data)
        cursor.holds_no_cancel = False

    def to_inbox(self) -> None:
        """Have the receiver take what the cursor has not passed: it has to be looked at closer."""
        cursor = self.cursor
        if cursor.at < cursor.end:
            with _no_collection():
                self.receiver.receive_again(cursor.rest())
            self._note_state()

    def _on_failure(self, error: Exception) -> None:
        if isinstance(error, DescriptorsTruncated):
            with _no_collection():
                self.receiver.receive_violation(str(error))
            self._note_state()
        elif isinstance(error, ConnectionResetError):
            with _no_collection():
                self.receiver.receive(b"")
            self._note_state()
        elif isinstance(error, OSError):
            self._link.fail("receive", error)

    def _note_state(self) -> None:
        if self.receiver.ended:
            self._link.end_reading()
        elif self.receiver.partial.missing:
            self._link.watchdog.wake()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the collector from running: see Receiver."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
