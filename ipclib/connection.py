"""The driver: moves bytes and descriptors between a socket and the protocol, and events to handlers.

Owns a connection's socket, its notifiers, its outbox and its life and death. Knows nothing of how
values are encoded or calls are numbered; the two ends' differences are in connection_to_server.py and
connection_from_client.py.
"""

from __future__ import annotations

import atexit
import enum
import logging
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, ClassVar, TypeAlias, TypeVar

import attrs

from corelib import DescriptorsTruncated, EventLoop, LocalSocket, Notifier, PeerCredentials, Promise, WaitMode
from corelib.turn import interrupts
from corelib.turn.interrupts import calls_user_code
from ipclib.errors import (
    CallTimeout,
    EncodeError,
    ErrorKind,
    HandlerError,
    IPCError,
    MessageTooLarge,
    PeerDisconnected,
    ProtocolViolation,
    WrongThread,
)
from ipclib.limits import Limits
from ipclib.outbox import Outbox
from ipclib.protocol.message import Endpoint, Kind, Message, OneWay, Request
from ipclib.protocol.protocol import Call, Protocol, ReplyTo, Table, incoming_table
from ipclib.values.codecs import Files, Payload

logger = logging.getLogger("ipclib")

R = TypeVar("R")

Answer: TypeAlias = R | Promise[R]
"""What a handler may return: the output, or a Promise of it, so that others are served meanwhile."""

_READ_SIZE = 64 * 1024
_LARGEST_READ = 1024 * 1024
_FLUSH_AT_EXIT = 2.0
_DEFAULT_LIMITS = Limits()


class Wait(enum.Enum):
    """What else happens while a blocking call waits."""

    PUMP = enum.auto()
    """The loop is pumped: timers fire, other connections and this one's other messages are served."""
    BLOCK = enum.auto()
    """Nothing: only this socket is read and written; other messages are dispatched after the call."""


class Unhandled(Exception):
    """Raised by a generated stub's method that no subclass overrides."""

    def __init__(self, message: type[Message]) -> None:
        super().__init__(message._name)


class PromisedCall(Call):
    """A call whose answer settles a promise instead of ending a wait."""

    __slots__ = ("promise",)

    def __init__(self, message: type[Request[Any]], serial: int) -> None:
        super().__init__(message, serial)
        self.promise: Promise[Any] = Promise()

    def succeed(self, value: Any) -> None:
        super().succeed(value)
        self.promise.resolve(value)

    def fail(self, error: BaseException) -> None:
        super().fail(error)
        self.promise.reject(error)


@attrs.frozen
class Counters:
    """What a connection could not deliver, in messages."""

    dropped_posts: int
    """One-way messages of ours that found the connection closed, or the peer no longer reading."""
    dropped_messages: int
    """One-way messages of the peer's that are unknown here or have another signature."""


class Proxy:
    """The base of generated proxies: the three ways in which a message leaves."""

    def _call(
        self, message: type[Request[R]], values: tuple[object, ...], timeout: float | None, wait: Wait | None
    ) -> R:
        raise NotImplementedError

    def _call_async(self, message: type[Request[R]], values: tuple[object, ...]) -> Promise[R]:
        raise NotImplementedError

    def _post(self, message: type[OneWay], values: tuple[object, ...]) -> None:
        raise NotImplementedError


class Stub:
    """The base of generated stubs, whose methods are the handlers to override."""


class _Nesting(threading.local):
    depth = 0


_nesting = _Nesting()
_unflushed: weakref.WeakSet[Connection] = weakref.WeakSet()


class Connection(Proxy):
    """One end of a connection; generated classes add the messages.

    It belongs to the thread that made it, is served by that thread's event loop, and stays alive
    until the peer goes or shutdown() is called.
    """

    wait: Wait = Wait.PUMP
    """What blocking calls do that are not told otherwise."""
    _calls: ClassVar[type[Endpoint]] = Endpoint
    _serves: ClassVar[type[Endpoint]] = Endpoint
    _table: ClassVar[Table] = {}
    _receives_files: ClassVar[bool] = False

    def __init_subclass__(
        cls, *, calls: type[Endpoint] | None = None, serves: type[Endpoint] | None = None, **others: Any
    ) -> None:
        super().__init_subclass__(**others)
        if calls is not None and serves is not None:
            cls._calls = calls
            cls._serves = serves
            cls._table = incoming_table(calls, serves)
            cls._receives_files = any(message._holds_files for message in cls._table.values())

    def __init__(self, socket: LocalSocket, *, limits: Limits | None = None, trailers: bool = True) -> None:
        """Take over a connected socket. `trailers=False` writes bare LibIPC frames."""
        self._loop = EventLoop.current()
        self._thread = threading.get_ident()
        self._socket = socket
        self._limits = limits or _DEFAULT_LIMITS
        self._protocol = Protocol(self._calls, self._serves, self._table, self._limits, trailers=trailers)
        self._outbox = Outbox()
        self._peer = socket.peer_credentials()
        self._is_open = True
        self._peer_reads = True
        self._flush_is_due = False
        self._corks = 0
        self._is_throttled = False
        self._serving = 0
        self._dropped_posts = 0
        self._readable = Notifier(socket, Notifier.Type.READ, self._on_readable, reentrant=True)
        self._writable: Notifier | None = None

    # What a program sees

    @property
    def is_open(self) -> bool:
        """Whether calls can still be made."""
        return self._is_open

    @property
    def peer(self) -> PeerCredentials:
        """The peer's pid, uid and gid when it connected, as the kernel vouches for them (SO_PEERCRED)."""
        return self._peer

    @property
    def limits(self) -> Limits:
        """How much the peer may cost."""
        return self._limits

    @property
    def counters(self) -> Counters:
        """What was dropped so far."""
        return Counters(self._dropped_posts, self._protocol.dropped)

    def shutdown(self) -> None:
        """Close the connection after sending what the socket still takes.

        Open calls fail with PeerDisconnected, and die() is called. Harmless when closed already.
        """
        if self._is_open:
            self._flush()
            self._close("the connection was shut down")

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was posted has left, pumping the loop.

        False when that has not come about: `timeout` seconds are over, or the peer no longer reads.
        """
        self._flush()
        deadline = _deadline(timeout)
        while self._outbox and self._is_open:
            if deadline is not None and time.monotonic_ns() >= deadline:
                return False
            self._loop.pump(WaitMode.WAIT_FOR_EVENTS, deadline)
        return self._is_open and self._peer_reads

    @contextmanager
    def cork(self) -> Iterator[None]:
        """What is posted inside leaves together at the end, in as few system calls as possible."""
        self._corks += 1
        try:
            yield
        finally:
            self._corks -= 1
            if not self._corks:
                self._flush()

    def die(self) -> None:
        """Called once, after the connection is gone. Override it to clean up."""

    def did_misbehave(self, reason: str) -> None:
        """Drop a peer that breaks the rules: logged once, and the connection is closed at once."""
        if self._is_open:
            logger.warning("%s: dropped pid %d: %s", type(self).__qualname__, self._peer.pid, reason)
            self._close(reason, ProtocolViolation)

    @property
    def _is_busy(self) -> bool:
        return self._serving > 0 or bool(self._outbox)

    # Calling

    def _call(
        self, message: type[Request[R]], values: tuple[object, ...], timeout: float | None, wait: Wait | None
    ) -> R:
        self._check_usable(message)
        if _nesting.depth >= self._limits.max_nesting:
            raise RecursionError(
                f"{message._name}: {_nesting.depth} blocking calls wait on this thread already "
                f"(max_nesting); use async_{message._handler}()"
            )
        call, frame, files = self._protocol.request(message, values, Call)
        self._unthrottle()
        self._outbox.put(frame, files)
        self._flush()
        _nesting.depth += 1
        try:
            if (wait or self.wait) is Wait.PUMP:
                self._pump_until_settled(call, timeout)
            else:
                self._block_until_settled(call, timeout)
        finally:
            _nesting.depth -= 1
            if not call.settled:
                self._abandon(call)
        if call.error is not None:
            raise call.error
        value: R = call.value
        return value

    def _call_async(self, message: type[Request[R]], values: tuple[object, ...]) -> Promise[R]:
        self._check_thread(message)
        if not self._is_open:
            return Promise.rejected(PeerDisconnected(f"{message._name}: the connection is closed"))
        call, frame, files = self._protocol.request(message, values, PromisedCall)
        self._send_bounded(frame, files)
        promise: Promise[R] = call.promise
        return promise

    def _post(self, message: type[OneWay], values: tuple[object, ...]) -> None:
        self._check_thread(message)
        frame, files = self._protocol.one_way(message, values)
        if not self._is_open or not self._peer_reads:
            self._dropped_posts += 1
            return
        self._send_bounded(frame, files)

    def _check_thread(self, message: type[Message]) -> None:
        if threading.get_ident() != self._thread:
            raise WrongThread(
                f"{message._name}: this connection belongs to another thread; "
                "hand the work over with its loop's deferred_invoke()"
            )

    def _check_usable(self, message: type[Message]) -> None:
        self._check_thread(message)
        if not self._is_open:
            raise PeerDisconnected(f"{message._name}: the connection is closed")

    def _pump_until_settled(self, call: Call, timeout: float | None) -> None:
        pump = self._loop.pump
        if timeout is None:
            while not call.settled:
                pump()
            return
        deadline = time.monotonic_ns() + int(timeout * 1e9)
        while not call.settled:
            pump(WaitMode.WAIT_FOR_EVENTS, deadline)
            if not call.settled and time.monotonic_ns() >= deadline:
                raise _timed_out(call, timeout)

    def _block_until_settled(self, call: Call, timeout: float | None) -> None:
        """LibIPC's own rule: what else arrives stays in the inbox, and is dispatched after the call."""
        deadline = _deadline(timeout)
        inbox = self._protocol.inbox
        looked_at = 0
        try:
            while not self._settle_from_inbox(call, looked_at):
                looked_at = len(inbox)
                self._check_blocked(call, timeout, deadline)
                self._socket.wait(read=True, write=bool(self._outbox), timeout=_seconds_until(deadline))
                self._flush()
                self._read()
        finally:
            if inbox:
                self._loop.deferred_invoke(self._dispatch)

    def _settle_from_inbox(self, call: Call, looked_at: int) -> bool:
        """Take this call's answer out of the inbox, if it is behind the events that were looked at before."""
        inbox = self._protocol.inbox
        for place, event in enumerate(islice(inbox, looked_at, None), looked_at):
            if event[2] is call:
                del inbox[place]
                self._dispatch_event(*event)
                break
        return call.settled

    def _check_blocked(self, call: Call, timeout: float | None, deadline: int | None) -> None:
        """Raise what keeps a blocked call from ever being answered, or from being answered in time."""
        if self._protocol.ended:
            raise PeerDisconnected(f"{call.message._name}: the peer disconnected")
        if len(self._protocol.inbox) > self._limits.max_elements:
            raise ProtocolViolation(f"{call.message._name}: too many messages came before the answer")
        if deadline is not None and time.monotonic_ns() >= deadline:
            raise _timed_out(call, timeout)

    def _abandon(self, call: Call) -> None:
        try:
            cancel = self._protocol.abandon(call)
        except ProtocolViolation as violation:
            self.did_misbehave(str(violation))
            return
        if cancel is not None and self._is_open:
            self._send(cancel, [])

    # Sending

    def _send(self, frame: Payload, files: Files) -> None:
        """Queue a frame. It leaves at once outside a turn of the loop, else at the turn's end."""
        self._outbox.put(frame, files)
        if self._flush_is_due or self._corks:
            return
        if self._loop.in_turn:
            self._flush_is_due = True
            self._loop.at_turn_end(self._flush)
        else:
            self._flush()
            if interrupts.pending:
                interrupts.raise_pending()

    def _send_bounded(self, frame: Payload, files: Files) -> None:
        self._send(frame, files)
        if self._outbox.size > self._limits.max_send_queue:
            self._on_full_outbox()

    def _flush(self) -> None:
        self._flush_is_due = False
        if not self._outbox or not self._is_open:
            return
        try:
            done = self._outbox.write_to(self._socket)
        except (BrokenPipeError, ConnectionResetError):
            # The peer closed its end. What it sent before is still to be read, and the end of the
            # stream behind it closes the connection.
            self._peer_reads = False
            self._outbox.clear()
            self._unthrottle()
        except OSError as error:
            self._close(f"cannot send: {error.strerror}")
        else:
            if not done:
                self._watch_writable()

    def _flush_without_loop(self, deadline: int | None) -> None:
        while self._outbox and self._socket.wait_writable(_seconds_until(deadline)):
            self._flush()

    def _watch_writable(self) -> None:
        if self._writable is None:
            self._writable = Notifier(self._socket, Notifier.Type.WRITE, self._on_writable, reentrant=True)
        self._writable.set_enabled(True)
        _unflushed.add(self)

    def _on_writable(self) -> None:
        self._flush()
        if self._outbox or not self._is_open:
            return
        if self._writable is not None:
            self._writable.set_enabled(False)
        _unflushed.discard(self)
        self._unthrottle()

    def _throttle(self) -> None:
        """Serve no more requests of a peer that does not read its answers, unless we await one of its own."""
        if not self._protocol.open_calls:
            self._is_throttled = True
            self._readable.set_enabled(False)

    def _unthrottle(self) -> None:
        if self._is_throttled:
            self._is_throttled = False
            self._readable.set_enabled(not self._protocol.ended)
            self._loop.deferred_invoke(self._dispatch)

    def _on_full_outbox(self) -> None:
        """More was posted than may wait to leave: each end has its own answer."""
        raise NotImplementedError

    # Receiving

    def _on_readable(self) -> None:
        self._read()
        self._dispatch()

    def _read(self) -> None:
        """Read the socket once, into the inbox."""
        if not self._is_open:
            return
        try:
            received = self._receive(min(max(_READ_SIZE, self._protocol.missing), _LARGEST_READ))
        except DescriptorsTruncated as error:
            self._protocol.receive_violation(str(error))
        except OSError:
            self._protocol.receive_end()
        else:
            if received is None:
                return
            data, fds = received
            if data:
                self._protocol.receive(data, fds)
            else:
                self._protocol.receive_end()
        if self._protocol.ended:
            self._readable.set_enabled(False)

    def _receive(self, limit: int) -> tuple[bytes, Sequence[int]] | None:
        """Plain recv where no message can hold a file: the kernel then closes what comes anyway."""
        if self._receives_files:
            return self._socket.receive_with_fds(limit, self._limits.max_fds_per_message)
        data = self._socket.receive(limit)
        return None if data is None else (data, ())

    def _dispatch(self) -> None:
        """Handle what is in the inbox, in order. A handler may pump the loop, so this nests."""
        inbox = self._protocol.inbox
        if len(inbox) > 1:
            self._loop.deferred_invoke(self._dispatch)
        while inbox and not self._is_throttled:
            self._dispatch_event(*inbox.popleft())
        if self._outbox:
            self._flush()

    def _dispatch_event(
        self, kind: Kind, message: Any, to: Any, values: tuple[Any, ...], files: Files
    ) -> None:
        if kind is Kind.REQUEST:
            self._serve(message, to, values, files)
        elif kind is Kind.RESPONSE:
            to.succeed(message._result(values))
        elif kind is Kind.ONE_WAY:
            self._handle(message, values, files)
        elif kind is Kind.FAILURE:
            to.fail(values[0])
        elif kind is Kind.REFUSAL:
            self._answer_failure(message, to, *values)
        elif kind is Kind.VIOLATION:
            self.did_misbehave(str(values[0]))
        else:
            self._close("the peer disconnected")

    @calls_user_code
    def _invoke(self, handler: str, values: tuple[Any, ...]) -> Any:
        return getattr(self, handler)(*values)

    def _handle(self, message: type[OneWay], values: tuple[Any, ...], files: Files) -> None:
        try:
            self._invoke(message._handler, values)
        except Unhandled:
            _close_all(files)
            logger.debug("%s: no handler", message._name)
        except Exception:
            _close_all(files)
            logger.exception("%s: the handler raised", message._name)

    def _serve(
        self, message: type[Request[Any]], reply_to: ReplyTo, values: tuple[Any, ...], files: Files
    ) -> None:
        if reply_to in self._protocol.cancelled:
            _close_all(files)
            self._refuse(message, reply_to, ErrorKind.CANCELLED, "the caller waits no longer")
            return
        try:
            result = self._invoke(message._handler, values)
        except Exception as error:
            _close_all(files)
            self._answer_raised(message, reply_to, error)
            return
        if isinstance(result, Promise):
            self._answer_later(message, reply_to, result)
        else:
            self._answer(message, reply_to, result)

    def _answer(self, message: type[Request[Any]], reply_to: ReplyTo, result: object) -> None:
        if not self._is_open:
            return
        try:
            frames = self._protocol.answer(message, reply_to, result)
        except (EncodeError, MessageTooLarge) as error:
            logger.error("%s: the answer cannot be sent: %s", message._name, error)
            self._refuse(message, reply_to, ErrorKind.UNENCODABLE_ANSWER, str(error))
            return
        for frame, files in frames:
            self._send(frame, files)
        if self._outbox.size > self._limits.max_send_queue:
            self._flush()
            if self._outbox.size > self._limits.max_send_queue:
                self._throttle()

    def _answer_later(self, message: type[Request[Any]], reply_to: ReplyTo, promise: Promise[Any]) -> None:
        self._serving += 1

        def resolved(result: object) -> None:
            self._serving -= 1
            self._answer(message, reply_to, result)

        def rejected(error: BaseException) -> None:
            self._serving -= 1
            self._answer_raised(message, reply_to, error)

        promise.when_resolved(resolved)
        promise.when_rejected(rejected)

    def _answer_raised(self, message: type[Request[Any]], reply_to: ReplyTo, error: BaseException) -> None:
        if isinstance(error, Unhandled):
            text = f"{message._name} has no handler here"
            self._refuse(message, reply_to, ErrorKind.UNKNOWN_MESSAGE, text)
        elif isinstance(error, HandlerError):
            self._refuse(message, reply_to, ErrorKind.HANDLER_RAISED, error.text)
        else:
            logger.error("%s: the handler raised", message._name, exc_info=error)
            self._refuse(message, reply_to, ErrorKind.HANDLER_RAISED, type(error).__name__)

    def _refuse(self, message: type[Request[Any]], reply_to: ReplyTo, kind: ErrorKind, text: str) -> None:
        """Answer with an error; a bare LibIPC peer knows none, and is cut off rather than left waiting."""
        if isinstance(reply_to, int):
            self._answer_failure(message._magic, reply_to, kind, text)
        else:
            self.did_misbehave(
                f"{message._name} has no answer, and LibIPC's protocol no word for that: {text}"
            )

    def _answer_failure(self, magic: int, serial: int, kind: ErrorKind, text: str) -> None:
        if self._is_open:
            self._send(self._protocol.failure(magic, serial, kind, text), [])

    # The end

    def _close(self, reason: str, error: type[IPCError] = PeerDisconnected) -> None:
        """Let go of everything; open calls fail with `error`, and die() is called."""
        if not self._is_open:
            return
        self._is_open = False
        _unflushed.discard(self)
        self._readable.close()
        if self._writable is not None:
            self._writable.close()
        self._socket.close()
        self._outbox.clear()
        self._protocol.release()
        calls = list(self._protocol.open_calls.values())
        self._protocol.open_calls.clear()
        for call in calls:
            if not call.abandoned:
                call.fail(error(f"{call.message._name}: {reason}"))
        self._closed()

    def _closed(self) -> None:
        try:
            self._invoke("die", ())
        except Exception:
            logger.exception("%s.die() raised", type(self).__qualname__)


def _close_all(files: Files) -> None:
    for file in files:
        file.close()


def _deadline(timeout: float | None) -> int | None:
    return None if timeout is None else time.monotonic_ns() + int(timeout * 1e9)


def _seconds_until(deadline: int | None) -> float | None:
    return None if deadline is None else max(0.0, (deadline - time.monotonic_ns()) / 1e9)


def _timed_out(call: Call, timeout: float | None) -> IPCError:
    return CallTimeout(f"{call.message._name}: no answer within {timeout} s")


def _flush_at_exit() -> None:
    """Orderly exit sends what was posted, for a bounded time; the loop may be closed already."""
    deadline = _deadline(_FLUSH_AT_EXIT)
    for connection in list(_unflushed):
        if connection._thread == threading.get_ident():
            connection._flush_without_loop(deadline)


atexit.register(_flush_at_exit)
