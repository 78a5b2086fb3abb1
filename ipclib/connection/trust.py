"""Owns whom a process trusts: the users that may be clients or services, and the folders above a socket.
Must not know messages or links.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator

import attrs

from corelib import LocalSocket
from ipclib.errors import ServiceUnavailable


def admitted_uids(allowed: Collection[int] | None) -> frozenset[int]:
    """The uids whose processes may be peers: root and this user, unless others are given."""
    return frozenset({0, os.geteuid()} if allowed is None else allowed)


@attrs.frozen
class Way:
    """The way to a service: its socket path, and the users that are trusted with it."""

    path: str
    uids: frozenset[int]

    def connect(self) -> LocalSocket:
        """Connect to the service at the path, unless somebody else listens there or could take its place.

        Raises:
            ServiceUnavailable: the service or a folder is another user's, or others may write to a folder.
            OSError: nobody listens, or the socket cannot be reached; as for LocalSocket.connect().
        """
        for folder in _folders(self.path):
            self._check_folder(folder)
        socket = LocalSocket.connect(self.path)
        uid = socket.peer_credentials().uid
        if uid not in self.uids:
            socket.close()
            raise ServiceUnavailable(
                f"the service at {self.path} is a process of uid {uid}, which is not trusted; "
                f"if it should be, pass allowed_uids=[{uid}]"
            )
        return socket

    def _check_folder(self, folder: str) -> None:
        status = os.stat(folder)
        if status.st_uid not in {0, os.geteuid()} | self.uids:
            raise ServiceUnavailable(
                f"the way to {self.path} is not trusted: uid {status.st_uid} owns {folder} and could put "
                f"another service there; if that user is trusted, pass allowed_uids=[{status.st_uid}]"
            )
        writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if writable == stat.S_IWGRP and status.st_gid == status.st_uid:
            return  # The group of one user alone, which Linux distributions give to each.
        if writable and not status.st_mode & stat.S_ISVTX:
            raise ServiceUnavailable(
                f"the way to {self.path} is not trusted: others may write to {folder} and put another "
                "service there; take that right away (chmod go-w) or set its sticky bit (chmod +t)"
            )


def _folders(path: str) -> Iterator[str]:
    """The folders above a path, as it is written and after its symbolic links."""
    written = os.path.dirname(os.path.abspath(path))
    for folder in dict.fromkeys((written, os.path.realpath(written))):
        while True:
            yield folder
            above = os.path.dirname(folder)
            if above == folder:
                break
            folder = above
