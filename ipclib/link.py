"""The driver: moves bytes and descriptors between a socket and the protocol, and lets calls wait.

Owns one socket from its connecting to its end: notifiers, outbox, throttling, timeouts. Knows
nothing of how values are encoded or calls are numbered, nor what handlers do with what arrives.
"""

from __future__ import annotations

import atexit
import enum
import logging
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from threading import get_ident
from typing import Any, Protocol, TypeVar

import attrs

from corelib import DescriptorsTruncated, EventLoopClosed, LocalSocket, Notifier, Promise, WaitMode
from corelib.turn import current_thread_loop, forked, interrupts
from ipclib.errors import (
    CallTimeout,
    EncodeError,
    ErrorKind,
    IPCError,
    MessageTooLarge,
    PeerDisconnected,
    ProtocolViolation,
    WrongThread,
)
from ipclib.file import File
from ipclib.limits import Limits
from ipclib.outbox import Outbox
from ipclib.protocol import protocol
from ipclib.protocol.message import Endpoint, Kind, OneWay, Request
from ipclib.protocol.protocol import Call, ReplyTo, Table
from ipclib.serving import ANSWERED_ELSEWHERE, Serving
from ipclib.values.codecs import Buffer, Files, Payload
from ipclib.watchdog import Watch, Watchdog

logger = logging.getLogger("ipclib")

R = TypeVar("R")

UNRESPONSIVE_AFTER = 3.0
"""Seconds without a byte from a peer that owes an answer (LibIPC's figure)."""

_READ_SIZE = 64 * 1024
_FLUSH_AT_EXIT = 2.0
# Messages of one peer that are dispatched in one go: a flood leaves room for others.
_MOST_AT_ONCE = 64
# Python 3.11 looks an enum's member up through a descriptor, which a call would feel.
_REQUEST = Kind.REQUEST
_RESPONSE = Kind.RESPONSE
_ONE_WAY = Kind.ONE_WAY


class Wait(enum.Enum):
    """What else happens while a blocking call waits."""

    PUMP = enum.auto()
    """The loop is pumped: timers fire, other connections and this one's other messages are served."""
    BLOCK = enum.auto()
    """Nothing: only this socket is read and written; other messages are dispatched after the call."""


_PUMP = Wait.PUMP


@attrs.frozen
class Ends:
    """What a kind of connection calls and serves, worked out once."""

    calls: type[Endpoint]
    serves: type[Endpoint]
    table: Table
    receives_files: bool

    @classmethod
    def of(cls, calls: type[Endpoint], serves: type[Endpoint]) -> Ends:
        """From the two endpoints."""
        table = protocol.incoming_table(calls, serves)
        return cls(calls, serves, table, any(message._holds_files for message in table.values()))


class Owner(Protocol):
    """Whose link it is: its methods are the handlers and the hooks."""

    wait: Wait

    def did_misbehave(self, reason: str) -> None: ...


class PromisedCall(Call):
    """A call whose answer settles a promise instead of ending a wait."""

    __slots__ = ("promise",)

    def __init__(self, message: type[Request[Any]], serial: int) -> None:
        super().__init__(message, serial)
        self.promise: Promise[Any] = Promise()

    def succeed(self, value: Any) -> None:
        self.settled = True
        self.promise.resolve(value)

    def fail(self, error: BaseException) -> None:
        super().fail(error)
        self.promise.reject(error)


class _Nesting:
    """How many blocking calls are on a thread's stack."""

    __slots__ = ("depth",)

    def __init__(self) -> None:
        self.depth = 0


class _NestingOfThread(threading.local):
    def __init__(self) -> None:
        self.nesting = _Nesting()


_WAIT = WaitMode.WAIT_FOR_EVENTS
_nesting_of_thread = _NestingOfThread()
_all: weakref.WeakSet[Link] = weakref.WeakSet()
_unflushed: weakref.WeakSet[Link] = weakref.WeakSet()


class Link:
    """A connection for as long as its socket lasts. It belongs to the thread that made it, and the loop keeps
    it alive until it is closed."""

    __slots__ = (
        "__weakref__",
        "_ends",
        "_flush_is_due",
        "_is_unresponsive",
        "_nesting",
        "_owner",
        "_peer_reads",
        "_readable",
        "_serving",
        "_socket",
        "_thread",
        "_trailers",
        "_watchdog",
        "_writable",
        "corks",
        "dropped_posts",
        "is_open",
        "is_throttled",
        "limits",
        "outbox",
        "peer",
        "protocol",
        "waits_for_slow_peer",
        "when_closed",
    )

    def __init__(
        self, owner: Owner, ends: Ends, socket: LocalSocket, limits: Limits, *, trailers: bool
    ) -> None:
        """Take over a connected socket."""
        self._owner = owner
        self._thread = current_thread_loop()
        self._nesting = _nesting_of_thread.nesting
        self.limits = limits
        self._socket = socket
        self._ends = ends
        self._trailers = trailers
        self._serving = Serving(owner, self, limits.rate)
        self._peer_reads = True
        self._flush_is_due = False
        self._is_unresponsive = False
        self._watchdog = Watchdog(self._watches)
        self._readable = Notifier(socket, Notifier.Type.READ, self._on_readable, reentrant=True)
        self._writable: Notifier | None = None
        self.protocol = protocol.Protocol(ends.calls, ends.serves, ends.table, limits, trailers=trailers)
        self.outbox = Outbox()
        self.peer = socket.peer_credentials()
        self.is_open = True
        self.is_throttled = False
        """No more requests are served until the peer has read its answers."""
        self.corks = 0
        """How many cork() are on the stack."""
        self.dropped_posts = 0
        self.waits_for_slow_peer = True
        """Whether who posts faster than the peer reads waits; else the peer is dropped."""
        self.when_closed: Callable[[], None] = self.die
        """Called once, at the end of all."""
        _all.add(self)

    def renewed(self, socket: LocalSocket) -> Link:
        """The same over another socket, with nothing left of this one."""
        link = Link(self._owner, self._ends, socket, self.limits, trailers=self._trailers)
        link.waits_for_slow_peer = self.waits_for_slow_peer
        return link

    def tell(self, hook: str) -> None:
        """Call one of the owner's hooks; what it raises is logged."""
        self._serving.tell(hook)

    def die(self) -> None:
        """Tell the owner that all is over."""
        self.tell("die")

    def end_input(self) -> None:
        """Nothing more will come: what came before is still handled, then the stream ends."""
        if self.is_open:
            self._socket.shutdown_read()

    @property
    def is_busy(self) -> bool:
        """Whether an answer is owed, or anything waits to leave."""
        return self._serving.is_busy or bool(self.outbox)

    @property
    def refused(self) -> int:
        """Requests that came too fast."""
        return self._serving.refused

    def flush_within(self, timeout: float | None) -> bool:
        """Wait until all that was posted has left, pumping the loop; False when that has not come about."""
        self.flush()
        deadline = _deadline(timeout)
        while self.outbox and self.is_open:
            if deadline is not None and time.monotonic_ns() >= deadline:
                return False
            self._thread.turn(_WAIT, deadline)
        return self.is_open and self._peer_reads

    # Calling

    def call(
        self, message: type[Request[R]], values: tuple[object, ...], timeout: float | None, wait: Wait | None
    ) -> R:
        if get_ident() != self._thread.ident or not self.is_open:
            raise self._unusable(message._name)
        if self._nesting.depth >= self.limits.max_nesting:
            raise RecursionError(
                f"{message._name}: {self._nesting.depth} blocking calls wait on this thread already "
                f"(max_nesting); use async_{message._handler}()"
            )
        call, frame, files = self.protocol.request(message, values, Call)
        value: R = self._wait_for_answer(call, frame, files, timeout, wait)
        return value

    def describe(self, timeout: float | None) -> str:
        """Ask the peer for its interface, and wait."""
        if get_ident() != self._thread.ident or not self.is_open:
            raise self._unusable("describe")
        call, frame = self.protocol.describe(Call)
        text: str = self._wait_for_answer(call, frame, [], timeout, None)
        return text

    def _wait_for_answer(
        self, call: Call, frame: Payload, files: Files, timeout: float | None, wait: Wait | None
    ) -> Any:
        if self.is_throttled:
            self._unthrottle()
        if not self._watchdog.is_awake:
            self._watchdog.wake()
        self._send_now(frame, files)
        self._nesting.depth += 1
        try:
            if (wait or self._owner.wait) is not _PUMP:
                self._block_until_settled(call, timeout)
            elif timeout is not None:
                self._pump_until(call, timeout)
            else:
                turn = self._thread.turn
                while not call.settled:
                    turn(_WAIT)
        finally:
            self._nesting.depth -= 1
            if not call.settled:
                self._abandon(call)
        if call.error is not None:
            raise call.error
        return call.value

    def call_async(self, message: type[Request[R]], values: tuple[object, ...]) -> Promise[R]:
        if get_ident() != self._thread.ident:
            raise self._unusable(message._name)
        if not self.is_open:
            return Promise.rejected(PeerDisconnected(f"{message._name}: the connection is closed"))
        call, frame, files = self.protocol.request(message, values, PromisedCall)
        promise: Promise[R] = call.promise
        promise.on_cancel = partial(self._abandon, call)
        if not self._watchdog.is_awake:
            self._watchdog.wake()
        self._send(frame, files)
        if self.outbox.size > self.limits.max_send_queue:
            self._on_full_outbox()
        return promise

    def post(self, message: type[OneWay], values: tuple[object, ...]) -> None:
        if get_ident() != self._thread.ident:
            raise self._unusable(message._name)
        frame, files = self.protocol.one_way(message, values)
        if not self.is_open or not self._peer_reads:
            self.dropped_posts += 1
            for file in files:
                file.close()
            return
        if self._flush_is_due:
            self.outbox.put(frame, files)
        else:
            self._send(frame, files)
        if self.outbox.size > self.limits.max_send_queue:
            self._on_full_outbox()

    def _unusable(self, name: str) -> Exception:
        if get_ident() != self._thread.ident:
            return WrongThread(
                f"{name}: this connection belongs to another thread; "
                "hand the work over with its loop's deferred_invoke()"
            )
        if self._thread.closed:
            return EventLoopClosed()
        return PeerDisconnected(f"{name}: the connection is closed")

    def _pump_until(self, call: Call, timeout: float) -> None:
        deadline = time.monotonic_ns() + int(timeout * 1e9)
        while not call.settled:
            self._thread.turn(_WAIT, deadline)
            if not call.settled and time.monotonic_ns() >= deadline:
                raise _timed_out(call, timeout)

    def _block_until_settled(self, call: Call, timeout: float | None) -> None:
        """LibIPC's own rule: what else arrives stays in the inbox, and is dispatched after the call."""
        deadline = _deadline(timeout)
        inbox = self.protocol.inbox
        looked_at = 0
        try:
            while not self._settle_from_inbox(call, looked_at):
                looked_at = len(inbox)
                self._check_blocked(call, timeout, deadline)
                self._socket.wait(read=True, write=bool(self.outbox), timeout=_seconds_until(deadline))
                self.flush()
                self._read()
        finally:
            if inbox:
                self._thread.queue.post(self._dispatch)

    def _settle_from_inbox(self, call: Call, looked_at: int) -> bool:
        """Take this call's answer out of the inbox, if it is behind the events that were looked at before."""
        inbox = self.protocol.inbox
        for place, (kind, message, to, values, _files) in enumerate(
            islice(inbox, looked_at, None), looked_at
        ):
            if to is call:
                del inbox[place]
                if kind is _RESPONSE:
                    call.succeed(message._result(values))
                else:
                    call.fail(values[0])
                break
        return call.settled

    def _check_blocked(self, call: Call, timeout: float | None, deadline: int | None) -> None:
        """Raise what keeps a blocked call from ever being answered, or from being answered in time."""
        if self.protocol.ended:
            raise PeerDisconnected(f"{call.message._name}: the peer disconnected")
        if len(self.protocol.inbox) > self.limits.max_elements:
            raise ProtocolViolation(f"{call.message._name}: too many messages came before the answer")
        if deadline is not None and time.monotonic_ns() >= deadline:
            raise _timed_out(call, timeout)

    def _abandon(self, call: Call) -> None:
        try:
            cancel = self.protocol.abandon(call)
        except ProtocolViolation as violation:
            self._owner.did_misbehave(str(violation))
            return
        if cancel is not None and self.is_open:
            self._send(cancel, [])

    # Sending

    def _send(self, frame: Payload, files: Files) -> None:
        """Send a frame, at once outside a turn of the loop, else at the turn's end."""
        if self._flush_is_due or self.corks:
            self.outbox.put(frame, files)
        elif self._thread.depth:
            self.outbox.put(frame, files)
            self._flush_is_due = True
            self._thread.turn_end.append(self.flush)
        else:
            self._send_now(frame, files)
            if interrupts.pending:
                interrupts.raise_pending()

    def _send_now(self, frame: Payload, files: Files) -> None:
        """Send a frame, behind what waits already; what the socket does not take leaves when it can."""
        self._flush_is_due = False
        try:
            if not self.outbox.send(frame, files, self._socket):
                self._watch_writable()
        except OSError as error:
            self._on_send_error(error)

    def flush(self) -> None:
        """Hand the socket what waits to leave; what it does not take leaves when it can."""
        self._flush_is_due = False
        if self.outbox.size and self.is_open and not self._send_out():
            self._watch_writable()

    def _send_out(self) -> bool:
        """Hand the socket what it takes; False when it will take the rest later."""
        try:
            return self.outbox.write_to(self._socket)
        except OSError as error:
            self._on_send_error(error)
            return True

    def _on_send_error(self, error: OSError) -> None:
        if not isinstance(error, (BrokenPipeError, ConnectionResetError)):
            self.close(f"cannot send: {error.strerror}")
            return
        # The peer closed its end. What it sent before is still to be read, and the end of the stream
        # behind it closes the connection.
        self._peer_reads = False
        self.outbox.clear()
        self._unthrottle()

    def flush_without_loop(self, deadline: int | None) -> None:
        """Wait for the socket until all has left, or the deadline."""
        while self.outbox and self._socket.wait_writable(_seconds_until(deadline)):
            self._send_out()

    def _watch_writable(self) -> None:
        if self._writable is None:
            self._writable = Notifier(self._socket, Notifier.Type.WRITE, self._on_writable, reentrant=True)
        self._writable.set_enabled(True)
        _unflushed.add(self)
        self._watchdog.wake()

    def _on_writable(self) -> None:
        self.flush()
        if self.outbox or not self.is_open:
            return
        if self._writable is not None:
            self._writable.set_enabled(False)
        _unflushed.discard(self)
        self._unthrottle()

    def _unthrottle(self) -> None:
        if self.is_throttled:
            self.is_throttled = False
            self._readable.set_enabled(not self.protocol.ended)
            self._thread.queue.post(self._dispatch)

    def _on_full_outbox(self) -> None:
        """More was posted than may wait to leave. A service never waits for a client that does not read;
        a client does (LibIPC's way to rate-limit its clients), and its loop goes on."""
        limit = self.limits.max_send_queue
        self.flush()
        while self.waits_for_slow_peer and self.outbox.size > limit and self.is_open:
            self._thread.turn(_WAIT)
            self.flush()
        if self.outbox.size > limit:
            self._owner.did_misbehave(
                f"it does not read: {self.outbox.size} bytes wait for it (max_send_queue)"
            )

    # Receiving

    def _on_readable(self) -> None:
        try:
            if len(self.protocol.inbox) < _MOST_AT_ONCE:
                self._read()
            if self._is_unresponsive:
                self._become_responsive()
            self._dispatch()
        except Exception:
            # The loop reports it. It would come again in each turn, for what brought it about may be unread.
            self.close("something went wrong in serving it")
            raise

    def _read(self) -> None:
        """Read the socket once, into the inbox."""
        if not self.is_open:
            return
        protocol = self.protocol
        room = protocol.reader.room() if protocol.reader.missing else None
        data: Buffer | None
        fds: Sequence[int] = ()
        try:
            if self._ends.receives_files:
                data, fds = self._receive_with_files(room)
            elif room is not None:
                count = self._socket.receive_into(room)
                data = None if count is None else room[:count]
            else:
                data = self._socket.receive(_READ_SIZE)  # The kernel closes a file that comes anyway.
        except DescriptorsTruncated as error:
            protocol.receive_violation(str(error))
        except OSError:
            protocol.receive_end()
        else:
            if data is None:
                return
            if data:
                protocol.receive(data, fds)
            else:
                protocol.receive_end()
        if protocol.ended:
            self._readable.set_enabled(False)
        elif protocol.reader.missing:
            self._watchdog.wake()

    def _receive_with_files(self, room: memoryview | None) -> tuple[Buffer | None, Sequence[int]]:
        most = self.limits.max_fds_per_message
        if room is None:
            return self._socket.receive_with_fds(_READ_SIZE, most) or (None, ())
        received = self._socket.receive_into_with_fds(room, most)
        return (room[: received[0]], received[1]) if received else (None, ())

    def _dispatch(self) -> None:
        """Handle what is in the inbox, in order. A handler may pump the loop, so this nests."""
        inbox = self.protocol.inbox
        if len(inbox) > 1:
            self._thread.queue.post(self._dispatch)
        left = _MOST_AT_ONCE
        while inbox and left and not self.is_throttled:
            left -= 1
            kind, message, to, values, files = inbox.popleft()
            if kind is _ONE_WAY:
                self._serving.handle(message, values, files)
            elif kind is _RESPONSE:
                to.succeed(values[0] if message._arity == 1 else message._result(values))
            elif kind is _REQUEST:
                self._serve(message, to, values, files)
            else:
                self._dispatch_other(kind, message, to, values)
        if self.outbox.size:
            self.flush()

    def _serve(
        self, message: type[Request[Any]], to: ReplyTo, values: tuple[Any, ...], files: Sequence[File]
    ) -> None:
        if to in self.protocol.cancelled:
            for file in files:
                file.close()
            self.refuse(message, to, ErrorKind.CANCELLED, "the caller waits no longer")
            return
        result = self._serving.serve(message, to, values, files)
        if result is not ANSWERED_ELSEWHERE:
            # The last answer of a batch takes the others with it.
            others_follow = self.protocol.inbox or self.corks
            self._answer(message, to, result, self._send if others_follow else self._send_now)

    def _dispatch_other(self, kind: Kind, message: Any, to: Any, values: tuple[Any, ...]) -> None:
        if kind is Kind.FAILURE:
            to.fail(values[0])
        elif kind is Kind.REFUSAL:
            self._answer_failure(message, to, *values)
        elif kind is Kind.CANCEL:
            self._serving.cancel(to)
        elif kind is Kind.DESCRIBE:
            self._send_answer(self.protocol.description(message, to), [])
        elif kind is Kind.VIOLATION:
            self._owner.did_misbehave(str(values[0]))
        else:
            self.close("the peer disconnected")

    def drop(self) -> None:
        """Count a one-way message that is not handled."""
        self.protocol.dropped += 1

    def answer(self, message: type[Request[Any]], reply_to: ReplyTo, result: object) -> None:
        """Send a request's result, or that it cannot be sent."""
        self._answer(message, reply_to, result, self._send)

    def _answer(
        self,
        message: type[Request[Any]],
        reply_to: ReplyTo,
        result: object,
        send: Callable[[Payload, Files], None],
    ) -> None:
        if not self.is_open:
            return
        try:
            frames = self.protocol.answer(message, reply_to, result)
        except (EncodeError, MessageTooLarge) as error:
            logger.error("%s: the answer cannot be sent: %s", message._name, error)
            self.refuse(message, reply_to, ErrorKind.UNENCODABLE_ANSWER, str(error))
            return
        for frame, files in frames:
            send(frame, files)
        if self.outbox.size > self.limits.max_send_queue:
            self._on_unread_answers()

    def _on_unread_answers(self) -> None:
        """Serve no more requests of a peer that does not read its answers, unless we await one of its own."""
        self.flush()
        if self.outbox.size > self.limits.max_send_queue and not self.protocol.open_calls:
            self.is_throttled = True
            self._readable.set_enabled(False)

    def _send_answer(self, frame: Payload, files: Files) -> None:
        self._send(frame, files)
        if self.outbox.size > self.limits.max_send_queue:
            self._on_unread_answers()

    def refuse(self, message: type[Request[Any]], reply_to: ReplyTo, kind: ErrorKind, text: str) -> None:
        """Answer with an error; a bare LibIPC peer knows none, and is cut off rather than left waiting."""
        if isinstance(reply_to, int):
            self._answer_failure(message._magic, reply_to, kind, text)
        else:
            self._owner.did_misbehave(
                f"{message._name} has no answer, and LibIPC's protocol no word for that: {text}"
            )

    def _answer_failure(self, magic: int, serial: int, kind: ErrorKind, text: str) -> None:
        if self.is_open:
            self._send_answer(self.protocol.failure(magic, serial, kind, text), [])

    # What must not stand still

    def _watches(self) -> tuple[Watch, ...]:
        patience = self.limits.frame_timeout
        return (
            Watch(UNRESPONSIVE_AFTER, self._answers_progress, self._become_unresponsive),
            Watch(patience, self._frame_progress, self._on_late_frame),
            Watch(patience, self._drain_progress, self._on_stuck_outbox),
        )

    def _answers_progress(self) -> int | None:
        return self.protocol.reader.received if self.protocol.open_calls else None

    def _frame_progress(self) -> int | None:
        if self.is_throttled or not self.protocol.reader.missing:
            return None
        return self.protocol.messages_received

    def _drain_progress(self) -> int | None:
        return self.outbox.sent if self.outbox else None

    def _on_late_frame(self) -> None:
        self._owner.did_misbehave(
            f"a frame was not complete after {self.limits.frame_timeout} s (frame_timeout)"
        )

    def _on_stuck_outbox(self) -> None:
        """Nobody keeps for ever what is not fetched; who waits may keep what is within the bound."""
        if not self.waits_for_slow_peer or self.outbox.size > self.limits.max_send_queue:
            self._owner.did_misbehave(
                f"it reads nothing of the {self.outbox.size} bytes that wait for it (frame_timeout)"
            )

    def _become_unresponsive(self) -> None:
        if not self._is_unresponsive:
            self._is_unresponsive = True
            self._serving.tell("may_have_become_unresponsive")

    def _become_responsive(self) -> None:
        self._is_unresponsive = False
        self._serving.tell("did_become_responsive")

    # The end

    def close(self, reason: str, error: type[IPCError] = PeerDisconnected) -> None:
        """Let go of everything; open calls fail with `error`, and die() is called."""
        if not self.is_open:
            return
        self.is_open = False
        _unflushed.discard(self)
        self._readable.close()
        if self._writable is not None:
            self._writable.close()
        self._watchdog.stop()
        self.abandon()
        self._serving.close()
        calls = list(self.protocol.open_calls.values())
        self.protocol.open_calls.clear()
        for call in calls:
            if not call.abandoned:
                call.fail(error(f"{call.message._name}: {reason}"))
        self.when_closed()

    def abandon(self) -> None:
        """Let go of the socket and of what waits, without a word: all that a forked child does about its
        parent's connections."""
        self.is_open = False
        self._socket.close()
        self.outbox.clear()
        self.protocol.release()


def _deadline(timeout: float | None) -> int | None:
    return None if timeout is None else time.monotonic_ns() + int(timeout * 1e9)


def _seconds_until(deadline: int | None) -> float | None:
    return None if deadline is None else max(0.0, (deadline - time.monotonic_ns()) / 1e9)


def _timed_out(call: Call, timeout: float | None) -> IPCError:
    return CallTimeout(f"{call.message._name}: no answer within {timeout} s")


def _flush_at_exit() -> None:
    """Orderly exit sends what was posted, for a bounded time; the loop may be closed already."""
    deadline = _deadline(_FLUSH_AT_EXIT)
    for link in list(_unflushed):
        if link._thread.ident == get_ident():
            link.flush_without_loop(deadline)


def _abandon_the_parents() -> None:
    for link in list(_all):
        link.abandon()


atexit.register(_flush_at_exit)
forked.forget(_abandon_the_parents)
