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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET
from threading import get_ident
from typing import Any, Protocol

from corelib import LocalSocket, Notifier
from corelib.turn import ThreadLoop, interrupts
from ipclib.connection.batch import NONE, Batch
from ipclib.connection.room import NO_ROOM, Room, WaitingOwner
from ipclib.values.codecs import Payload
from ipclib.values.decoding import Files

# Bytes of small frames that are joined into one write.
_JOINED_UP_TO = 64 * 1024
# IOV_MAX on Linux: sendmsg with more pieces fails.
_MOST_PIECES = 1024
# Seconds.
_FLUSH_AT_EXIT = 2.0
_RETRY_BLOCKED = 0.01
# A plain int: on 3.11 passing an IntFlag costs as much as a small system call.
_NO_SIGPIPE = int(MSG_NOSIGNAL)


class SenderOwner(WaitingOwner, Protocol):
    """A link, as its Sender sees it."""

    def did_drain(self) -> None:
        """Note that the queue is empty."""

    def did_fill_socket(self) -> None:
        """Note that the socket is full, and the rest waits."""

    def did_stop_reading(self) -> None:
        """Note that the peer closed its end; what it sent before may still be unread."""

    def did_fail_to_send(self, error: OSError) -> None:
        """Note that sending failed for another reason."""


class Sender:
    """Sends frames through one socket, in order. What the socket does not take waits in a queue."""

    __slots__ = (
        "__weakref__",
        "_batches",
        "_high_water",
        "_is_held",
        "_open_batch",
        "_owner",
        "_room",
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
        self._batches: list[Batch] = []
        """A list, not a deque: an empty deque is 760 bytes per idle connection."""
        self._open_batch: Batch | None = None
        """The last batch, if small frames may still be appended to it."""
        self.corks = 0
        """Depth of nested cork() blocks."""
        self._is_held = False
        """True if a cork holds frames that leave before this thread waits."""
        self.flush_is_due = False
        """True if the queue will be flushed at the turn's end."""
        self.is_locked = False
        """True from a system call until its result is recorded. Meanwhile frames are only queued."""
        self._writable: Notifier | None = None
        self._room: Room | None = None
        """Made with the first descriptors, or when the kernel has no room."""
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
    def lacks_room(self) -> bool:
        """Whether the queue waits for room in the kernel, and not for the socket."""
        return self._room is not None and self._room.is_waiting

    @contextmanager
    def cork(self) -> Iterator[None]:
        """Hold frames back until the outermost block ends, or this thread makes a turn or blocks in it."""
        self.corks += 1
        try:
            yield
        finally:
            self.corks -= 1
            if not self.corks:
                self.flush()

    def send(self, frame: Payload, files: Files) -> None:
        """Send a frame: at the end of the turn if the loop is in one, else at once."""
        if self.flush_is_due:
            self.put(frame, files)
        elif self.corks:
            self.put(frame, files)
            if not self._is_held:
                self._is_held = True
                self._thread.turn_end.append(self._release)
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
        send: Callable[..., int]
        arguments: tuple[Any, ...]
        if isinstance(frame, bytes):
            send, arguments, length = self._send, (frame, _NO_SIGPIPE), len(frame)
        else:
            send, arguments, length = (
                self._sendmsg,
                (frame[:_MOST_PIECES], (), _NO_SIGPIPE),
                sum(map(len, frame)),
            )
        if self.size or files or self.is_locked or not self.takes_frames:
            self.put(frame, files)
            self.flush()
            return
        self.is_locked = True
        try:
            sent = send(*arguments)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            if error.errno not in NO_ROOM:
                self.is_locked = False
                self._on_error(error)
                return
            sent = 0  # flush() tries again, and waits for room.
        self.frames += 1
        self.sent += sent
        if sent != length:
            self._keep_rest(frame, length, sent)
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

    def _release(self) -> None:
        """Send what a cork holds: a turn begins or ends, or this thread blocks."""
        self._is_held = False
        self.flush()

    def close(self) -> None:
        """Drop the queue and close its descriptors. The link closes the socket itself."""
        self.takes_frames = False
        _unflushed.discard(self)
        if self._writable is not None:
            self._writable.close()
        if self._room is not None:
            self._room.close()
        self._drop_all()

    def abandon(self) -> None:
        """Drop the queue in a forked child. The notifier and timer belong to the parent's loop."""
        self.takes_frames = False
        self._drop_all()

    def put(self, frame: Payload, files: Files) -> None:
        """Queue a frame until flush(). Its Files are moved: the caller's are empty afterwards."""
        batch = self._open_batch
        if batch is not None and type(frame) is bytes and not files:
            size = len(frame)
            if batch.length + size <= _JOINED_UP_TO:
                self.frames += 1
                self.size += size
                batch.length += size
                batch.small.append(frame)
                return
        self._put_first(frame, files)

    def _put_first(self, frame: Payload, files: Files) -> None:
        """Queue a frame that no open batch has room for."""
        if not self.takes_frames:
            _close_all(files)
            return
        self.frames += 1
        if isinstance(frame, bytes) and not files:
            self._append(Batch(len(frame), small=[frame]))
        else:
            self._append(Batch.apart(frame, files))

    def _append(self, batch: Batch) -> None:
        """Queue a new batch, unless a finaliser has closed the sender while it was made."""
        if not self.takes_frames:
            _close_all(batch.files)
            return
        self._open_batch = batch if batch.small else None
        self.size += batch.length
        self._batches.append(batch)

    def _keep_rest(self, frame: Payload, length: int, sent: int) -> None:
        """Queue what the socket did not take of a frame, before everything that was queued meanwhile."""
        batch = Batch.apart(frame, NONE)
        if self.takes_frames:
            batch.sent = sent
            self.size += length - sent
            self._batches.insert(0, batch)

    def _write(self, batch: Batch) -> bool:
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
            (self._room or self._needed_room()).in_flight.add(len(batch.files))
            _close_all(batch.files)
            batch.files = NONE
        return batch.sent == batch.length

    def _system_call(self, batch: Batch) -> tuple[Callable[..., int], tuple[Any, ...]]:
        """The system call that sends the rest of a batch, and its arguments."""
        pieces = batch.unsent()
        if len(pieces) == 1 and not batch.files:
            return self._send, (pieces[0], _NO_SIGPIPE)
        ancillary: Any = ()
        if batch.files:
            (self._room or self._needed_room()).in_flight.require(len(batch.files))
            ancillary = [(SOL_SOCKET, SCM_RIGHTS, batch.fds)]
        return self._sendmsg, (pieces[:_MOST_PIECES], ancillary, _NO_SIGPIPE)

    def _drop_all(self) -> None:
        batches, self._batches = self._batches, []
        self._open_batch = None
        self.size = 0
        if self._room is not None:
            self._room.in_flight.clear()
        for batch in batches:
            _close_all(batch.files)

    def _on_error(self, error: OSError) -> None:
        if isinstance(error, (BrokenPipeError, ConnectionResetError)):
            self.takes_frames = False
            self._drop_all()
            self._owner.did_stop_reading()
        elif error.errno in NO_ROOM and self._needed_room().wait(error):
            if self._writable is not None:
                self._writable.set_enabled(False)  # The socket may have room, and wake each turn in vain.
            _unflushed.add(self)
        else:
            self._owner.did_fail_to_send(error)

    def _needed_room(self) -> Room:
        if self._room is None:
            self._room = Room(self, self._owner, self._thread.now_ns, self._socket.fileno)
        return self._room

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


def _close_all(files: Files) -> None:
    for file in files:
        file.close()


_unflushed: weakref.WeakSet[Sender] = weakref.WeakSet()
"""Senders that wait until their socket can be written."""


def is_overfull(sender: Sender) -> bool:
    """Whether more waits than the limit and one message, which may itself be larger than the limit."""
    excess = sender.size - sender.limit
    return excess > 0 and all(batch.length - batch.sent < excess for batch in sender._batches)


def flush_blocking(sender: Sender, deadline: int | None) -> None:
    """Write the queue without the loop, until it is empty or the deadline has passed."""
    while sender.size:
        seconds = None if deadline is None else max(0.0, (deadline - time.monotonic_ns()) / 1e9)
        if sender.lacks_room and seconds != 0.0:
            sender._socket.wait(False, False, _RETRY_BLOCKED)
        elif not sender._socket.wait_writable(seconds):
            return
        sender.flush()


def _flush_at_exit() -> None:
    """Send what still waits at an orderly exit, for a bounded time. The loop may be closed already."""
    deadline = time.monotonic_ns() + int(_FLUSH_AT_EXIT * 1e9)
    for sender in list(_unflushed):
        if sender._thread.ident == get_ident():
            flush_blocking(sender, deadline)


atexit.register(_flush_at_exit)
