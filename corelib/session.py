"""Owns session paths: the meaning of %sid, and that no other user can reach or replace the sockets in them.
Must not know sockets, only files and folders.
"""

from __future__ import annotations

import os
import stat

from corelib.errors import SocketPathError

_SESSION_ID = "%sid"
# sun_path of unix(7) has 108 bytes, the last for the NUL.
_LONGEST_PATH = 107


Path = str | os.PathLike[str]


def socket_path(path: Path) -> str:
    """Replace `%sid` in a path: by $IPC_SESSION_ID if that is set, else by the user's id.

    Raises:
        SocketPathError: the variable is not a plain file name, or the path has a NUL or more than 107 bytes.
    """
    path = os.fsdecode(path)
    if _SESSION_ID in path:
        path = path.replace(_SESSION_ID, _session_id())
    size = len(os.fsencode(path))
    if not 0 < size <= _LONGEST_PATH:
        raise SocketPathError(
            f"a socket's path has 1 to {_LONGEST_PATH} bytes, this has {size}: shorten {path!r}"
        )
    if "\0" in path:
        raise SocketPathError(f"a socket's path cannot have a NUL: remove it from {path!r}")
    return path


def prepare_folder(path: Path) -> None:
    """Make or verify the folders of a socket's path, so that no other user can reach or replace the socket.

    In a session (a folder of the path is `%sid`): the shared parent is made, sticky 1777, or verified; the
    session's folder and all below it are made, 0700, or verified to be real folders, ours and 0700. Elsewhere
    the folder must exist, and is verified like a shared parent: a real folder, ours or root's, and sticky if
    others may write to it.

    Raises:
        SocketPathError: a folder cannot be made, or is not as it must be.
    """
    folder = os.path.dirname(os.fsdecode(path))
    if _SESSION_ID in folder:
        _prepare_private(folder)
    else:
        _verify_shared(folder or ".")


def _prepare_private(folder: str) -> None:
    parent = os.path.dirname(folder)
    if _SESSION_ID in parent:
        _prepare_private(parent)
    else:
        _make(parent or ".", 0o1777)
        _verify_shared(parent or ".")
    folder = folder.replace(_SESSION_ID, _session_id())
    _make(folder, 0o700)
    _verify_private(folder)


def _make(folder: str, mode: int) -> None:
    try:
        os.mkdir(folder, mode & 0o700)
        os.chmod(folder, mode)  # mkdir() applied the umask; set the mode explicitly.
    except FileExistsError:
        pass
    except OSError as error:
        raise SocketPathError(f"the folder {folder!r} cannot be made: {error.strerror}") from error


def _verify_shared(folder: str) -> None:
    status = _status_of(folder)
    if status.st_uid not in (0, os.geteuid()):
        raise SocketPathError(
            f"the folder {folder!r} is user {status.st_uid}'s, who could replace our socket: use one of ours"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
        raise SocketPathError(
            f"others may write to {folder!r} and replace our socket: chmod +t it, or use another folder"
        )


def _verify_private(folder: str) -> None:
    status = _status_of(folder)
    if status.st_uid != os.geteuid():
        raise SocketPathError(
            f"the session folder {folder!r} belongs to user {status.st_uid}, not to us: have it removed"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode != 0o700:
        raise SocketPathError(
            f"the session folder {folder!r} is open to others (mode {mode:04o}): chmod 700 it, or remove it"
        )


def _status_of(folder: str) -> os.stat_result:
    try:
        status = os.lstat(folder)
    except OSError as error:
        raise SocketPathError(f"the folder {folder!r} cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise SocketPathError(
            f"{folder!r} is a symbolic link or a file: a socket's folder is to be a real folder"
        )
    return status


def _session_id() -> str:
    name = os.environ.get("IPC_SESSION_ID") or str(os.geteuid())
    if name in (".", "..") or "/" in name:
        raise SocketPathError(
            f"$IPC_SESSION_ID is to be a plain file name, not {name!r}: set it to one or unset it"
        )
    return name
