"""Owns what connected stream sockets have in common: bytes in and out, and never a wait that was not asked
for. Knows no message and no loop; who waits for readiness uses a Notifier on it.
"""

from __future__ import annotations

import socket
from typing import ClassVar, Self

from corelib.errors import UsageError
from corelib.turn.blocking import block_on
from corelib.turn.poller import READABLE, WRITABLE

Buffer = bytes | bytearray | memoryview

# Plain ints: an operation on the socket module's IntFlags costs as much as a small system call.
NO_SIGPIPE = int(socket.MSG_NOSIGNAL)


class StreamSocket:
    """A connected stream socket, non-blocking and close-on-exec. Owns its fd: the last reference closes it.

    Errors of the kernel come as they are: BrokenPipeError or ConnectionResetError once the peer is gone,
    OSError EBADF after close(). There is no SIGPIPE."""

    __slots__ = ("_recv", "_send", "_socket")

    _FAMILIES: ClassVar[frozenset[int]]
    _KIND: ClassVar[str]

    def __init__(self, connected: socket.socket) -> None:
        """For the class methods that make one."""
        self._socket = connected
        # Bound once: a call on the hot path is one Python frame around the C method.
        self._send = connected.send
        self._recv = connected.recv

    @classmethod
    def adopt(cls, connected: socket.socket | int) -> Self:
        """Take over a connected socket or its fd, which from now on is ours to close. UsageError, and it
        stays the caller's, when it is no stream socket of this kind."""
        fd = connected if isinstance(connected, int) else connected.fileno()
        try:
            adopted = socket.socket(fileno=fd)
        except OSError as error:
            raise UsageError(f"fd {fd} cannot be adopted, it is no socket: {error}") from error
        if adopted.family not in cls._FAMILIES or adopted.type != socket.SOCK_STREAM:
            adopted.detach()
            raise UsageError(f"fd {fd} cannot be adopted, it is no {cls._KIND} stream socket: {connected!r}")
        if not isinstance(connected, int):
            connected.detach()
        adopted.setblocking(False)
        adopted.set_inheritable(False)
        return cls(adopted)

    @property
    def system(self) -> socket.socket:
        """The socket of the standard library, for callers that make their own system calls on a hot path; it
        stays this object's to close."""
        return self._socket

    @property
    def is_open(self) -> bool:
        """Whether close() was not called yet; the peer may be gone all the same."""
        return self._socket.fileno() >= 0

    def fileno(self) -> int:
        """The fd, for a Notifier; -1 after close()."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it; twice is fine. Close its notifiers first."""
        self._socket.close()

    def shutdown_write(self) -> None:
        """Tell the peer that nothing more comes; it reads what was sent, then the end of file."""
        self._socket.shutdown(socket.SHUT_WR)

    def shutdown_read(self) -> None:
        """Take nothing more from the peer: what it sent before is read, then the end of file."""
        self._socket.shutdown(socket.SHUT_RD)

    def send(self, data: Buffer) -> int:
        """Hand bytes to the kernel; how many it took, 0 when its buffer is full."""
        try:
            return self._send(data, NO_SIGPIPE)
        except BlockingIOError:
            return 0

    def receive(self, limit: int = 65536) -> bytes | None:
        """What has come, at most `limit` bytes; None when nothing has, b"" at the end of file. Fds that came
        with it are closed by the kernel."""
        try:
            return self._recv(limit)
        except BlockingIOError:
            return None

    def receive_into(self, buffer: bytearray | memoryview) -> int | None:
        """As receive(), into the caller's memory: how many bytes; None when nothing came, 0 at the end."""
        try:
            return self._socket.recv_into(buffer)
        except BlockingIOError:
            return None

    def wait(self, read: bool, write: bool, timeout: float | None) -> None:
        """Block this thread until the socket can be read or written as asked, or has an error, or `timeout`
        seconds have passed; nothing of the loop runs. A safe point for Ctrl-C: KeyboardInterrupt is raised
        here."""
        events = (READABLE if read else 0) | (WRITABLE if write else 0)
        block_on(self._socket.fileno(), events, timeout)

    def wait_readable(self, timeout: float | None = None) -> bool:
        """Block as wait() does until there is something to read, the end included; False when the time is
        up."""
        return block_on(self._socket.fileno(), READABLE, timeout)

    def wait_writable(self, timeout: float | None = None) -> bool:
        """Block as wait() does until there is room to write; False when the time is up."""
        return block_on(self._socket.fileno(), WRITABLE, timeout)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fd {self._socket.fileno()}>"
