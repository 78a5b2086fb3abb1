"""What a program sees of a connection: calls, hooks, and the figures that bound and describe it.

Owns the face alone. The work is done by its link (link.py); what differs between the two ends is in
connection_to_server.py and connection_from_client.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import attrs

from corelib import LocalSocket, PeerCredentials
from ipclib.errors import PeerDisconnected, ProtocolViolation
from ipclib.limits import Limits
from ipclib.link import Ends, Link, Wait
from ipclib.protocol.message import Endpoint

logger = logging.getLogger("ipclib")

_DEFAULT_LIMITS = Limits()


@attrs.frozen
class Counters:
    """What a connection has carried, refused and lost, since it was made or found its service again."""

    messages_received: int
    """Whole frames, control frames among them."""
    messages_sent: int
    """Frames, those that still wait to leave among them."""
    bytes_received: int
    bytes_sent: int
    fds_received: int
    fds_sent: int
    refused: int
    """Requests of the peer that were answered with an error of kind REFUSED."""
    dropped_posts: int
    """One-way messages of ours that found the connection closed, or the peer no longer reading."""
    dropped_messages: int
    """One-way messages of the peer that are unknown here, have another signature, or came too fast."""
    queue_high_water: int
    """The most bytes that ever waited to leave."""


class Proxy:
    """The base of generated proxies, which send over the link."""

    _link: Link


class Stub:
    """The base of generated stubs, whose methods are the handlers to override."""


class Connection(Proxy):
    """One end of a connection; generated classes add the messages.

    It belongs to the thread that made it, is served by that thread's event loop, and stays alive
    until the peer goes or shutdown() is called. Its private names are `_link`, `_ends`, `_search` and
    `_worker`; all others are free for subclasses.
    """

    wait: Wait = Wait.PUMP
    """What blocking calls do that are not told otherwise."""
    _ends: ClassVar[Ends] = Ends.of(Endpoint, Endpoint)

    def __init_subclass__(
        cls, *, calls: type[Endpoint] | None = None, serves: type[Endpoint] | None = None, **others: Any
    ) -> None:
        super().__init_subclass__(**others)
        if calls is not None and serves is not None:
            cls._ends = Ends.of(calls, serves)

    def __init__(self, socket: LocalSocket, *, limits: Limits | None = None, trailers: bool = True) -> None:
        """Take over a connected socket. `trailers=False` writes bare LibIPC frames."""
        self._link = Link(self, self._ends, socket, limits or _DEFAULT_LIMITS, trailers=trailers)

    @property
    def is_open(self) -> bool:
        """Whether calls can still be made."""
        return self._link.is_open

    @property
    def peer(self) -> PeerCredentials:
        """The peer's pid, uid and gid when it connected, as the kernel vouches for them (SO_PEERCRED)."""
        return self._link.peer

    @property
    def limits(self) -> Limits:
        """How much the peer may cost."""
        return self._link.limits

    @property
    def counters(self) -> Counters:
        """What it has carried, refused and lost so far."""
        link = self._link
        return Counters(
            messages_received=link.protocol.messages_received,
            messages_sent=link.outbox.frames,
            bytes_received=link.protocol.reader.received,
            bytes_sent=link.outbox.sent,
            fds_received=link.protocol.fds_received,
            fds_sent=link.outbox.fds_sent,
            refused=link.refused,
            dropped_posts=link.dropped_posts,
            dropped_messages=link.protocol.dropped,
            queue_high_water=link.outbox.high_water,
        )

    def shutdown(self) -> None:
        """Close the connection after sending what the socket still takes.

        Open calls fail with PeerDisconnected, and die() is called. Harmless when closed already.
        """
        self._link.flush()
        self._link.close("the connection was shut down", PeerDisconnected)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was posted has left, pumping the loop.

        False when that has not come about: `timeout` seconds are over, or the peer no longer reads.
        """
        return self._link.flush_within(timeout)

    @contextmanager
    def cork(self) -> Iterator[None]:
        """What is posted inside leaves together at the end, in as few system calls as possible."""
        link = self._link
        link.corks += 1
        try:
            yield
        finally:
            link.corks -= 1
            if not link.corks:
                link.flush()

    def describe(self, timeout: float | None = None) -> str:
        """The interface of the endpoint that is called, as the peer has it: canonical `.ipc` text.

        Waits as a call does. A peer that is LibIPC itself never answers: give a timeout.
        """
        return self._link.describe(timeout)

    def die(self) -> None:
        """Called once, after the connection is gone. Override it to clean up."""

    def may_have_become_unresponsive(self) -> None:
        """Called when the peer owes an answer and has sent nothing for 3 seconds. Override it."""

    def did_become_responsive(self) -> None:
        """Called when such a peer sends something again. Override it."""

    def did_misbehave(self, reason: str) -> None:
        """Drop a peer that breaks the rules: logged once, and the connection is closed at once."""
        if self._link.is_open:
            logger.warning("%s: dropped pid %d: %s", type(self).__qualname__, self.peer.pid, reason)
            self._link.close(reason, ProtocolViolation)
