"""Owns the common part of connected stream sockets: bytes in and out, which block only on request.
Must not know messages or the loop; a Notifier waits for readiness.
"""

from __future__ import annotations

import socket
from typing import ClassVar, Self

from corelib.errors import UsageError
from corelib.turn.blocking import block_on
from corelib.turn.not_copied import NotCopied
from corelib.turn.poller import READABLE, WRITABLE

Buffer = bytes | bytearray | memoryview

# Plain ints: an operation on the socket module's IntFlags costs as much as a small system call.
NO_SIGPIPE = int(socket.MSG_NOSIGNAL)


class StreamSocket(NotCopied):
    """A connected stream socket, non-blocking and close-on-exec. Its last reference closes its fd.

    The kernel's errors are raised as they are: BrokenPipeError or ConnectionResetError once the peer is gone,
    OSError EBADF after close(). There is no SIGPIPE."""

    __slots__ = ("_recv", "_send", "_socket")

    _FAMILIES: ClassVar[frozenset[int]]
    _KIND: ClassVar[str]

    def __init__(self, connected: socket.socket) -> None:
        """Wrap a connected socket; called by the class methods."""
        self._socket = connected
        # Bound once, so that a call on the hot path is one Python function around the C method.
        self._send = connected.send
        self._recv = connected.recv

    @classmethod
    def adopt(cls, connected: socket.socket | int) -> Self:
        """Take over a connected socket or its fd, which becomes ours to close.

        Raises:
            UsageError: not a stream socket of this kind; it stays the caller's.
        """
        fd = connected if isinstance(connected, int) else connected.fileno()
        try:
            adopted = socket.socket(fileno=fd)
        except (OSError, OverflowError, ValueError) as error:
            raise UsageError(f"fd {fd} cannot be adopted, it is not a socket: {error}") from error
        if adopted.family not in cls._FAMILIES or adopted.type != socket.SOCK_STREAM:
            adopted.detach()
            raise UsageError(
                f"fd {fd} cannot be adopted, it is not a {cls._KIND} stream socket: {connected!r}"
            )
        if not isinstance(connected, int):
            connected.detach()
        adopted.setblocking(False)
        adopted.set_inheritable(False)
        return cls(adopted)

    @property
    def system(self) -> socket.socket:
        """The socket of the standard library, which stays this object's to close.

        For callers that make their own system calls on a hot path."""
        return self._socket

    @property
    def is_open(self) -> bool:
        """Whether it is not closed; the peer may be gone even so."""
        return self._socket.fileno() >= 0

    def fileno(self) -> int:
        """The fd, for a Notifier; -1 after close()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it; twice is fine. Close its notifiers first."""
        self._socket.close()

    def shutdown_write(self) -> None:
        """Send nothing more: the peer reads the bytes sent so far, then the end of file."""
        self._socket.shutdown(socket.SHUT_WR)

    def shutdown_read(self) -> None:
        """Receive nothing more: receive() returns the bytes sent so far, then the end of file."""
        self._socket.shutdown(socket.SHUT_RD)

    def send(self, data: Buffer) -> int:
        """Send bytes without blocking; return how many the kernel took, 0 if its buffer is full."""
        try:
            return self._send(data, NO_SIGPIPE)
        except BlockingIOError:
            return 0

    def receive(self, limit: int = 65536) -> bytes | None:
        """Receive at most `limit` bytes without blocking; None if nothing came, b"" at the end of file.

        The kernel closes fds that came with them."""
        try:
            return self._recv(limit)
        except BlockingIOError:
            return None

    def receive_into(self, buffer: bytearray | memoryview) -> int | None:
        """As receive(), but into the caller's memory; return the number of bytes, 0 at the end of file."""
        try:
            return self._socket.recv_into(buffer)
        except BlockingIOError:
            return None

    def wait(self, read: bool, write: bool, timeout: float | None) -> None:
        """Block this thread until the socket is ready as asked, or for `timeout` seconds.

        An error counts as ready. Nothing of the loop runs. Ctrl-C raises KeyboardInterrupt here."""
        events = (READABLE if read else 0) | (WRITABLE if write else 0)
        block_on(self._socket.fileno(), events, timeout)

    def wait_readable(self, timeout: float | None = None) -> bool:
        """Block as wait() does until there is something to read or the end of file; False after `timeout`."""
        return block_on(self._socket.fileno(), READABLE, timeout)

    def wait_writable(self, timeout: float | None = None) -> bool:
        """Block as wait() does until there is room to write; False after `timeout` seconds."""
        return block_on(self._socket.fileno(), WRITABLE, timeout)

    def __repr__(self) -> str:
        state = f"fd {self._socket.fileno()}" if self.is_open else "closed"
        return f"<{type(self).__name__} {state}{self._describe_peer()}>"

    def _describe_peer(self) -> str:
        """The peer for the repr, if there is more to say than the fd."""
        return ""
