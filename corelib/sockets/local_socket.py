"""Owns a connected Unix stream socket: its bytes, the fds that travel with them, and the peer's credentials.
Must not know messages or the loop.
"""

from __future__ import annotations

import array
import errno
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
    """The process at the other end when it connected (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int


class LocalSocket(StreamSocket):
    """A Unix stream socket: bytes, and fds that travel with them."""

    __slots__ = ()

    _FAMILIES = frozenset({socket.AF_UNIX})
    _KIND = "Unix"

    @classmethod
    def connect(cls, path: session.Path) -> LocalSocket:
        """Connect to the server at `path` (`%sid` as in session.socket_path) without blocking.

        Raises:
            SocketPathError: no socket can have this path.
            FileNotFoundError: no socket is there.
            ConnectionRefusedError: no server is there.
            BlockingIOError: too many clients are waiting for the server.
            PermissionError: the socket is not open to this user.
        """
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
        """Two sockets that are connected to each other."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls.adopt(one), cls.adopt(other)

    def peer_credentials(self) -> PeerCredentials:
        """The process, user and group at the other end, as they were when it connected."""
        packed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return PeerCredentials(*_CREDENTIALS.unpack(packed))

    def send_parts(self, parts: Sequence[Buffer], fds: Sequence[int] = ()) -> int:
        """Send several pieces in one system call; return how many bytes the kernel took.

        At most the first 1,024 pieces are sent. The fds go with the first byte, so they are sent if the
        result is not 0; the caller keeps its own and closes them."""
        if len(parts) > _MOST_PARTS:
            parts = parts[:_MOST_PARTS]
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else ()
        try:
            return self._socket.sendmsg(parts, ancillary, NO_SIGPIPE)
        except BlockingIOError:
            return 0

    @staticmethod
    def ancillary_size(max_fds: int) -> int:
        """Bytes of ancillary data that recvmsg must have room for, to receive so many fds."""
        return _ANCILLARY_HEADER + max_fds * _FD_SIZE

    @staticmethod
    def fds_of(ancillary: Sequence[tuple[int, int, bytes]], flags: int, max_fds: int) -> list[int]:
        """The fds in what recvmsg returned, for callers that make the system call themselves.

        Raises:
            DescriptorsTruncated, OSError: as for receive_with_fds().
        """
        return _fds_of(ancillary, flags, max_fds)

    def receive_with_fds(self, limit: int, max_fds: int) -> tuple[bytes, list[int]] | None:
        """Receive bytes as receive() does, and the fds that came with them; None if nothing came.

        The fds are close-on-exec and the caller's to close. The kernel ends a piece where the next fds begin.

        Raises:
            DescriptorsTruncated: more than `max_fds` came; all are closed.
            OSError: this process has no room for them (EMFILE); all are closed.
        """
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                limit, _ANCILLARY_HEADER + max_fds * _FD_SIZE, _CLOSE_ON_EXEC
            )
        except BlockingIOError:
            return None
        # Checked here, as most pieces bring no fds and a call costs 50 to 100 ns.
        if ancillary or flags & _TRUNCATED:
            return data, _fds_of(ancillary, flags, max_fds)
        return data, []

    def receive_into_with_fds(
        self, buffer: bytearray | memoryview, max_fds: int
    ) -> tuple[int, list[int]] | None:
        """As receive_with_fds(), but into the caller's memory; return how many bytes, and the fds."""
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
        if len(fds) < max_fds:  # The kernel stopped before the peer's were over the bound.
            raise OSError(errno.EMFILE, "this process has no room for the fds that arrived (RLIMIT_NOFILE)")
        raise DescriptorsTruncated(f"the peer sent more than {max_fds} fds at once")
    return fds.tolist()
