"""A client's end of a connection: gets to its service or starts one of its own, and waits rather than
overrun it.

Knows nothing of how messages travel, nor of how a service is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Self

import attrs

from corelib import Argument, LocalSocket, Process
from ipclib import activation
from ipclib.connection import Connection
from ipclib.errors import ServiceUnavailable
from ipclib.limits import Limits
from ipclib.service_search import ServiceSearch, find_service
from ipclib.worker import Worker


class ConnectionToServer(Connection):
    """The base of generated client ends."""

    _search: ServiceSearch | None = None
    """What finds the service again; None where its end is the connection's."""
    _worker: Worker | None = None

    @classmethod
    def connect(
        cls,
        path: str,
        *,
        patience: float = 0.0,
        reconnect: bool = False,
        limits: Limits | None = None,
        trailers: bool = True,
    ) -> Self:
        """Connect to the service at a socket path, in which %sid is the session.

        While nobody listens there it is tried again for `patience` seconds, pumping the loop.
        Raises ServiceUnavailable when they are over.

        With `reconnect` a service that ends later is looked for until it is there again. Open calls fail
        with PeerDisconnected, as do all while it is away; posts are counted and dropped; then did_reconnect()
        is called. The connection ends, with die(), by shutdown(), or when the service breaks the rules.
        """
        connection = cls(find_service(path, patience), limits=limits, trailers=trailers)
        if reconnect:
            connection._look_out(path)
        return connection

    @classmethod
    def spawn(
        cls,
        arguments: Sequence[Argument],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        grace: float | None = 5.0,
        limits: Limits | None = None,
        trailers: bool = True,
    ) -> Self:
        """Start a service for this connection alone, a worker: a program and its arguments, which finds the
        other end of a socket pair by take_over_accepted_client(). It gets fds 0 to 2 and that socket, and no
        others; `env` in place of our environment.

        Each ends with the other. A worker that ends, or crashes, ends the connection, as every peer does.
        When the connection ends, by shutdown() or by our own end, the worker sees the end of the stream; one
        that still runs `grace` seconds later is killed (None: never).

        Raises ServiceUnavailable when the program cannot be started; corelib's UsageError for arguments that
        are none.
        """
        ours, theirs = LocalSocket.pair()
        with ExitStack() as on_failure:
            on_failure.callback(ours.close)
            with closing(theirs):
                inherited = os.environ if env is None else env
                environment = activation.handing_over(inherited, cls._ends.calls.__name__, theirs.fileno())
                server = _started(arguments, environment, cwd, theirs)
            on_failure.callback(server.kill)
            connection = cls(ours, limits=limits, trailers=trailers)
            connection._own(Worker(server, grace, cls.__qualname__))
            on_failure.pop_all()
        return connection

    @property
    def server(self) -> Process | None:
        """The worker that spawn() started: its pid, its exit code, and `exited`, the promise of that. None
        where connect() found a service."""
        return None if self._worker is None else self._worker.process

    def did_reconnect(self) -> None:
        """Called after a service that was lost is found again. Override it to tell the new one what the old
        one knew."""

    def shutdown(self) -> None:
        """Close the connection after sending what the socket still takes, and look for no other service.

        Open calls fail with PeerDisconnected, and die() is called. Harmless when closed already.
        """
        if self._stop_search() and not self.is_open:
            self._link.die()
        super().shutdown()

    def did_misbehave(self, reason: str) -> None:
        """Drop a service that breaks the rules: logged once, and the connection is closed at once and for
        good."""
        if self.is_open:
            self._stop_search()
        super().did_misbehave(reason)

    # A service that comes back

    def _look_out(self, path: str) -> None:
        self._search = ServiceSearch(path, self._found_again)
        self._link.when_closed = self._search.start
        if not self.is_open:  # Lost while the constructor made a call.
            self._search.start()

    def _found_again(self, socket: LocalSocket) -> None:
        assert self._search is not None
        self._link = self._link.renewed(socket)
        self._link.when_closed = self._search.start
        self._link.tell("did_reconnect")

    def _stop_search(self) -> bool:
        search, self._search = self._search, None
        if search is None:
            return False
        search.stop()
        self._link.when_closed = self._link.die
        return True

    # A service of our own

    def _own(self, worker: Worker) -> None:
        self._worker = worker
        # The kernel knows who made the pair of sockets: we did.
        self._link.peer = attrs.evolve(self._link.peer, pid=worker.process.pid)
        self._link.when_closed = self._lose_worker
        worker.process.exited.when_resolved(self._on_worker_exit)
        if not self.is_open:
            worker.let_go()

    def _on_worker_exit(self, _code: int) -> None:
        self._link.end_input()

    def _lose_worker(self) -> None:
        assert self._worker is not None
        self._worker.let_go()
        self._link.die()


def _started(
    arguments: Sequence[Argument],
    environment: Mapping[str, str],
    cwd: str | os.PathLike[str] | None,
    inherited: LocalSocket,
) -> Process:
    try:
        return Process.spawn(arguments, env=environment, cwd=cwd, inherit_fds=[inherited])
    except OSError as error:
        place = "" if cwd is None else f" in {cwd!r}"
        raise ServiceUnavailable(f"{arguments[0]!r} cannot be started{place}: {error.strerror}") from error
