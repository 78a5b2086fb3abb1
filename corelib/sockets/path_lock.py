"""Owns the lock file beside a socket: its holder is the living server of that path.
Must not know sockets, only files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

from corelib.errors import AddressInUse, SocketPathError
from corelib.turn.not_copied import NotCopied


class PathLock(NotCopied):
    """The file `path.lock`, locked by flock until release() or the end of the process; it has our pid."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: str) -> None:
        """Make and lock the file.

        Raises:
            AddressInUse: another server holds the lock.
            SocketPathError: the file cannot be made or written.
        """
        self._path = f"{path}.lock"
        self._fd = self._acquire(path)
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self.release()
            raise SocketPathError(
                f"the lock file {self._path!r} cannot be written: {error.strerror}"
            ) from error

    def release(self) -> None:
        """Remove and unlock the file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self.abandon()

    def abandon(self) -> None:
        """Close a forked child's copy of the fd; the parent keeps the lock."""
        os.close(self._fd)

    def _acquire(self, path: str) -> int:
        while True:
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "not known yet"
                os.close(fd)
                raise AddressInUse(
                    f"{path!r} is served already (pid {holder}): stop that server, or choose another path"
                ) from None
            if self._is_at_path(fd):
                return fd
            os.close(fd)  # Its last holder has removed it between our open and our flock.

    def _open(self) -> int:
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            # The message of O_NOFOLLOW's error, "too many levels of symbolic links", would mislead.
            reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            raise SocketPathError(f"the lock file {self._path!r} cannot be opened: {reason}") from error
        status = os.fstat(fd)
        # With a second link we would write into a file that has another path, and another use.
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
            os.close(fd)
            raise SocketPathError(
                f"{self._path!r} is in the way, and not a lock file of ours: have it removed"
            )
        return fd

    def _is_at_path(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.lstat(self._path))
        except FileNotFoundError:
            return False
