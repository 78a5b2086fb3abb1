"""Owns Connection, what a program sees of one end: calls, hooks, limits and counters.
Must not know how its link works (link.py), or what differs between the two ends.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from socket import socket as stdlib_socket
from typing import Any, ClassVar

import attrs

from corelib import LocalSocket, PeerCredentials, UsageError
from corelib.turn import NotCopied
from ipclib.connection.calls import Caller, Wait
from ipclib.connection.handlers import check_handlers
from ipclib.connection.link import Ends, Link
from ipclib.connection.peer_log import log_about
from ipclib.connection.serving import call_hook
from ipclib.errors import BadDeclaration, ProtocolViolation
from ipclib.limits import Limits
from ipclib.protocol.message import Endpoint
from ipclib.runtime import check_called
from ipclib.showing import value_shown

_DEFAULT_LIMITS = Limits()


@attrs.frozen
class Counters:
    """What a connection has carried, refused and dropped since it was made or last reconnected."""

    frames_received: int
    """Complete frames, with control frames."""
    frames_sent: int
    """Frames, with control frames and with those that still wait to leave."""
    bytes_received: int
    bytes_sent: int
    fds_received: int
    fds_sent: int
    refused: int
    """Requests of the peer that were answered with an error of kind REFUSED."""
    dropped_posts: int
    """One-way messages of ours that found the connection closed, or the peer no longer reading."""
    dropped_messages: int
    """One-way messages of the peer that are unknown here, have another signature or no handler, or were over
    a limit."""
    queue_high_water: int
    """The most bytes that ever waited to leave."""


class Proxy:
    """The base of generated proxies, which send through the Caller of their connection."""

    _caller: Caller


class Stub:
    """The base of generated stubs, whose methods are the handlers to override."""


class Connection(NotCopied, Proxy):
    """One end of a connection; generated classes add the messages.

    It belongs to the thread that made it and is served by that thread's event loop, which keeps it alive
    until the peer closes it or shutdown() is called. Its private names are `_caller`, `_did_close`, `_ends`,
    `_link` and `_origin`; subclasses may use all others.
    """

    wait: Wait = Wait.PUMP
    """What a blocking call does while it waits, unless it is given another Wait."""
    timeout: float | None = None
    """Seconds for which a blocking call waits, unless it is given another timeout. None and math.inf mean
    without end."""
    _ends: ClassVar[Ends] = Ends.of(Endpoint, Endpoint)

    def __init_subclass__(
        cls, *, calls: type[Endpoint] | None = None, serves: type[Endpoint] | None = None, **others: Any
    ) -> None:
        super().__init_subclass__(**others)
        if calls is not None and serves is not None:
            check_called(cls.__module__)
            cls._ends = Ends.of(calls, serves, waits_for_slow_peer=cls._ends.waits_for_slow_peer)
        check_handlers(cls, cls._ends.serves)
        if not isinstance(cls.wait, Wait | property):
            text = f"{cls.__qualname__}.wait is Wait.PUMP or Wait.BLOCK, not {value_shown(cls.wait)}"
            raise BadDeclaration(text)

    def __init__(self, socket: LocalSocket, *, limits: Limits | None = None, trailers: bool = True) -> None:
        """Take over a connected socket. `trailers=False` writes bare frames, as LibIPC itself does.

        Raises:
            corelib.UsageError: it is no LocalSocket.
        """
        if not isinstance(socket, LocalSocket):
            raise UsageError(_no_socket(type(self).__qualname__, socket))
        self._link = Link(self, self._ends, socket, limits or _DEFAULT_LIMITS, trailers=trailers)
        self._caller = self._link.caller

    @property
    def is_open(self) -> bool:
        """Whether calls can still be made."""
        return self._link.is_open

    @property
    def peer(self) -> PeerCredentials:
        """The peer's pid, uid and gid when it connected, as the kernel reports them (SO_PEERCRED)."""
        return self._link.peer

    @property
    def limits(self) -> Limits:
        """The limits of what the peer may cost."""
        return self._link.limits

    @property
    def counters(self) -> Counters:
        """What the connection has carried, refused and dropped so far."""
        link = self._link
        return Counters(
            frames_received=link.receiver.frames_received,
            frames_sent=link.sender.frames,
            bytes_received=link.receiver.bytes_received,
            bytes_sent=link.sender.sent,
            fds_received=link.receiver.descriptors.received,
            fds_sent=link.sender.fds_sent,
            refused=link.refused,
            dropped_posts=link.caller.dropped_posts,
            dropped_messages=link.conversation.dropped,
            queue_high_water=link.sender.high_water,
        )

    def __repr__(self) -> str:
        link = self._link
        state = "open" if link.is_open else "closed"
        calls = len(link.conversation.open_calls)
        return f"<{type(self).__qualname__} {state}, pid {self.peer.pid}, {calls} open calls>"

    def shutdown(self) -> None:
        """Close the connection after sending what the socket still takes.

        Open calls fail with PeerDisconnected, and die() is called. A closed connection stays as it is.

        Raises:
            WrongThread: called from another thread; nothing was done.
        """
        self._link.require_own_thread("shutdown")
        self._link.sender.flush()
        self._link.close("the connection was shut down")

    def flush(self, timeout: float | None = None) -> bool:
        """Pump the loop until everything that was posted has left.

        False if `timeout` seconds have passed before, or if the peer no longer reads.

        Raises:
            WrongThread: called from another thread; nothing was done.
        """
        self._link.require_own_thread("flush")
        return self._caller.flush(timeout)

    def cork(self) -> AbstractContextManager[None]:
        """Hold back what is posted in the block, and send it at the end in as few system calls as possible.

        Raises:
            WrongThread: called from another thread; nothing was done.
        """
        self._link.require_own_thread("cork")
        return self._link.sender.cork()

    def describe(self, timeout: float | None = None) -> str:
        """Ask for the peer's interface of the endpoint that is called, as canonical `.ipc` text.

        Waits as a call does, for at most `timeout` seconds. LibIPC itself never answers.

        Raises:
            CallTimeout, PeerDisconnected, RemoteError, WrongThread: as for a call.
        """
        return self._caller.describe(timeout)

    def die(self) -> None:
        """Called once, after the connection has ended. Override it to clean up."""

    def may_have_become_unresponsive(self) -> None:
        """Called when a call is open and the peer has sent nothing for 3 seconds. Override it to react."""

    def did_become_responsive(self) -> None:
        """Called when an unresponsive peer has sent something again. Override it to react."""

    def did_misbehave(self, reason: str) -> None:
        """Drop a peer that breaks the rules: log the reason once, and close the connection at once."""
        if self._link.is_open:
            pid = self.peer.pid
            text = "%s: dropped pid %d: %s"
            log_about(self._link.thread, pid, logging.WARNING, text, type(self).__qualname__, pid, reason)
            self._link.close(reason, ProtocolViolation)

    def _did_close(self) -> None:
        """End the connection: its link has closed."""
        call_hook(self.die)


def _no_socket(name: str, what: object) -> str:
    if isinstance(what, str | os.PathLike):
        return f"{name}({what!r}): to connect to the service at a path, call {name}.connect({what!r})"
    if isinstance(what, stdlib_socket):
        return f"{name}(): a connection takes over a LocalSocket: pass LocalSocket.adopt(socket)"
    return f"{name}(): a connection takes over a connected LocalSocket, not {what!r}"


def when_closed(connection: Connection, callback: Callable[[], object]) -> None:
    """Call `callback` once, after the connection has closed and before die(), in the order of these calls."""
    connection._link.when_closed(callback)


def receive_early(connection: Connection, data: bytes, fds: Sequence[int]) -> None:
    """Let a connection receive what was read from its socket before it was made. It owns the descriptors."""
    link = connection._link
    collects = gc.isenabled()
    gc.disable()  # The receiver asks for it: a finaliser could make a turn, which would read on.
    try:
        link.receiver.receive(data, fds)
    finally:
        if collects:
            gc.enable()
    link.serve_later()


def send_tracebacks(connection: Connection) -> None:
    """Send the tracebacks of handlers to the peer, if it is of this user."""
    connection._link.sends_tracebacks = True


def is_busy(connection: Connection) -> bool:
    """Whether any handler has not finished, or anything waits to leave."""
    return connection._link.is_busy


def endpoints_of(connection: type[Connection]) -> tuple[type[Endpoint], type[Endpoint]]:
    """The endpoints of a connection class: the one that it calls, and the one that it serves."""
    return connection._ends.calls, connection._ends.serves
