"""Owns the calls of handlers, and the replies: each request gets exactly one.
Must not know sockets, or how frames are received.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import Any, Protocol, TypeAlias, TypeVar

from corelib import NoEventLoop, PeerCredentials, Promise, run_async
from corelib.turn import ThreadLoop, calls_user_code, current_thread_loop
from ipclib.connection.deferred import UNREAD, Deferred, OneWayReply, close_files
from ipclib.connection.handlers import Unhandled, advice_once, failure_of
from ipclib.connection.nesting import nesting_of_thread
from ipclib.connection.observing import Observed
from ipclib.connection.peer_log import log_about, traceback_of
from ipclib.connection.sender import Sender
from ipclib.errors import ErrorKind, IPCError, failure_text
from ipclib.protocol import wire
from ipclib.protocol.bare_replies import BareReply, ReplyTo
from ipclib.protocol.conversation import Conversation
from ipclib.protocol.events import DescriptionAsked, RequestRefused
from ipclib.protocol.message import MessageType
from ipclib.rate import Rate, TokenBucket
from ipclib.showing import text_shown
from ipclib.values.file import File

logger = logging.getLogger("ipclib")

R = TypeVar("R")

Answer: TypeAlias = R | Promise[R] | Coroutine[Any, Any, R]
"""What a handler may return: the output, a Promise of it, or the coroutine of an `async def`. Other messages
are handled until the promise or the coroutine has its result."""

_LATER = (Promise, CoroutineType)


# Answers of handlers that had begun may fill Limits.max_send_queue so many times.
_TIMES_FOR_ANSWERS = 2
# Errors of kind REFUSED that may wait for a peer that does not read.
_MOST_REFUSALS = 1024


class Owner(Protocol):
    """A connection, as its Serving sees it. It also has a method for each message."""

    def did_misbehave(self, reason: str) -> None:
        """Drop a peer that breaks the rules."""


class ServingLink(Protocol):
    """A link, as replies see it."""

    thread: ThreadLoop
    conversation: Conversation
    sender: Sender
    peer: PeerCredentials
    sends_tracebacks: bool

    def look_closer(self) -> None:
        """Have each message that comes looked at before its handler is called."""

    def throttle_if_full(self) -> None:
        """Stop serving a peer that does not read its answers."""


class Reply:
    """The one answer to a request: a result or an error, whatever its handler does.

    The first call of one of its methods answers; later calls have no effect.
    """

    __slots__ = ("_is_answered", "_link", "_owner", "files", "is_late", "message", "serial", "to")

    def __init__(
        self, link: ServingLink, owner: Owner, message: MessageType, to: ReplyTo, files: Sequence[File]
    ) -> None:
        self._link = link
        self._owner = owner
        self._is_answered = False
        self.message = message
        self.to = to
        self.serial = to if isinstance(to, int) else to.serial
        """The serial of the request; 0 if it was bare."""
        self.files = files
        """The Files that came with the request. They are closed if its handler fails."""
        self.is_late = False
        """True if the handler was deferred, so that the inbox went on before this answer."""

    @property
    def key(self) -> ReplyTo:
        """A key that differs from those of all other requests that are not answered."""
        return self.serial or self.to

    def result(self, value: object) -> None:
        """Answer with what the handler returned, or with an error if that cannot be sent."""
        link = self._link
        conversation = link.conversation
        if self._is_answered or conversation.is_closed:
            return
        sender = link.sender
        try:
            frames = conversation.answer(self.message, self.to, value)
        except BaseException as error:
            self._not_sent(error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return
        self._is_answered = True
        # The answer to the last request in the inbox leaves at once, with those that were queued before it.
        send = sender.send if self.is_late or conversation.inbox or sender.corks else sender.send_now
        for frame, files in frames:
            send(frame, files)
        if sender.size > sender.limit:
            link.throttle_if_full()

    def refuse(self, kind: ErrorKind, text: str, traceback: str = "") -> None:
        """Answer with an error. A bare peer knows no error frames: it is dropped, and does not wait."""
        if self._is_answered:
            return
        self._is_answered = True
        close_files(self.files)
        if self._link.conversation.is_closed:
            return
        if self.serial:
            send_failure(self._link, self.message.magic, self.serial, kind, text, traceback)
            if isinstance(self.to, BareReply):
                for frame, files in self._link.conversation.bare_replies.drop(self.message, self.to):
                    self._link.sender.send(frame, files)
        else:
            self._owner.did_misbehave(
                f"{self.message.name} failed, and a bare peer knows no error frames: {text}"
            )

    def raised(self, error: BaseException) -> None:
        """Answer with what the handler raised."""
        kind, text = failure_of(error, self.message)
        if kind is None:
            log_about(
                self._link.thread,
                self._link.peer.pid,
                logging.ERROR,
                "%s: the handler raised",
                self.message.name,
                error=error,
            )
        self.refuse(kind or ErrorKind.HANDLER_RAISED, text, self._traceback(error))

    def abandon(self) -> None:
        """Send no answer, because the connection is closed."""
        self._is_answered = True
        close_files(self.files)

    def _not_sent(self, error: BaseException) -> None:
        """Answer that the result cannot be sent: it does not fit, or its own code raised."""
        is_ours = isinstance(error, IPCError)
        log_about(
            self._link.thread,
            self._link.peer.pid,
            logging.ERROR,
            "%s: the answer cannot be sent: %s",
            self.message.name,
            text_shown(error),
            error=None if is_ours else error,
        )
        text = text_shown(error) if is_ours else f"its encoding raised {type(error).__name__}"
        self.refuse(ErrorKind.UNENCODABLE_ANSWER, text, self._traceback(error))

    def _traceback(self, error: BaseException) -> str:
        """The traceback that the caller gets: none, unless it is of this user and somebody is debugging."""
        link = self._link
        if link.peer.uid != os.geteuid():
            return ""
        return traceback_of(error) if link.sends_tracebacks or os.environ.get("IPCLIB_DEBUG") == "1" else ""


def send_failure(
    link: ServingLink, magic: int, serial: int, kind: ErrorKind, text: str, traceback: str = ""
) -> None:
    """Answer a request with an error frame, whose text is shortened to what fits."""
    most = wire.longest_error_text(link.conversation.limits.max_message_size)
    link.sender.send(wire.pack_failure(magic, serial, kind, failure_text(text, traceback, most)), [])
    link.throttle_if_full()


class Serving:
    """Calls the handlers of one connection, and keeps the replies of those that have not finished."""

    __slots__ = (
        "_buckets",
        "_conversation",
        "_deferred",
        "_link",
        "_nesting",
        "_now_ns",
        "_owner",
        "_refusals",
        "_warned",
        "is_guarded",
        "refused",
        "thread",
    )

    def __init__(self, owner: Any, link: ServingLink, rate: Rate | tuple[Rate, ...] | None) -> None:
        """`owner` is a connection, which has a method for each message that is served."""
        self._owner = owner
        self._link = link
        self._conversation = link.conversation
        self._now_ns = link.thread.now_ns
        self._nesting = nesting_of_thread()
        self._buckets = _buckets(rate, self._now_ns())
        self.is_guarded = bool(self._buckets)
        """Whether each message is looked at before its handler is called."""
        self._deferred: dict[object, Deferred] = {}
        """Handlers that have not finished, by the request or one-way message."""
        self._refusals = 0
        """Requests in a row that were refused because the peer reads nothing."""
        self._warned: frozenset[str] = frozenset()
        """Names of the one-way messages whose other signature was logged."""
        self.thread = link.thread
        self.refused = 0
        """Requests that were refused because of a limit."""

    @property
    def is_busy(self) -> bool:
        """Whether any handler has not finished."""
        return bool(self._deferred)

    @calls_user_code
    def handle(self, message: MessageType, values: tuple[Any, ...], files: Sequence[File]) -> None:
        """Call the handler of a one-way message."""
        if self.is_guarded and self._excess(message.name) is not None:
            close_files(files)
            self._conversation.dropped += 1
            return
        try:
            owner = self._owner if self.thread.instruments is None else Observed(self._owner, message)
            result = getattr(owner, message.handler)(*values)
            if result is not None and isinstance(result, _LATER):
                self.defer(OneWayReply(self._link, message, files), result)
        except BaseException as error:
            self.one_way_raised(message, files, error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise

    def one_way_raised(self, message: MessageType, files: Sequence[File], error: BaseException) -> None:
        """Log what the handler of a one-way message raised, or count the message if it has none."""
        close_files(files)
        if isinstance(error, Unhandled) and error.message is message:
            self._unhandled(message)
        else:
            OneWayReply(self._link, message, files).raised(error)

    @calls_user_code
    def serve(
        self, message: MessageType, to: ReplyTo, values: tuple[Any, ...], files: Sequence[File]
    ) -> None:
        """Call the handler of a request. Its answer is sent now, or after the handler has finished."""
        reply = self.reply(message, to, files)
        if reply.serial in self._conversation.cancelled:
            reply.refuse(ErrorKind.CANCELLED, "the caller no longer waits")
            return
        if self.is_guarded and (excess := self._excess(message.name) or self._pressure()) is not None:
            self._refuse(reply, excess)
            return
        try:
            owner = self._owner if self.thread.instruments is None else Observed(self._owner, message)
            result = getattr(owner, message.handler)(*values)
            if isinstance(result, _LATER):
                self.defer(reply, result)
                return
        except BaseException as error:
            reply.raised(error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            reply.result(result)

    def refuse_unknown(self, event: RequestRefused) -> None:
        """Answer a request that cannot be served; a one-way message, which is dropped, is logged once."""
        kind, text = event.kind, event.text
        excess = None
        if self.is_guarded:
            excess = self._excess(event.name) or (self._pressure() if event.serial else None)
        if event.serial:
            if excess is not None:
                self.refused += 1
                kind, text = ErrorKind.REFUSED, excess
            send_failure(self._link, event.magic, event.serial, kind, text)
        elif event.name and event.name not in self._warned:
            self._warned |= {event.name}
            is_other = event.kind is ErrorKind.SCHEMA_MISMATCH
            text = (
                f"{event.name}: dropped, its signature is not ours" if is_other else f"dropped: {event.text}"
            )
            self._log(logging.WARNING, text)

    def describe(self, event: DescriptionAsked) -> None:
        """Answer a Describe frame."""
        if self.is_guarded and (excess := self._excess("") or self._pressure()) is not None:
            self.refused += 1
            send_failure(self._link, event.magic, event.serial, ErrorKind.REFUSED, excess)
            return
        frame = self._conversation.description(event.magic, event.serial)
        largest = self._conversation.limits.max_message_size
        if wire.size_of(frame) > largest:
            text = f"the interface takes more than {largest} bytes (max_message_size)"
            send_failure(self._link, event.magic, event.serial, ErrorKind.REFUSED, text)
            return
        self._link.sender.send(frame, [])
        self._link.throttle_if_full()

    def cancel(self, serial: int) -> None:
        """Cancel the handler of a request whose caller no longer waits. Its outcome is still sent.

        A Cancel frame that has something to cancel is not counted by Limits.rate: its request was.
        """
        was_waiting = serial in self._conversation.cancelled
        self._conversation.cancelled.discard(serial)
        deferred = self._deferred.get(serial)
        if deferred is not None and not deferred.is_withdrawn:
            deferred.withdraw()
        elif self.is_guarded and not was_waiting:
            self._excess("")

    def close(self) -> None:
        """Cancel all handlers that have not finished, and send no answers."""
        deferred, self._deferred = self._deferred, {}
        for each in deferred.values():
            each.reply.abandon()
            each.withdraw()

    def forget(self, deferred: Deferred) -> None:
        """Forget a handler that has finished."""
        if self._deferred.get(deferred.reply.key) is deferred:
            del self._deferred[deferred.reply.key]

    def is_full(self) -> bool:
        """Whether so much waits for a peer that does not read that its answers are refused."""
        waiting = self._link.sender.size + self._conversation.bare_replies.size
        return waiting > _TIMES_FOR_ANSWERS * self._link.sender.limit

    def guard(self) -> None:
        """Look at each request: much waits for the peer, or on the stack, and it is served all the same."""
        self.is_guarded = True
        self._link.look_closer()

    def reply(self, message: MessageType, to: ReplyTo, files: Sequence[File]) -> Reply:
        """The reply to a request that is being handled."""
        return Reply(self._link, self._owner, message, to, files)

    def one_way_reply(self, message: MessageType) -> OneWayReply:
        """What stands for the reply to a one-way message without Files."""
        return OneWayReply(self._link, message, ())

    def defer(self, reply: Reply | OneWayReply, result: Any) -> None:
        """Keep the reply until the handler has finished; too many of one peer are stopped at once."""
        if len(self._deferred) >= self._conversation.limits.max_running_handlers:
            if isinstance(result, Promise):
                result.withdraw(*_listen_in_vain(result))
            else:
                result.close()  # It has not begun.
            if isinstance(reply, OneWayReply):
                close_files(reply.files)
                self._conversation.dropped += 1
            else:
                self._refuse(reply, "too many handlers of this peer run (max_running_handlers)")
            return
        promise = result if isinstance(result, Promise) else run_async(result)
        deferred = Deferred(reply, promise, self)
        reply.is_late = True
        if isinstance(reply, Reply) and isinstance(reply.to, BareReply):
            self.guard()  # Answers may have to wait for this one.
        self._deferred[reply.key] = deferred
        promise.listen(deferred.settle_with, deferred.fail_with)

    def _refuse(self, reply: Reply, text: str) -> None:
        self.refused += 1
        reply.refuse(ErrorKind.REFUSED, text)

    def _excess(self, name: str) -> str | None:
        """The rate that a message of this name is over, as a text; None if none."""
        now = self._now_ns()
        short = name.partition(".")[2]
        for bucket in self._buckets:
            if bucket.rate.message in (None, short) and not bucket.take(now):
                if bucket.rate.disconnect:
                    self._owner.did_misbehave(f"{name or 'a control frame'} comes too often (Limits.rate)")
                return "this request comes too often (Limits.rate)"
        return None

    def _pressure(self) -> str | None:
        """The reason to refuse requests that is no rate: a crowded stack, or answers that nobody reads."""
        if self._nesting.is_crowded_by(self._link, self._conversation.limits.max_nesting):
            return "too many handlers of this peer wait on the stack (max_nesting)"
        if not self.is_full():
            self._refusals = 0
            if not self._buckets and not self._deferred and self._link.sender.size <= self._link.sender.limit:
                self.is_guarded = False
            return None
        self._refusals += 1
        size = self._link.sender.size
        if self._refusals > _MOST_REFUSALS:
            self._owner.did_misbehave(f"it does not read: {size} bytes wait for it (max_send_queue)")
        return UNREAD

    def _unhandled(self, message: MessageType) -> None:
        """Count a one-way message that nobody handles; warn of it once."""
        self._conversation.dropped += 1
        advice = advice_once(type(self._owner), message)
        if advice is not None:
            self._log(logging.WARNING, advice)

    def _log(self, level: int, text: str) -> None:
        log_about(self.thread, self._link.peer.pid, level, "%s", text)


@calls_user_code
def call_hook(hook: Callable[[], object]) -> None:
    """Call a hook of a connection; an exception that it raises is logged."""
    try:
        hook()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        name = getattr(hook, "__qualname__", hook)
        try:
            log_about(current_thread_loop(), 0, logging.ERROR, "%s() raised", name, error=error)
        except NoEventLoop:
            logger.exception("%s() raised", name)


def _listen_in_vain(promise: Promise[Any]) -> tuple[Callable[[Any], None], Callable[[BaseException], None]]:
    """Listen to a promise, so that withdrawing cancels it if nobody else listens."""

    def ignore(_outcome: object) -> None:
        pass

    promise.listen(ignore, ignore)
    return ignore, ignore


def _buckets(rate: Rate | tuple[Rate, ...] | None, now: int) -> tuple[TokenBucket, ...]:
    if rate is None:
        return ()
    return tuple(TokenBucket(each, now) for each in (rate if isinstance(rate, tuple) else (rate,)))
