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
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from types import CoroutineType
from typing import Any, ClassVar, TypeAlias, TypeVar

import attrs

from corelib import (
    Cancelled,
    DescriptorsTruncated,
    EventLoop,
    LocalSocket,
    Notifier,
    PeerCredentials,
    Promise,
    WaitMode,
    run_async,
)
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
from ipclib.rate import Rate, TokenBucket
from ipclib.values.codecs import Files, Payload
from ipclib.watchdog import Watch, Watchdog

logger = logging.getLogger("ipclib")

R = TypeVar("R")

Answer: TypeAlias = R | Promise[R] | Coroutine[Any, Any, R]
"""What a handler may return: the output, or a Promise of it, or what an `async def` makes, so that others are
served meanwhile."""

UNRESPONSIVE_AFTER = 3.0
"""Seconds without a byte from a peer that owes an answer (LibIPC's figure)."""

_LATER = (Promise, CoroutineType)
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
    """What a connection has carried, refused and lost, since it was made."""

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
        self._limits = limits or _DEFAULT_LIMITS
        self._trailers = trailers
        self._corks = 0
        self._dropped_posts = 0
        self._refused = 0
        self._attach(socket)

    def _attach(self, socket: LocalSocket) -> None:
        """Begin to talk over a socket, with nothing left of one before."""
        self._socket = socket
        self._protocol = Protocol(
            self._calls, self._serves, self._table, self._limits, trailers=self._trailers
        )
        self._outbox = Outbox()
        self._peer = socket.peer_credentials()
        self._is_open = True
        self._peer_reads = True
        self._flush_is_due = False
        self._is_throttled = False
        self._is_unresponsive = False
        #: Requests whose handlers have not finished, by whom the answer goes to.
        self._deferred: dict[ReplyTo, Promise[Any]] = {}
        self._buckets = _buckets(self._limits.rate)
        self._watchdog: Watchdog | None = None
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
        """What it has carried, refused and lost so far."""
        protocol, outbox = self._protocol, self._outbox
        return Counters(
            messages_received=protocol.messages_received,
            messages_sent=outbox.frames,
            bytes_received=protocol.bytes_received,
            bytes_sent=outbox.sent,
            fds_received=protocol.fds_received,
            fds_sent=outbox.fds_sent,
            refused=self._refused,
            dropped_posts=self._dropped_posts,
            dropped_messages=protocol.dropped,
            queue_high_water=outbox.high_water,
        )

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

    def describe(self, timeout: float | None = None) -> str:
        """The interface of the endpoint that is called, as the peer has it: canonical `.ipc` text.

        Waits as a call does. A peer that is LibIPC itself never answers: give a timeout.
        """
        self._check_usable("describe")
        call, frame = self._protocol.describe(Call)
        text: str = self._wait_for_answer(call, frame, [], timeout, None)
        return text

    def die(self) -> None:
        """Called once, after the connection is gone. Override it to clean up."""

    def may_have_become_unresponsive(self) -> None:
        """Called when the peer owes an answer and has sent nothing for 3 seconds. Override it."""

    def did_become_responsive(self) -> None:
        """Called when such a peer sends something again. Override it."""

    def did_misbehave(self, reason: str) -> None:
        """Drop a peer that breaks the rules: logged once, and the connection is closed at once."""
        if self._is_open:
            logger.warning("%s: dropped pid %d: %s", type(self).__qualname__, self._peer.pid, reason)
            self._close(reason, ProtocolViolation)

    @property
    def _is_busy(self) -> bool:
        return bool(self._deferred) or bool(self._outbox)

    # Calling

    def _call(
        self, message: type[Request[R]], values: tuple[object, ...], timeout: float | None, wait: Wait | None
    ) -> R:
        self._check_usable(message._name)
        if _nesting.depth >= self._limits.max_nesting:
            raise RecursionError(
                f"{message._name}: {_nesting.depth} blocking calls wait on this thread already "
                f"(max_nesting); use async_{message._handler}()"
            )
        call, frame, files = self._protocol.request(message, values, Call)
        value: R = self._wait_for_answer(call, frame, files, timeout, wait)
        return value

    def _wait_for_answer(
        self, call: Call, frame: Payload, files: Files, timeout: float | None, wait: Wait | None
    ) -> Any:
        self._unthrottle()
        self._watch()
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
        return call.value

    def _call_async(self, message: type[Request[R]], values: tuple[object, ...]) -> Promise[R]:
        self._check_thread(message._name)
        if not self._is_open:
            return Promise.rejected(PeerDisconnected(f"{message._name}: the connection is closed"))
        call, frame, files = self._protocol.request(message, values, PromisedCall)
        promise: Promise[R] = call.promise
        promise.on_cancel = partial(self._abandon, call)
        self._watch()
        self._send_bounded(frame, files)
        return promise

    def _post(self, message: type[OneWay], values: tuple[object, ...]) -> None:
        self._check_thread(message._name)
        frame, files = self._protocol.one_way(message, values)
        if not self._is_open or not self._peer_reads:
            self._dropped_posts += 1
            _close_all(files)
            return
        self._send_bounded(frame, files)

    def _check_thread(self, name: str) -> None:
        if threading.get_ident() != self._thread:
            raise WrongThread(
                f"{name}: this connection belongs to another thread; "
                "hand the work over with its loop's deferred_invoke()"
            )

    def _check_usable(self, name: str) -> None:
        self._check_thread(name)
        if not self._is_open:
            raise PeerDisconnected(f"{name}: the connection is closed")

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
        if self._outbox and self._is_open and not self._send_out():
            self._watch_writable()

    def _send_out(self) -> bool:
        """Hand the socket what it takes; False when it will take the rest later."""
        try:
            return self._outbox.write_to(self._socket)
        except (BrokenPipeError, ConnectionResetError):
            # The peer closed its end. What it sent before is still to be read, and the end of the
            # stream behind it closes the connection.
            self._peer_reads = False
            self._outbox.clear()
            self._unthrottle()
        except OSError as error:
            self._close(f"cannot send: {error.strerror}")
        return True

    def _flush_without_loop(self, deadline: int | None) -> None:
        while self._outbox and self._socket.wait_writable(_seconds_until(deadline)):
            self._send_out()

    def _watch_writable(self) -> None:
        if self._writable is None:
            self._writable = Notifier(self._socket, Notifier.Type.WRITE, self._on_writable, reentrant=True)
        self._writable.set_enabled(True)
        _unflushed.add(self)
        self._watch()

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
        if self._is_unresponsive:
            self._become_responsive()
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
        elif self._protocol.missing:
            self._watch()

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
        elif kind is Kind.CANCEL:
            self._cancel(to)
        elif kind is Kind.DESCRIBE:
            self._send_answer(self._protocol.description(message, to), [])
        elif kind is Kind.VIOLATION:
            self.did_misbehave(str(values[0]))
        else:
            self._close("the peer disconnected")

    @calls_user_code
    def _invoke(self, handler: str, values: tuple[Any, ...]) -> Any:
        return getattr(self, handler)(*values)

    def _handle(self, message: type[OneWay], values: tuple[Any, ...], files: Files) -> None:
        if self._buckets is not None and not self._admits(message):
            _close_all(files)
            self._protocol.dropped += 1
            return
        try:
            result = self._invoke(message._handler, values)
        except Unhandled:
            _close_all(files)
            logger.debug("%s: no handler", message._name)
        except Exception:
            _close_all(files)
            logger.exception("%s: the handler raised", message._name)
        else:
            if isinstance(result, _LATER):
                _promise_of(result).when_rejected(partial(_one_way_failed, message, files))

    def _serve(
        self, message: type[Request[Any]], reply_to: ReplyTo, values: tuple[Any, ...], files: Files
    ) -> None:
        if reply_to in self._protocol.cancelled:
            _close_all(files)
            self._refuse(message, reply_to, ErrorKind.CANCELLED, "the caller waits no longer")
            return
        if self._buckets is not None and not self._admits(message):
            _close_all(files)
            self._refused += 1
            self._refuse(message, reply_to, ErrorKind.REFUSED, "it comes too often (Limits.rate)")
            return
        try:
            result = self._invoke(message._handler, values)
        except Exception as error:
            _close_all(files)
            self._answer_raised(message, reply_to, error)
            return
        if isinstance(result, _LATER):
            self._answer_later(message, reply_to, _promise_of(result), files)
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
            self._send_answer(frame, files)

    def _send_answer(self, frame: Payload, files: Files) -> None:
        self._send(frame, files)
        if self._outbox.size > self._limits.max_send_queue:
            self._flush()
            if self._outbox.size > self._limits.max_send_queue:
                self._throttle()

    def _answer_later(
        self, message: type[Request[Any]], reply_to: ReplyTo, promise: Promise[Any], files: Files
    ) -> None:
        deferred = self._deferred

        def resolved(result: object) -> None:
            deferred.pop(reply_to, None)
            self._answer(message, reply_to, result)

        def rejected(error: BaseException) -> None:
            deferred.pop(reply_to, None)
            _close_all(files)
            self._answer_raised(message, reply_to, error)

        deferred[reply_to] = promise
        promise.listen(resolved, rejected)

    def _cancel(self, serial: int) -> None:
        """The caller gave up. Who serves the call hears of it, and its end is answered all the same."""
        promise = self._deferred.get(serial)
        if promise is not None:
            promise.cancel()

    def _answer_raised(self, message: type[Request[Any]], reply_to: ReplyTo, error: BaseException) -> None:
        if isinstance(error, Unhandled):
            text = f"{message._name} has no handler here"
            self._refuse(message, reply_to, ErrorKind.UNKNOWN_MESSAGE, text)
        elif isinstance(error, HandlerError):
            self._refuse(message, reply_to, ErrorKind.HANDLER_RAISED, error.text)
        elif isinstance(error, Cancelled):
            self._refuse(message, reply_to, ErrorKind.CANCELLED, "the handler was cancelled")
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
            self._send_answer(self._protocol.failure(magic, serial, kind, text), [])

    def _admits(self, message: type[Message]) -> bool:
        """Whether the peer's rates allow a message now."""
        now = time.monotonic_ns()
        name = message._name.partition(".")[2]
        for bucket in self._buckets or ():
            if bucket.rate.message in (None, name) and not bucket.take(now):
                if bucket.rate.disconnect:
                    self.did_misbehave(f"{message._name} comes too often (Limits.rate)")
                return False
        return True

    # What must not stand still

    def _watch(self) -> None:
        """Something begins that must not stand still."""
        if self._watchdog is None:
            patience = self._limits.frame_timeout
            self._watchdog = Watchdog(
                Watch(UNRESPONSIVE_AFTER, self._answers_progress, self._become_unresponsive),
                Watch(patience, self._frame_progress, self._on_late_frame),
                Watch(patience, self._drain_progress, self._on_stuck_outbox),
            )
        if not self._watchdog.is_awake:
            self._watchdog.wake()

    def _answers_progress(self) -> int | None:
        return self._protocol.bytes_received if self._protocol.open_calls else None

    def _frame_progress(self) -> int | None:
        if self._is_throttled or not self._protocol.missing:
            return None
        return self._protocol.messages_received

    def _drain_progress(self) -> int | None:
        return self._outbox.sent if self._outbox else None

    def _on_late_frame(self) -> None:
        self.did_misbehave(f"a frame was not complete after {self._limits.frame_timeout} s (frame_timeout)")

    def _on_stuck_outbox(self) -> None:
        """The peer has read nothing of what waits for it for frame_timeout."""

    def _become_unresponsive(self) -> None:
        if not self._is_unresponsive:
            self._is_unresponsive = True
            self._tell("may_have_become_unresponsive")

    def _become_responsive(self) -> None:
        self._is_unresponsive = False
        self._tell("did_become_responsive")

    def _tell(self, hook: str) -> None:
        try:
            self._invoke(hook, ())
        except Exception:
            logger.exception("%s.%s() raised", type(self).__qualname__, hook)

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
        if self._watchdog is not None:
            self._watchdog.stop()
        self._socket.close()
        self._outbox.clear()
        self._protocol.release()
        for promise in list(self._deferred.values()):
            promise.cancel()
        calls = list(self._protocol.open_calls.values())
        self._protocol.open_calls.clear()
        for call in calls:
            if not call.abandoned:
                call.fail(error(f"{call.message._name}: {reason}"))
        self._closed()

    def _closed(self) -> None:
        """What comes of it."""
        self._tell("die")


def _close_all(files: Files) -> None:
    for file in files:
        file.close()


def _promise_of(result: Any) -> Promise[Any]:
    return result if isinstance(result, Promise) else run_async(result)


def _one_way_failed(message: type[OneWay], files: Files, error: BaseException) -> None:
    _close_all(files)
    if not isinstance(error, Cancelled):
        logger.error("%s: the handler raised", message._name, exc_info=error)


def _buckets(rate: Rate | tuple[Rate, ...] | None) -> tuple[TokenBucket, ...] | None:
    if rate is None:
        return None
    now = time.monotonic_ns()
    return tuple(TokenBucket(each, now) for each in (rate if isinstance(rate, tuple) else (rate,)))


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
