"""Owns ConnectionToServer, a client's end: connect(), spawn(), and what reconnecting means to a program.
Must not know how messages travel, or how a service is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Self

from corelib import Argument, LocalSocket, PeerCredentials, Process, session
from ipclib.connection import connecting
from ipclib.connection.connection import Connection
from ipclib.connection.handing_over import environment_with_socket
from ipclib.connection.link import discard
from ipclib.connection.origin import FOUND, Origin
from ipclib.connection.reconnect import Reconnecting
from ipclib.connection.seconds import check_seconds
from ipclib.connection.serving import call_hook
from ipclib.connection.trust import Way, admitted_uids
from ipclib.connection.worker import Worker
from ipclib.errors import ServiceUnavailable
from ipclib.limits import Limits


class ConnectionToServer(Connection):
    """The base of generated client ends."""

    _origin: Origin = FOUND

    @classmethod
    def connect(
        cls,
        path: str | os.PathLike[str],
        *,
        patience: float = 0.0,
        reconnect: bool = False,
        allowed_uids: Collection[int] | None = None,
        limits: Limits | None = None,
        trailers: bool = True,
    ) -> Self:
        """Connect to the service at a socket path, in which %sid stands for the session.

        While no service listens there, connecting is retried for `patience` seconds, and the loop is pumped.

        With `reconnect`, a service that ends later is looked for until it is found again. Until then calls
        fail with PeerDisconnected, and posts are dropped and counted; then did_reconnect() is called. The
        connection ends, and die() is called, after shutdown() or when the service breaks a rule of the wire.

        The service must be a process of `allowed_uids`, by default root and this user. The folders above its
        socket must be theirs, root's or ours, and others may write to one only if it is sticky, as /tmp is.

        Raises:
            ServiceUnavailable: no service listened there in time, it cannot be reached, or it is not trusted.
            ValueError, TypeError: `patience` is not a number of seconds from 0 on, or math.inf.
        """
        way = Way(session.socket_path(os.fspath(path)), admitted_uids(allowed_uids))
        socket = connecting.connect(way, patience)
        try:
            connection = cls(socket, limits=limits, trailers=trailers)
        except BaseException:
            discard(socket)
            raise
        if reconnect:
            connection._origin = Reconnecting(way, connection._use)
            if not connection.is_open:  # Lost while the constructor made a call.
                connection._origin.lost()
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
        """Start a worker, a service for this connection alone, from a program and its arguments.

        The worker takes over its end of a socket pair by take_over_accepted_client(). It gets that socket and
        the fds 0 to 2, no other fds, and `env` in place of our environment.

        A worker that exits or crashes ends the connection, as every peer does. When the connection ends, by
        shutdown() or because this process exits, the worker sees the end of the stream. If it still runs
        `grace` seconds after shutdown(), it is killed (None: never).

        Raises:
            ServiceUnavailable: the program cannot be started.
            corelib.UsageError: the arguments are not a program with its arguments.
            ValueError, TypeError: `grace` is not a number of seconds from 0 on, math.inf or None.
        """
        if grace is not None:
            check_seconds("grace", grace)
        ours, theirs = LocalSocket.pair()
        with ExitStack() as on_failure:
            on_failure.callback(discard, ours)
            with closing(theirs):
                inherited = os.environ if env is None else env
                environment = environment_with_socket(inherited, cls._ends.calls.__name__, theirs.fileno())
                process = _started(arguments, environment, cwd, theirs)
            on_failure.callback(process.kill)
            connection = cls(ours, limits=limits, trailers=trailers)
            connection._own(Worker(process, grace, cls.__qualname__))
            on_failure.pop_all()
        return connection

    @property
    def server(self) -> Process | None:
        """The process of the worker that spawn() started; None if connect() found the service."""
        return self._origin.process

    @property
    def peer(self) -> PeerCredentials:
        """The service's pid, uid and gid when it was connected or started."""
        return self._origin.peer(self._link.peer)

    def __repr__(self) -> str:
        text = super().__repr__()
        return text.replace(" closed,", " looking for its service,", 1) if self._origin.is_looking else text

    def did_reconnect(self) -> None:
        """Called after a lost service was found again. Override it to send it what the lost one knew."""

    def shutdown(self) -> None:
        """Close the connection after sending what the socket still takes, and look for no other service.

        Open calls fail with PeerDisconnected, and die() is called. A closed connection stays as it is.

        Raises:
            WrongThread: called from another thread; nothing was done.
        """
        self._link.require_own_thread("shutdown")
        if self._origin.stop():
            call_hook(self.die)
        super().shutdown()

    def did_misbehave(self, reason: str) -> None:
        """Drop a service that breaks the rules: log the reason once, and close without reconnecting."""
        if self.is_open:
            self._origin.stop()
        super().did_misbehave(reason)

    def _did_close(self) -> None:
        if self._origin.lost():
            super()._did_close()

    def _use(self, socket: LocalSocket) -> None:
        """Go on over a new socket: the service was found again."""
        self._link = self._link.renewed(socket)
        self._caller = self._link.caller
        call_hook(self.did_reconnect)

    def _own(self, worker: Worker) -> None:
        self._origin = worker
        worker.process.exited.when_resolved(self._on_worker_exit)
        if not self.is_open:
            worker.lost()

    def _on_worker_exit(self, _code: int) -> None:
        self._link.end_input()


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
