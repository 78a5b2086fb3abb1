"""Owns a listening Unix socket and its place in the file system: who may reach it, and whose leftovers may
go. Knows no loop.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import weakref

from corelib import session
from corelib.errors import AddressInUse, SocketPathError
from corelib.sockets.local_socket import LocalSocket
from corelib.sockets.path_lock import PathLock

# The kernel cuts it to net.core.somaxconn.
_BACKLOG = 4096


class ListeningSocket:
    """Listens at a path from its making to close(), to its last reference or to the interpreter's orderly
    end; non-blocking."""

    __slots__ = ("__weakref__", "_lock", "_socket", "_stop", "path")

    def __init__(self, path: str) -> None:
        """`%sid` and the folders are as in session.py. AddressInUse when a server lives there, which is left
        alone; SocketPathError for a path or folder that will not do."""
        session.prepare_folder(path)
        self.path = session.socket_path(path)
        self._lock = PathLock(self.path)
        try:
            _clear_the_way(self.path)
            self._socket = _bind(self.path)
        except BaseException:
            self._lock.release()
            raise
        self._stop = weakref.finalize(self, _remove, self.path, os.lstat(self.path), self._socket, self._lock)

    def fileno(self) -> int:
        """Readable when a client waits; -1 after close()."""
        return self._socket.fileno()

    def accept(self) -> LocalSocket | None:
        """The next client, None when none waits. OSError when the kernel has no room for it, EMFILE and the
        like."""
        try:
            return LocalSocket.adopt(self._socket.accept()[0])
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Stop listening, and remove the socket from the path if it is still ours; twice is fine. Who waits
        is refused."""
        self._stop()

    def abandon(self) -> None:
        """Close our copies of the fds without a word: in a forked child, whose parent listens on."""
        if self._stop.detach() is not None:
            self._socket.close()
            self._lock.abandon()

    def __str__(self) -> str:
        return repr(self.path)


def _remove(path: str, ours: os.stat_result, listening: socket.socket, lock: PathLock) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.lstat(path), ours):  # Else it is another's by now.
            os.unlink(path)
    listening.close()
    lock.release()


def _clear_the_way(path: str) -> None:
    """Remove what a dead server left. Its lock is ours by now, so nobody of ours lives there; but a server
    that knows no lock may."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise SocketPathError(f"{path!r} is in the way, and no socket: remove it, or choose another path")
    if _somebody_listens(path):
        raise AddressInUse(f"{path!r} is served already: stop that server, or choose another path")
    os.unlink(path)


def _somebody_listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            return True  # So many clients wait that there is no room for another.
    return True


def _bind(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # Before bind, which gives the socket's mode to the file: so it is never open to others. (The umask is
        # the whole process's, other threads would notice.)
        os.fchmod(listening.fileno(), 0o600)
        listening.bind(path)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise SocketPathError(f"no socket can be made at {path!r}: {error.strerror}") from error
    return listening
