"""Owns LocalServer: a Unix socket at a path, and the clients that connect to it.
Must not know how the socket gets to its path, nor how clients are accepted.
"""

from __future__ import annotations

import socket
from functools import partial

from corelib import session
from corelib.sockets.acceptor import Acceptor
from corelib.sockets.listening_socket import InheritedSocket, ListeningSocket, UnixListener
from corelib.sockets.local_socket import LocalSocket


class LocalServer(Acceptor[LocalSocket]):
    """Listens on a Unix socket and passes each client to `on_accept`.

    It calls in turns of the loop of the thread that listens. Clients wait in the kernel while `on_accept` is
    not set. When fds run out, accepting pauses for 100 ms at a time. A forked child does not listen.

    The socket is open to its owner alone (0600). The file `path.lock`, locked with flock, shows that its
    server is alive: the socket of a killed server is replaced, that of a living one is left alone. Both files
    are removed by close(), or else by the orderly end of the interpreter."""

    __slots__ = ()

    @property
    def path(self) -> str | None:
        """The path where it listens, with `%sid` replaced; None while it does not."""
        return self._listening.path if isinstance(self._listening, UnixListener) else None

    def listen(self, path: session.Path) -> None:
        """Listen at `path`; `%sid` and the folders are as in session.py.

        Raises:
            AddressInUse: another server is alive there, and is left alone.
            SocketPathError: the path or a folder cannot be used.
            UsageError: it is listening already.
            NoEventLoop: the thread has no loop.
        """
        self._listen_with(partial(ListeningSocket, path))

    def take_over(self, listening: socket.socket) -> None:
        """Listen on a socket that another process made; it becomes ours to close, its path stays as it is.

        Raises:
            UsageError: the socket does not listen, or this server is listening already.
            NoEventLoop: the thread has no loop.
        """
        self._listen_with(partial(InheritedSocket, listening))
