"""Owns a connected Unix stream socket: bytes and file descriptors in and out, and never a wait that was not
asked for. Knows no message and no loop; who waits for readiness uses a Notifier on it.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Sequence

import attrs

from corelib import session, thread_data
from corelib.errors import DescriptorsTruncated, UsageError
from corelib.poller import READABLE, WRITABLE

Buffer = bytes | bytearray | memoryview

# IOV_MAX of Linux: sendmsg with more parts is refused.
_MOST_PARTS = 1024
_CREDENTIALS = struct.Struct("=iII")  # struct ucred of unix(7): pid, uid, gid
# Plain ints: an operation on the socket module's IntFlags costs as much as a small system call.
_NO_SIGPIPE = int(socket.MSG_NOSIGNAL)
_CLOSE_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)
_TRUNCATED = int(socket.MSG_CTRUNC)
_FD_SIZE = array.array("i").itemsize


@attrs.frozen
class PeerCredentials:
    """Who connected, as the kernel saw it then (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int


class LocalSocket:
    """A Unix stream socket, non-blocking and close-on-exec. Owns its fd: the last reference closes it.

    Errors of the kernel come as they are: BrokenPipeError or ConnectionResetError once the peer is gone,
    OSError EBADF after close(). There is no SIGPIPE."""

    __slots__ = ("_recv", "_recvmsg", "_send", "_sendmsg", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        """For `connect`, `adopt` and `pair`, which make one."""
        self._socket = connected
        # Bound once: a call on the hot path is one Python frame around the C method.
        self._send = connected.send
        self._sendmsg = connected.sendmsg
        self._recv = connected.recv
        self._recvmsg = connected.recvmsg

    @classmethod
    def connect(cls, path: str) -> LocalSocket:
        """Connect to the server at `path` (`%sid` as in session.socket_path). Never waits.

        SocketPathError for a path that no socket can have; FileNotFoundError or ConnectionRefusedError, with
        the path, when no server is there, BlockingIOError when too many clients wait for it;
        PermissionError."""
        path = session.socket_path(path)
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            connecting.connect(path)
        except OSError as error:
            connecting.close()
            raise OSError(error.errno, f"cannot connect: {error.strerror}", path) from error
        return cls(connecting)

    @classmethod
    def adopt(cls, connected: socket.socket | int) -> LocalSocket:
        """Take over a connected socket or its fd, which from now on is ours to close. UsageError, and it
        stays the caller's, when it is no Unix stream socket."""
        fd = connected if isinstance(connected, int) else connected.fileno()
        try:
            adopted = socket.socket(fileno=fd)
        except OSError as error:
            raise UsageError(f"fd {fd} cannot be adopted, it is no socket: {error}") from error
        if adopted.family != socket.AF_UNIX or adopted.type != socket.SOCK_STREAM:
            adopted.detach()
            raise UsageError(f"fd {fd} cannot be adopted, it is no Unix stream socket: {connected!r}")
        if not isinstance(connected, int):
            connected.detach()
        adopted.setblocking(False)
        adopted.set_inheritable(False)
        return cls(adopted)

    @classmethod
    def pair(cls) -> tuple[LocalSocket, LocalSocket]:
        """Two that are connected to each other."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls.adopt(one), cls.adopt(other)

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

    def peer_credentials(self) -> PeerCredentials:
        """Process, user and group at the other end, as they were when it connected."""
        packed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return PeerCredentials(*_CREDENTIALS.unpack(packed))

    def send(self, data: Buffer) -> int:
        """Hand bytes to the kernel; how many it took, 0 when its buffer is full."""
        try:
            return self._send(data, _NO_SIGPIPE)
        except BlockingIOError:
            return 0

    def send_parts(self, parts: Sequence[Buffer], fds: Sequence[int] = ()) -> int:
        """The same for several pieces in one system call; not more than 1,024 of them are looked at. The fds
        go with the first byte, and have gone when the answer is not 0; the caller keeps and closes its
        own."""
        if len(parts) > _MOST_PARTS:
            parts = parts[:_MOST_PARTS]
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else ()
        try:
            return self._sendmsg(parts, ancillary, _NO_SIGPIPE)
        except BlockingIOError:
            return 0

    def receive(self, limit: int = 65536) -> bytes | None:
        """What has come, at most `limit` bytes; None when nothing has, b"" at the end of file. Fds that came
        with it are closed by the kernel."""
        try:
            return self._recv(limit)
        except BlockingIOError:
            return None

    def receive_with_fds(self, limit: int, max_fds: int) -> tuple[bytes, list[int]] | None:
        """The same with the fds that came with it, close-on-exec; they are the caller's to close. The kernel
        ends such a piece where the next fds begin. DescriptorsTruncated, with all closed, when more than
        `max_fds` came."""
        try:
            data, ancillary, flags, _ = self._recvmsg(
                limit, socket.CMSG_LEN(max_fds * _FD_SIZE), _CLOSE_ON_EXEC
            )
        except BlockingIOError:
            return None
        fds = _fds_of(ancillary) if ancillary else []
        if flags & _TRUNCATED:
            for fd in fds:
                os.close(fd)
            raise DescriptorsTruncated(
                f"the peer sent more than {max_fds} file descriptors at once, or this process has no room"
            )
        return data, fds

    def wait(self, read: bool, write: bool, timeout: float | None) -> None:
        """Block this thread until the socket can be read or written as asked, or has an error, or `timeout`
        seconds have passed; nothing of the loop runs. A safe point for Ctrl-C: KeyboardInterrupt is raised
        here."""
        events = (READABLE if read else 0) | (WRITABLE if write else 0)
        thread_data.block_on(self._socket.fileno(), events, timeout)

    def wait_readable(self, timeout: float | None = None) -> bool:
        """Block as wait() does until there is something to read, the end included; False when the time is
        up."""
        return thread_data.block_on(self._socket.fileno(), READABLE, timeout)

    def wait_writable(self, timeout: float | None = None) -> bool:
        """Block as wait() does until there is room to write; False when the time is up."""
        return thread_data.block_on(self._socket.fileno(), WRITABLE, timeout)

    def __repr__(self) -> str:
        return f"<LocalSocket fd {self._socket.fileno()}>"


def _fds_of(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % _FD_SIZE])
    return fds.tolist()
