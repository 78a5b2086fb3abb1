"""Owns LocalServer: a Unix socket at a path, and the clients that connect to it.
Knows neither how the socket got to its path, nor how clients are accepted.
"""

from __future__ import annotations

import socket
from functools import partial

from corelib.sockets.acceptor import Acceptor
from corelib.sockets.listening_socket import InheritedSocket, ListeningSocket, UnixListener
from corelib.sockets.local_socket import LocalSocket


class LocalServer(Acceptor[LocalSocket]):
    """Listens on a Unix socket and hands each client to `on_accept`, in turns of the loop of the thread that
    listens. Clients wait in the kernel while `on_accept` is not set.

    The socket is open to its owner alone (0600). The file `path.lock`, locked with flock, shows that its
    server lives: what a killed server left is replaced, a living one is left alone. Both are removed by
    close(), or else by the orderly end of the interpreter. When fds run out, accepting pauses for 100 ms at a
    time. A forked child does not listen."""

    __slots__ = ()

    @property
    def path(self) -> str | None:
        """Where it listens, with `%sid` replaced; None while it does not."""
        return self._listening.path if isinstance(self._listening, UnixListener) else None

    def listen(self, path: str) -> None:
        """Listen at `path` (`%sid` and its folders as in session.py). AddressInUse when a server lives there,
        which is left alone; SocketPathError for a path or folder that will not do; UsageError when listening
        already; NoEventLoop."""
        self._listen_with(partial(ListeningSocket, path))

    def take_over(self, listening: socket.socket) -> None:
        """Listen on a socket that another process made, and which is from now on ours to close: at its path
        nothing is changed, now or later. UsageError when it does not listen, or this server does already;
        NoEventLoop."""
        self._listen_with(partial(InheritedSocket, listening))
