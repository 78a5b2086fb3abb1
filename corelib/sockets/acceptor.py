"""Owns the accepting of clients: how many in a turn, and the pause when the process is out of fds.
Must not know what clients send, nor what kind of socket they connect to.
"""

from __future__ import annotations

import errno
import logging
import weakref
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from corelib.errors import UsageError
from corelib.notifier import Notifier
from corelib.timer import Timer
from corelib.turn import forked, thread_loop
from corelib.turn.interrupts import calls_user_code
from corelib.turn.not_copied import NotCopied

logger = logging.getLogger(__name__)

# At most this many clients per turn, so a flood of them cannot starve those that are connected.
_ACCEPTS_PER_TURN = 64
_PAUSE_MS = 100
_OUT_OF_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Closable(Protocol):
    """A client: accepting only ever closes it."""

    def close(self) -> None: ...


Client = TypeVar("Client", bound=Closable)
Client_co = TypeVar("Client_co", bound=Closable, covariant=True)


class Listening(Protocol[Client_co]):
    """A listening socket; its str() is where it listens."""

    def fileno(self) -> int: ...

    def accept(self) -> Client_co | None:
        """The next client; None if none waits.

        Raises:
            OSError: the kernel has no room for it.
        """

    def close(self) -> None:
        """Stop listening; twice is fine."""

    def abandon(self) -> None:
        """Close a forked child's copy; the parent goes on listening."""


class Acceptor(NotCopied, Generic[Client]):
    """The common part of servers: passes each client to `on_accept`.

    It calls in turns of the loop of the thread that listens. Clients wait in the kernel while `on_accept` is
    not set. When fds run out, accepting pauses for 100 ms at a time. A forked child does not listen."""

    __slots__ = ("__weakref__", "_listening", "_notifier", "_on_accept", "_pause", "_short_of_fds")

    def __init__(self, on_accept: Callable[[Client], object] | None = None) -> None:
        self._on_accept = on_accept
        self._listening: Listening[Client] | None = None
        self._notifier: Notifier | None = None
        self._pause = Timer.create_single_shot(_PAUSE_MS, self._watch_clients)
        self._short_of_fds = False
        """Whether it is logged that fds ran out; until a client is accepted again."""

    @property
    def on_accept(self) -> Callable[[Client], object] | None:
        """Called with each client, which then is the callee's to close."""
        return self._on_accept

    @on_accept.setter
    def on_accept(self, callback: Callable[[Client], object] | None) -> None:
        self._on_accept = callback
        self._watch_clients()

    @property
    def user_code(self) -> object:
        """The callback, for instruments."""
        return self._on_accept

    def close(self) -> None:
        """Stop listening; twice is fine. Accepted clients stay connected, waiting ones are refused."""
        self._pause.stop()
        if self._notifier is not None and self._listening is not None:
            self._notifier.close()
            self._listening.close()
        self._notifier = self._listening = None

    def __repr__(self) -> str:
        if self._listening is None:
            state = "not listening"
        elif self._pause.is_active:
            state = f"at {self._listening}, pausing because the process is out of fds"
        elif self._on_accept is None:
            state = f"at {self._listening}, not accepting without an on_accept"
        else:
            state = f"at {self._listening}"
        return f"<{type(self).__name__} {state}>"

    def _listen_with(self, listen: Callable[[], Listening[Client]]) -> None:
        thread_loop.current()
        if self._listening is not None:
            raise UsageError(
                f"this server listens at {self._listening} already: close() it first, or make another"
            )
        self._listening = listen()
        self._notifier = Notifier(self._listening, Notifier.Type.READ, self._accept_clients)
        self._watch_clients()
        _acceptors.add(self)

    def _watch_clients(self) -> None:
        if self._notifier is not None:
            self._notifier.set_enabled(self._on_accept is not None and not self._pause.is_active)

    def _accept_clients(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            # An on_accept may have closed the server or unset on_accept.
            if self._listening is None or self._on_accept is None:
                return
            try:
                client = self._listening.accept()
            except OSError as error:
                if error.errno not in _OUT_OF_ROOM:
                    raise
                self._pause_accepting(error)
                return
            if client is None:
                return
            self._short_of_fds = False
            self._hand_over(client)

    @calls_user_code
    def _hand_over(self, client: Client) -> None:
        assert self._on_accept is not None
        try:
            self._on_accept(client)
        except BaseException as error:
            client.close()  # on_accept may have raised before it took the client over.
            thread_loop.report(error, "on_accept", self._on_accept)

    def _pause_accepting(self, error: OSError) -> None:
        if not self._short_of_fds:
            self._short_of_fds = True
            logger.warning("%s: accepting pauses, clients wait: %s", self._listening, error.strerror)
        self._pause.start()
        self._watch_clients()


_acceptors: weakref.WeakSet[Acceptor[Any]] = weakref.WeakSet()


def _forget_parents() -> None:
    for acceptor in list(_acceptors):
        if acceptor._listening is not None:
            acceptor._listening.abandon()


forked.forget(_forget_parents)
