"""Owns the accepting of clients: how many in a turn, and what happens when the process is out of fds.
Knows that clients connect, not what they say, nor how the socket got to its path.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from corelib import thread_data
from corelib.errors import UsageError
from corelib.interrupts import calls_user_code
from corelib.listening_socket import ListeningSocket
from corelib.local_socket import LocalSocket
from corelib.notifier import Notifier
from corelib.timer import Timer

logger = logging.getLogger(__name__)

# So that a flood of clients leaves room in the turn for those that are connected.
_ACCEPTS_PER_TURN = 64
_PAUSE_MS = 100
_OUT_OF_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class LocalServer:
    """Listens on a Unix socket and hands each client to `on_accept`, in turns of the loop of the thread that
    listens. Clients wait in the kernel while `on_accept` is not set.

    The socket is open to its owner alone (0600). The file `path.lock`, locked with flock, shows that its
    server lives: what a killed server left is replaced, a living one is left alone. When fds run out,
    accepting pauses for 100 ms at a time. A forked child does not listen."""

    __slots__ = ("_notifier", "_on_accept", "_pause", "_short_of_fds", "_socket")

    def __init__(self, on_accept: Callable[[LocalSocket], object] | None = None) -> None:
        self._on_accept = on_accept
        self._socket: ListeningSocket | None = None
        self._notifier: Notifier | None = None
        self._pause = Timer.create_single_shot(_PAUSE_MS, self._heed_clients)
        #: The log was told that fds ran out; until a client is accepted again.
        self._short_of_fds = False

    @property
    def path(self) -> str | None:
        """Where it listens, with `%sid` replaced; None while it does not."""
        return None if self._socket is None else self._socket.path

    @property
    def on_accept(self) -> Callable[[LocalSocket], object] | None:
        """Called with each client, which is from then on the callee's to close."""
        return self._on_accept

    @on_accept.setter
    def on_accept(self, callback: Callable[[LocalSocket], object] | None) -> None:
        self._on_accept = callback
        self._heed_clients()

    def listen(self, path: str) -> None:
        """Listen at `path` (`%sid` and its folders as in session.py). AddressInUse when a server lives there,
        which is left alone; SocketPathError for a path or folder that will not do; UsageError when listening
        already; NoEventLoop."""
        thread_data.current()
        if self._socket is not None:
            raise UsageError(
                f"this server listens at {self.path!r} already: close() it first, or make another"
            )
        self._socket = ListeningSocket(path)
        self._notifier = Notifier(self._socket, Notifier.Type.READ, self._accept_clients)
        self._heed_clients()

    def close(self) -> None:
        """Stop listening, and remove socket and lock file; twice is fine. Clients that were accepted are not
        touched, those that still waited are refused."""
        self._pause.stop()
        if self._notifier is not None and self._socket is not None:
            self._notifier.close()
            self._socket.close()
        self._notifier = self._socket = None

    def _heed_clients(self) -> None:
        if self._notifier is not None:
            self._notifier.set_enabled(self._on_accept is not None and not self._pause.is_active)

    def _accept_clients(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            # An on_accept may have closed the server, or have been taken away.
            if self._socket is None or self._on_accept is None:
                return
            try:
                client = self._socket.accept()
            except OSError as error:
                if error.errno not in _OUT_OF_ROOM:
                    raise
                self._rest(error)
                return
            if client is None:
                return
            self._short_of_fds = False
            self._hand_over(client)

    @calls_user_code
    def _hand_over(self, client: LocalSocket) -> None:
        assert self._on_accept is not None
        try:
            self._on_accept(client)
        except Exception as error:
            client.close()  # Nobody can be relied on to own it.
            thread_data.report(error, "on_accept", self._on_accept)

    def _rest(self, error: OSError) -> None:
        if not self._short_of_fds:
            self._short_of_fds = True
            logger.warning("%s: accepting pauses, clients wait: %s", self.path, error.strerror)
        self._pause.start()
        self._heed_clients()
