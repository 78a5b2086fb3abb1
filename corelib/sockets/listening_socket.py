"""Owns listening Unix sockets: their path, who may reach it, and which leftovers may be removed there.
Must not know the loop. A socket that another process made is used as it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import weakref

from corelib import session
from corelib.errors import AddressInUse, SocketPathError, UsageError
from corelib.sockets.local_socket import LocalSocket
from corelib.sockets.path_lock import PathLock
from corelib.turn.not_copied import NotCopied

# The kernel cuts it to net.core.somaxconn.
_BACKLOG = 4096
# Errors of connect(2) that prove a living server: its queue of clients is full; its socket is for datagrams.
_LIVES_ON = frozenset({errno.EAGAIN, errno.EPROTOTYPE})


class UnixListener(NotCopied):
    """The common part of both kinds of listening socket; non-blocking."""

    __slots__ = ("__weakref__", "_socket", "path")

    path: str
    _socket: socket.socket

    def fileno(self) -> int:
        """The fd, readable when a client waits; -1 after close()."""
        return self._socket.fileno()

    def accept(self) -> LocalSocket | None:
        """The next client; None if none waits.

        Raises:
            OSError: the kernel has no room for it: EMFILE and the like.
        """
        try:
            return LocalSocket.adopt(self._socket.accept()[0])
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Stop listening; twice is fine."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Close a forked child's copies of the fds; the parent goes on listening."""
        raise NotImplementedError

    def __str__(self) -> str:
        return repr(self.path)


class ListeningSocket(UnixListener):
    """Listens at a path until close(), its last reference or the orderly end of the interpreter."""

    __slots__ = ("_lock", "_stop")

    def __init__(self, path: session.Path) -> None:
        """Listen at `path`; `%sid` and the folders are as in session.py.

        Raises:
            AddressInUse: another server is alive there, and is left alone.
            SocketPathError: the path or a folder cannot be used.
        """
        self.path = session.socket_path(path)
        session.prepare_folder(path)
        self._lock = PathLock(self.path)
        try:
            _clear_the_way(self.path)
            self._socket = _bind(self.path)
        except BaseException:
            self._lock.release()
            raise
        self._stop = weakref.finalize(self, _remove, self.path, os.lstat(self.path), self._socket, self._lock)

    def close(self) -> None:
        """Stop listening, and remove the socket from the path if it is ours still; twice is fine.

        Waiting clients are refused."""
        self._stop()

    def abandon(self) -> None:
        if self._stop.detach() is not None:
            self._socket.close()
            self._lock.abandon()


class InheritedSocket(UnixListener):
    """Listens on a socket that another process made.

    The path stays that process's, and so do the clients that wait when this one stops."""

    __slots__ = ()

    def __init__(self, listening: socket.socket) -> None:
        """Take over a listening socket.

        Raises:
            UsageError: not a Unix stream socket that listens; it stays the caller's.
        """
        if listening.fileno() < 0:
            raise UsageError(f"no clients come to {listening!r}: it is closed")
        if listening.family != socket.AF_UNIX or listening.type != socket.SOCK_STREAM:
            raise UsageError(f"no clients come to {listening!r}: it is not a Unix stream socket")
        if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise UsageError(f"no clients come to {listening!r}: it does not listen")
        # The name of an abstract socket is bytes.
        self.path = os.fsdecode(listening.getsockname())
        self._socket = socket.socket(fileno=listening.detach())
        self._socket.setblocking(False)
        self._socket.set_inheritable(False)

    def close(self) -> None:
        self._socket.close()

    def abandon(self) -> None:
        self._socket.close()


def _remove(path: str, ours: os.stat_result, listening: socket.socket, lock: PathLock) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.lstat(path), ours):  # Else another server has replaced it.
            os.unlink(path)
    listening.close()
    lock.release()


def _clear_the_way(path: str) -> None:
    """Remove the socket of a dead server.

    We hold the lock, so no server of this library is alive there; but one that does not know the lock may
    be."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise SocketPathError(f"{path!r} is in the way, and not a socket: remove it, or choose another path")
    if _somebody_listens(path):
        raise AddressInUse(f"{path!r} is served already: stop that server, or choose another path")
    try:
        os.unlink(path)
    except OSError as error:
        raise SocketPathError(
            f"the socket that another server left at {path!r} cannot be removed: {error.strerror}"
        ) from error


def _somebody_listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError as error:
            if error.errno in _LIVES_ON:
                return True
            raise SocketPathError(
                f"{path!r} is in the way, and whose socket it is cannot be told: {error.strerror}"
            ) from error
    return True


def _bind(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # Before bind, which gives the socket's mode to the file, so that it is never open to others. (To set
        # the umask would affect other threads.)
        os.fchmod(listening.fileno(), 0o600)
        listening.bind(path)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise SocketPathError(f"no socket can be made at {path!r}: {error.strerror}") from error
    return listening
