"""Owns the life of one socket: it reads the socket, passes on what arrives, and closes it.
Must not know how values are encoded, how calls wait (calls.py), or how frames leave (sender.py).
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Protocol

import attrs

from corelib import LocalSocket, Notifier, Snapshot
from corelib.turn import ThreadLoop, current_thread_loop, forked
from ipclib.connection.calls import Caller, Wait, wrong_thread
from ipclib.connection.flow import Flow
from ipclib.connection.nesting import nesting_of_thread
from ipclib.connection.observing import listed
from ipclib.connection.peer_log import log_about
from ipclib.connection.rare import handle_rare
from ipclib.connection.reading import Reading
from ipclib.connection.responsiveness import Responsiveness
from ipclib.connection.sender import Sender
from ipclib.connection.serving import Serving, call_hook
from ipclib.connection.short_path import ShortPath
from ipclib.connection.state import State
from ipclib.errors import IPCError, PeerDisconnected
from ipclib.limits import Limits
from ipclib.protocol.conversation import Conversation, Table, incoming_table
from ipclib.protocol.message import Endpoint, Kind
from ipclib.protocol.plain_frames import Row, plain_rows
from ipclib.protocol.receiver import Receiver

# At most this many messages per turn, so one flooding peer cannot starve the rest.
_MOST_AT_ONCE = 64
# Seconds between two tries to send while nothing but this socket is waited for, and the kernel has no room.
_RETRY_BLOCKED = 0.01
# On 3.11 `Enum.MEMBER` costs about 90 ns (a descriptor), a bound name 9.
_REQUEST = Kind.REQUEST
_ONE_WAY = Kind.ONE_WAY
_OPEN = State.OPEN
# Fewer handlers on the stack need no closer look at each message.
_SERVES_FREELY = 16


@attrs.frozen
class Ends:
    """The two endpoints of a connection class, with the tables that are derived from them."""

    calls: type[Endpoint]
    serves: type[Endpoint]
    table: Table
    rows: dict[int, Row]
    receives_files: bool
    """Whether any message that may arrive can hold descriptors."""
    waits_for_slow_peer: bool = True
    """If true, posting to a slow peer blocks the poster; if false, the peer is disconnected."""

    @classmethod
    def of(cls, calls: type[Endpoint], serves: type[Endpoint], *, waits_for_slow_peer: bool = True) -> Ends:
        """Derive the tables of two endpoints."""
        table = incoming_table(calls, serves)
        receives_files = any(message.holds_files for message in table.values())
        return cls(calls, serves, table, plain_rows(table), receives_files, waits_for_slow_peer)


class Owner(Protocol):
    """The connection that owns a link. Its methods are the handlers and the hooks."""

    wait: Wait
    timeout: float | None

    def did_misbehave(self, reason: str) -> None:
        """Drop a peer that breaks the rules."""

    def may_have_become_unresponsive(self) -> None:
        """Called when a call is open and the peer has sent nothing for 3 seconds."""

    def did_become_responsive(self) -> None:
        """Called when an unresponsive peer has sent something again."""

    def _did_close(self) -> None:
        """End the connection, or find a new link: this one has closed, and its callbacks were called."""


class Link:
    """A connection for as long as one socket lasts.

    It belongs to the thread that made it, whose loop keeps it alive until it is closed.
    """

    __slots__ = (
        "__weakref__",
        "_cursor",
        "_ends",
        "_inbox",
        "_nesting",
        "_owner",
        "_readable",
        "_reading",
        "_responsiveness",
        "_serving",
        "_short_path",
        "_socket",
        "_when_closed",
        "caller",
        "conversation",
        "is_throttled",
        "limits",
        "peer",
        "receiver",
        "sender",
        "sends_tracebacks",
        "state",
        "thread",
        "user_code",
        "waits_for_slow_peer",
        "watchdog",
    )

    def __init__(
        self, owner: Owner, ends: Ends, socket: LocalSocket, limits: Limits, *, trailers: bool
    ) -> None:
        """Take over a connected socket."""
        self._owner = self.user_code = owner
        self._ends = ends
        self._socket = socket
        self.limits = limits
        self.state = State.OPEN
        self.thread = current_thread_loop()
        self.peer = socket.peer_credentials()
        self.waits_for_slow_peer = ends.waits_for_slow_peer
        self.is_throttled = False
        """True while no requests are served, because the peer has not read its answers."""
        self.sends_tracebacks = False
        """True if callers of this user get the tracebacks of handlers (also with IPCLIB_DEBUG=1)."""
        self._when_closed: list[Callable[[], object]] = []
        self.conversation = Conversation(ends.calls, ends.serves, limits, trailers=trailers)
        self._inbox = self.conversation.inbox
        self._nesting = nesting_of_thread()
        self.receiver = Receiver(self.conversation, ends.table)
        self.sender = Sender(socket, self.thread, Flow(self), limits.max_send_queue)
        self._responsiveness = Responsiveness(owner, self)
        self.watchdog = self._responsiveness.watchdog
        self.caller = Caller(owner, self)
        self._serving = Serving(owner, self, limits.rate)
        self._reading = Reading(
            self, socket, self.receiver, self._serving, receives_files=ends.receives_files
        )
        self._cursor = self._reading.cursor
        self._short_path = ShortPath(owner, self, self._serving, self._cursor, ends.rows)
        self._readable = Notifier(socket, Notifier.Type.READ, self._on_readable, reentrant=True)
        _all.add(self)

    def renewed(self, socket: LocalSocket) -> Link:
        """A fresh link for the same owner over a new socket; no state carries over."""
        trailers = self.conversation.trailers
        return Link(self._owner, self._ends, socket, self.limits, trailers=trailers)

    @property
    def is_open(self) -> bool:
        """Whether calls can still be made."""
        return self.state is not State.CLOSED

    @property
    def is_busy(self) -> bool:
        """Whether a handler has not finished, or anything waits to leave."""
        return self._serving.is_busy or self.sender.size > 0

    @property
    def refused(self) -> int:
        """Requests that were refused because they came too fast."""
        return self._serving.refused

    def require_own_thread(self, what: str) -> None:
        """Check the thread that calls `what`, before anything is done.

        Raises:
            WrongThread: the link belongs to another thread.
        """
        if get_ident() != self.thread.ident:
            raise wrong_thread(what)

    # Reading

    def _on_readable(self) -> None:
        try:
            if self._cursor.at >= self._cursor.end and len(self._inbox) < _MOST_AT_ONCE:
                self._reading.read()
            if self._responsiveness.is_unresponsive:
                self._responsiveness.end_silence()
            self._serve()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            # The loop reports it. It would be raised again in each turn if its cause is still unread.
            self.close("something went wrong in serving it")
            raise

    def look_closer(self) -> None:
        """Have each message that comes looked at before its handler is called."""
        self._reading.to_inbox()

    def end_reading(self) -> None:
        """Note that the stream is over."""
        if self.state is _OPEN:
            self.state = State.ENDED
            self._readable.set_enabled(False)

    def exchange(self, timeout: float | None) -> None:
        """Wait for the socket for at most `timeout` seconds, then read and write it; handle no messages."""
        writes = self.sender.size > 0
        if self.sender.lacks_room:
            writes = False
            timeout = _RETRY_BLOCKED if timeout is None else min(timeout, _RETRY_BLOCKED)
        self._socket.wait(read=True, write=writes, timeout=timeout)
        self.sender.flush()
        self._reading.read()
        self._reading.to_inbox()

    def end_input(self) -> None:
        """Read what has arrived already, and after it the end of the stream."""
        if self.is_open:
            self._socket.shutdown_read()

    # Handling what arrived

    def serve_later(self) -> None:
        """Handle in the next turn what waits."""
        self.thread.queue.post(self._serve)

    def _serve(self) -> None:
        """Handle what has arrived, in order. A handler may pump the loop, so this nests."""
        if self.is_throttled:
            return
        # Nothing holds back a peer that reads no answers any more, so it gets one message per turn.
        left = _MOST_AT_ONCE if self.sender.takes_frames else 1
        serving = self._nesting.serving
        serving.append(self)
        try:
            if len(serving) > _SERVES_FREELY:
                self._serving.guard()
            cursor = self._cursor
            if cursor.at < cursor.end:
                left = self._short_path.take(left)
                if left and cursor.at < cursor.end:
                    self._reading.to_inbox()
            if self._inbox:
                self._serve_inbox(left)
        finally:
            serving.pop()
        if self.sender.size:
            self.sender.flush()

    def _serve_inbox(self, left: int) -> None:
        inbox = self._inbox
        if len(inbox) > 1 and not self.is_throttled:
            self.serve_later()  # If a handler makes turns, they handle the rest.
        while inbox and left and not self.is_throttled:
            left -= 1
            event = inbox.popleft()
            if not isinstance(event, tuple):
                handle_rare(event, self, self._serving, self._owner.did_misbehave)
                continue
            kind, message, concerned, values, files, _size = event
            if kind is _ONE_WAY:
                self._serving.handle(message, values, files)
            elif kind is _REQUEST:
                self._serving.serve(message, concerned, values, files)
            else:
                concerned.succeed(values[0] if message.arity == 1 else message.to_result(values))

    def throttle_if_full(self) -> None:
        """Stop serving a peer that does not read its answers, unless we wait for an answer from it."""
        if self.sender.size <= self.sender.limit:
            return
        self.sender.flush()
        if self.sender.size > self.sender.limit:
            self.throttle()

    def throttle(self) -> None:
        """Stop serving the peer. While we wait for an answer from it, its requests are refused instead."""
        if self.conversation.awaits_answers:
            self._serving.guard()
        else:
            self.is_throttled = True
            self._reading.to_inbox()
            self._readable.set_enabled(False)

    def resume_serving(self) -> None:
        """Serve requests again: the peer has read its answers, or we wait for an answer from it."""
        if self.is_throttled:
            self.is_throttled = False
            self._readable.set_enabled(self.state is _OPEN)
            self.serve_later()

    # The end

    def when_closed(self, callback: Callable[[], object]) -> None:
        """Call `callback` after the link has closed and before the owner is called, in the order added."""
        self._when_closed.append(callback)

    def close(self, reason: str, error: type[IPCError] = PeerDisconnected) -> None:
        """Close the link; further calls have no effect.

        In this order, sending and receiving ends, handlers that have not finished are cancelled, open calls
        fail with `error`, and the callbacks of when_closed() and the owner are called.

        Raises:
            WrongThread: called from another thread; nothing was done.
        """
        self.require_own_thread("close")
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._cursor.stop()
        self._readable.close()
        self.watchdog.stop()
        self.sender.close()
        calls = self.conversation.close()
        self._release()
        self._serving.close()
        for call in calls:
            call.fail(error(f"{call.message.name}: {reason}"))
        for callback in self._when_closed:
            call_hook(callback)
        self._owner._did_close()

    def fail(self, verb: str, error: OSError) -> None:
        """Close the link, and log why: the system refused to send or receive. The peer is not at fault."""
        if self.is_open:
            reason = f"cannot {verb}: {error.strerror}"
            name, pid = type(self._owner).__qualname__, self.peer.pid
            log_about(self.thread, pid, logging.WARNING, "%s: left pid %d: %s", name, pid, reason)
            self.close(reason)

    def abandon(self) -> None:
        """Close the socket and drop the queues without notifying anyone.

        Used in a forked child, whose parent goes on with the connection.
        """
        self.state = State.CLOSED
        self._cursor.stop()
        self.sender.abandon()
        self.conversation.close()
        self._release()

    def _release(self) -> None:
        self._socket.close()
        self.receiver.release()
        self.conversation.release()


_all: weakref.WeakSet[Link] = weakref.WeakSet()


class _Nobody:
    """Owns the link of a connection that was never made."""

    wait = Wait.PUMP
    timeout: float | None = None

    def did_misbehave(self, reason: str) -> None:
        """Do nothing."""

    def may_have_become_unresponsive(self) -> None:
        """Do nothing."""

    def did_become_responsive(self) -> None:
        """Do nothing."""

    def _did_close(self) -> None:
        """Do nothing."""


def discard(socket: LocalSocket) -> None:
    """Close a socket whose connection was not made, and the link that a constructor may have made over it.

    No hook is called: the constructor of the connection raised.
    """
    for link in list(_all):
        if link._socket is socket:
            link._owner = _Nobody()
            link.close("the constructor of the connection raised")
    socket.close()


def _abandon_links_of_parent() -> None:
    for link in list(_all):
        link.abandon()


forked.forget(_abandon_links_of_parent)


def _in_snapshots(thread: ThreadLoop) -> list[str]:
    links: list[Link] = []
    with suppress(RuntimeError):  # Another thread has made or dropped a link meanwhile.
        links = list(_all)
    return sorted(listed(link) for link in links if link.thread is thread and link.is_open)


Snapshot.add_section("connections", _in_snapshots)
