"""Owns the write side of a link's socket: the queue, corks, the write notifier, and when frames leave.
Must not know what frames say, who waits for answers, or how the link ends.

User code may enter a Sender again at any allocation, because the collector runs finalisers there. So the
queue is consistent whenever something is allocated; the arguments of a system call are packed before the
queue is looked at; and nothing is allocated from that look until the result of the call is recorded.
`is_locked` guards what remains.
"""

from __future__ import annotations

import atexit
import time
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from socket import MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET
from threading import get_ident
from typing import Any, Protocol

from corelib import LocalSocket, Notifier
from corelib.turn import ThreadLoop, interrupts
from ipclib.values.codecs import Payload
from ipclib.values.decoding import Buffer, Files
from ipclib.values.file import File

# Bytes of small frames that are joined into one write.
_JOINED_UP_TO = 64 * 1024
# IOV_MAX on Linux: sendmsg with more pieces fails.
_MOST_PIECES = 1024
# Seconds.
_FLUSH_AT_EXIT = 2.0
# A plain int: on 3.11 passing an IntFlag costs as much as a small system call.
_NO_SIGPIPE = int(MSG_NOSIGNAL)


class SenderOwner(Protocol):
    """A link, as its Sender sees it."""

    def did_drain(self) -> None:
        """Note that the queue is empty."""

    def did_fill_socket(self) -> None:
        """Note that the socket is full, and the rest waits."""

    def did_stop_reading(self) -> None:
        """Note that the peer closed its end; what it sent before may still be unread."""

    def did_fail_to_send(self, error: OSError) -> None:
        """Note that sending failed for another reason."""


_NONE: list[Any] = []
_NO_FDS = array("i")


class _Batch:
    """Frames that leave in one system call, and the descriptors that go with its first byte."""

    __slots__ = ("fds", "files", "large", "length", "sent", "small")

    def __init__(
        self, length: int, *, small: list[bytes] = _NONE, large: tuple[bytes, ...] = (), files: Files = _NONE
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

    def unsent(self) -> Sequence[Buffer]:
        """The bytes that have not left yet."""
        if self.large:
            return _after(self.large, self.sent)
        joined = b"".join(self.small)
        return (memoryview(joined)[self.sent :] if self.sent else joined,)


class Sender:
    """Sends frames through one socket, in order. What the socket does not take waits in a queue."""

    __slots__ = (
        "__weakref__",
        "_batches",
        "_high_water",
        "_open_batch",
        "_owner",
        "_send",
        "_sendmsg",
        "_socket",
        "_thread",
        "_writable",
        "corks",
        "fds_sent",
        "flush_is_due",
        "frames",
        "is_locked",
        "limit",
        "sent",
        "size",
        "takes_frames",
    )

    def __init__(self, socket: LocalSocket, thread: ThreadLoop, owner: SenderOwner, limit: int) -> None:
        self._socket = socket
        self._send = socket.system.send
        self._sendmsg = socket.system.sendmsg
        self._thread = thread
        self._owner = owner
        self._batches: list[_Batch] = []
        """A list, not a deque: an empty deque is 760 bytes per idle connection."""
        self._open_batch: _Batch | None = None
        """The last batch, if small frames may still be appended to it."""
        self.corks = 0
        """Depth of nested cork() blocks."""
        self.flush_is_due = False
        """True if the queue will be flushed at the turn's end."""
        self.is_locked = False
        """True from a system call until its result is recorded. Meanwhile frames are only queued."""
        self._writable: Notifier | None = None
        self.limit = limit
        """Bytes that may wait (Limits.max_send_queue)."""
        self.takes_frames = True
        """False after close(), or after the peer closed its end. Then frames are dropped."""
        self.size = 0
        """Bytes that wait to leave."""
        self._high_water = 0
        """The most bytes that waited before a write."""
        self.sent = 0
        """Bytes that have left."""
        self.frames = 0
        """Frames that were sent or queued."""
        self.fds_sent = 0

    @property
    def high_water(self) -> int:
        """The most bytes that ever waited."""
        return max(self._high_water, self.size)

    @property
    def thread_ident(self) -> int:
        """The ident of the thread to which it belongs."""
        return self._thread.ident

    @contextmanager
    def cork(self) -> Iterator[None]:
        """Hold frames back until the outermost block ends, then let them leave together."""
        self.corks += 1
        try:
            yield
        finally:
            self.corks -= 1
            if not self.corks:
                self.flush()

    def send(self, frame: Payload, files: Files) -> None:
        """Send a frame: at the end of the turn if the loop is in one, else at once."""
        if self.flush_is_due or self.corks:
            self.put(frame, files)
        elif self._thread.depth:
            self.put(frame, files)
            self.flush_is_due = True
            self._thread.turn_end.append(self.flush)
        else:
            self.send_now(frame, files)
            if interrupts.pending:
                interrupts.raise_pending()

    def send_now(self, frame: Payload, files: Files) -> None:
        """Send a frame, after what waits already. What the socket does not take waits in the queue."""
        arguments: Any = (frame, _NO_SIGPIPE)
        if self.size or files or self.is_locked or not isinstance(frame, bytes) or not self.takes_frames:
            self.put(frame, files)
            self.flush()
            return
        self.is_locked = True
        try:
            sent = self._send(*arguments)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.is_locked = False
            self._on_error(error)
            return
        self.frames += 1
        self.sent += sent
        if sent != len(frame):
            self._keep_rest(frame, sent)
        self.is_locked = False
        if self.size:  # The rest of this frame, or frames of a finaliser.
            self.flush()

    def flush(self) -> None:
        """Write the queue to the socket. What the socket does not take leaves once it can."""
        self.flush_is_due = False
        try:
            while self._batches and self.takes_frames and not self.is_locked:
                if not self._write(self._batches[0]):
                    self._watch_writable()
                    return
        except OSError as error:
            self._on_error(error)

    def flush_blocking(self, deadline: int | None) -> None:
        """Write the queue without the loop, until it is empty or the deadline has passed."""
        while self.size:
            seconds = None if deadline is None else max(0.0, (deadline - time.monotonic_ns()) / 1e9)
            if not self._socket.wait_writable(seconds):
                return
            self.flush()

    def close(self) -> None:
        """Drop the queue and close its descriptors. The link closes the socket itself."""
        self.takes_frames = False
        _unflushed.discard(self)
        if self._writable is not None:
            self._writable.close()
        self._drop_all()

    def abandon(self) -> None:
        """Drop the queue in a forked child. The notifier belongs to the parent's loop and is left alone."""
        self.takes_frames = False
        self._drop_all()

    # The queue

    def put(self, frame: Payload, files: Files) -> None:
        """Queue a frame until flush(). Its Files are moved: the caller's are empty afterwards."""
        if not self.takes_frames:
            _close_all(files)
            return
        self.frames += 1
        if files or not isinstance(frame, bytes):
            self._put_apart(frame, files)
        else:
            size = len(frame)
            batch = self._open_batch
            if batch is not None and batch.length + size <= _JOINED_UP_TO:
                self.size += size
                batch.length += size
                batch.small.append(frame)
            else:
                self._append(_Batch(size, small=[frame]))

    def _put_apart(self, frame: Payload, files: Files) -> None:
        """Queue a frame in a batch of its own.

        A frame with descriptors has a sendmsg to itself, so that the receiver knows whose they are; a large
        frame is not copied.
        """
        pieces = (frame,) if isinstance(frame, bytes) else frame
        length = sum(map(len, pieces))
        self._append(_Batch(length, large=pieces, files=[File(file.take_fd()) for file in files]))

    def _append(self, batch: _Batch) -> None:
        """Queue a new batch, unless a finaliser has closed the sender while it was made."""
        if not self.takes_frames:
            _close_all(batch.files)
            return
        self._open_batch = batch if batch.small else None
        self.size += batch.length
        self._batches.append(batch)

    def _keep_rest(self, frame: bytes, sent: int) -> None:
        """Queue what the socket did not take of a frame, before everything that was queued meanwhile."""
        batch = _Batch(len(frame), large=(frame,))
        if not self.takes_frames:
            return
        batch.sent = sent
        self.size += len(frame) - sent
        self._batches.insert(0, batch)

    def _write(self, batch: _Batch) -> bool:
        """Send the first batch, unless a finaliser does; False if the socket did not take all of it."""
        if batch is self._open_batch:
            self._open_batch = None
        self._high_water = max(self._high_water, self.size)
        before = batch.sent
        send, arguments = self._system_call(batch)
        if not self._batches or self._batches[0] is not batch or batch.sent != before or self.is_locked:
            return True  # A finaliser sent the batch, or closed the link.
        self.is_locked = True
        try:
            sent = send(*arguments)
        except BlockingIOError:
            sent = 0
        finally:
            self.is_locked = False
        if not self.takes_frames:
            return True
        batch.sent += sent
        self.size -= sent
        self.sent += sent
        if batch.sent == batch.length:
            del self._batches[0]
        if sent and batch.files:
            self.fds_sent += len(batch.files)
            _close_all(batch.files)
            batch.files = _NONE
        return batch.sent == batch.length

    def _system_call(self, batch: _Batch) -> tuple[Callable[..., int], tuple[Any, ...]]:
        """The system call that sends the rest of a batch, and its arguments."""
        pieces = batch.unsent()
        if len(pieces) == 1 and not batch.files:
            return self._send, (pieces[0], _NO_SIGPIPE)
        ancillary = [(SOL_SOCKET, SCM_RIGHTS, batch.fds)] if batch.files else ()
        return self._sendmsg, (pieces[:_MOST_PIECES], ancillary, _NO_SIGPIPE)

    def _drop_all(self) -> None:
        batches, self._batches = self._batches, []
        self._open_batch = None
        self.size = 0
        for batch in batches:
            _close_all(batch.files)

    # The socket

    def _on_error(self, error: OSError) -> None:
        if isinstance(error, (BrokenPipeError, ConnectionResetError)):
            self.takes_frames = False
            self._drop_all()
            self._owner.did_stop_reading()
        else:
            self._owner.did_fail_to_send(error)

    def _watch_writable(self) -> None:
        if self._writable is None and self.takes_frames:
            made = Notifier(self._socket, Notifier.Type.WRITE, self._on_writable, reentrant=True)
            if self._writable is None and self.takes_frames:
                self._writable = made
            else:
                made.close()  # A finaliser that ran within Notifier() has made one, or closed the sender.
        if self._writable is None or not self.takes_frames:
            return
        self._writable.set_enabled(True)
        _unflushed.add(self)
        self._owner.did_fill_socket()

    def _on_writable(self) -> None:
        self.flush()
        if self.size or not self.takes_frames:
            return
        if self._writable is not None:
            self._writable.set_enabled(False)
            if self.size:  # A finaliser that ran in there queued a frame, and found the notifier enabled.
                self._watch_writable()
                return
        _unflushed.discard(self)
        self._owner.did_drain()


def _after(pieces: tuple[bytes, ...], sent: int) -> Sequence[Buffer]:
    """The pieces after the first `sent` bytes, without copying."""
    for place, piece in enumerate(pieces):
        if sent < len(piece):
            return (memoryview(piece)[sent:] if sent else piece, *pieces[place + 1 :])
        sent -= len(piece)
    return ()


def _close_all(files: Files) -> None:
    for file in files:
        file.close()


_unflushed: weakref.WeakSet[Sender] = weakref.WeakSet()
"""Senders that wait until their socket can be written."""


def _flush_at_exit() -> None:
    """Send what still waits at an orderly exit, for a bounded time. The loop may be closed already."""
    deadline = time.monotonic_ns() + int(_FLUSH_AT_EXIT * 1e9)
    for sender in list(_unflushed):
        if sender.thread_ident == get_ident():
            sender.flush_blocking(deadline)


atexit.register(_flush_at_exit)
