"""Owns a connected Unix stream socket: what it has beside the bytes, file descriptors and who is at the other
end. Knows no message and no loop.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Sequence

import attrs

from corelib import session
from corelib.errors import DescriptorsTruncated
from corelib.sockets.stream_socket import NO_SIGPIPE, Buffer, StreamSocket

# IOV_MAX of Linux: sendmsg with more parts is refused.
_MOST_PARTS = 1024
_CREDENTIALS = struct.Struct("=iII")  # struct ucred of unix(7): pid, uid, gid
_CLOSE_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)
_TRUNCATED = int(socket.MSG_CTRUNC)
_FD_SIZE = array.array("i").itemsize
_ANCILLARY_HEADER = socket.CMSG_LEN(0)


@attrs.frozen
class PeerCredentials:
    """Who connected, as the kernel saw it then (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int


class LocalSocket(StreamSocket):
    """A Unix stream socket: bytes, and file descriptors that travel with them."""

    __slots__ = ("_recvmsg", "_sendmsg")

    _FAMILIES = frozenset({socket.AF_UNIX})
    _KIND = "Unix"

    def __init__(self, connected: socket.socket) -> None:
        """For `connect`, `adopt` and `pair`, which make one."""
        super().__init__(connected)
        self._sendmsg = connected.sendmsg
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
    def pair(cls) -> tuple[LocalSocket, LocalSocket]:
        """Two that are connected to each other."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls.adopt(one), cls.adopt(other)

    def peer_credentials(self) -> PeerCredentials:
        """Process, user and group at the other end, as they were when it connected."""
        packed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return PeerCredentials(*_CREDENTIALS.unpack(packed))

    def send_parts(self, parts: Sequence[Buffer], fds: Sequence[int] = ()) -> int:
        """As send() for several pieces in one system call; not more than 1,024 of them are looked at. The fds
        go with the first byte, and have gone when the answer is not 0; the caller keeps and closes its
        own."""
        if len(parts) > _MOST_PARTS:
            parts = parts[:_MOST_PARTS]
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else ()
        try:
            return self._sendmsg(parts, ancillary, NO_SIGPIPE)
        except BlockingIOError:
            return 0

    def receive_with_fds(self, limit: int, max_fds: int) -> tuple[bytes, list[int]] | None:
        """As receive() with the fds that came with it, close-on-exec; they are the caller's to close. The
        kernel ends such a piece where the next fds begin. DescriptorsTruncated, with all closed, when more
        than `max_fds` came."""
        try:
            data, ancillary, flags, _ = self._recvmsg(
                limit, _ANCILLARY_HEADER + max_fds * _FD_SIZE, _CLOSE_ON_EXEC
            )
        except BlockingIOError:
            return None
        # Here, not in a function: most pieces bring no fds, and a call costs 50 to 100 ns.
        if ancillary or flags & _TRUNCATED:
            return data, _fds_of(ancillary, flags, max_fds)
        return data, []

    def receive_into_with_fds(
        self, buffer: bytearray | memoryview, max_fds: int
    ) -> tuple[int, list[int]] | None:
        """The same into the caller's memory: how many bytes, and the fds."""
        try:
            count, ancillary, flags, _ = self._socket.recvmsg_into(
                [buffer], _ANCILLARY_HEADER + max_fds * _FD_SIZE, _CLOSE_ON_EXEC
            )
        except BlockingIOError:
            return None
        if ancillary or flags & _TRUNCATED:
            return count, _fds_of(ancillary, flags, max_fds)
        return count, []


def _fds_of(ancillary: Sequence[tuple[int, int, bytes]], flags: int, max_fds: int) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % _FD_SIZE])
    if flags & _TRUNCATED:
        for fd in fds:
            os.close(fd)
        raise DescriptorsTruncated(
            f"the peer sent more than {max_fds} file descriptors at once, or this process has no room"
        )
    return fds.tolist()
