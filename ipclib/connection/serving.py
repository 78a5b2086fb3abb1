"""Owns the calls of handlers, and the replies: each request gets exactly one.
Must not know sockets, or how frames are received.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from types import CoroutineType
from typing import Any, Protocol, TypeAlias, TypeVar

from corelib import Cancelled, EventLoopClosed, Promise, run_async
from corelib.turn import ThreadLoop, calls_user_code
from ipclib.connection.observing import Observed
from ipclib.connection.sender import Sender
from ipclib.errors import EncodeError, ErrorKind, HandlerError, MessageTooLarge
from ipclib.protocol import wire
from ipclib.protocol.bare_replies import BareReply, ReplyTo
from ipclib.protocol.conversation import Conversation
from ipclib.protocol.message import Message, MessageType
from ipclib.rate import Rate, TokenBucket
from ipclib.values.file import File

logger = logging.getLogger("ipclib")

R = TypeVar("R")

Answer: TypeAlias = R | Promise[R] | Coroutine[Any, Any, R]
"""What a handler may return: the output, a Promise of it, or the coroutine of an `async def`. Other messages
are handled until the promise or the coroutine has its result."""

_LATER = (Promise, CoroutineType)


class Unhandled(Exception):
    """Raised by a method of a generated stub that no subclass overrides."""

    def __init__(self, message: type[Message]) -> None:
        super().__init__(message.__ipc__.name)


class Owner(Protocol):
    """A connection, as its Serving sees it. It also has a method for each message."""

    def did_misbehave(self, reason: str) -> None:
        """Drop a peer that breaks the rules."""


class ServingLink(Protocol):
    """A link, as replies see it."""

    thread: ThreadLoop
    conversation: Conversation
    sender: Sender

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
        except (EncodeError, MessageTooLarge) as error:
            logger.error("%s: the answer cannot be sent: %s", self.message.name, error)
            self.refuse(ErrorKind.UNENCODABLE_ANSWER, str(error))
            return
        self._is_answered = True
        # The answer to the last request in the inbox leaves at once, with those that were queued before it.
        send = sender.send if self.is_late or conversation.inbox or sender.corks else sender.send_now
        for frame, files in frames:
            send(frame, files)
        if sender.size > sender.limit:
            link.throttle_if_full()

    def refuse(self, kind: ErrorKind, text: str) -> None:
        """Answer with an error. A bare peer knows no error frames: it is dropped, and does not wait."""
        if self._is_answered:
            return
        self._is_answered = True
        _close_all(self.files)
        if self._link.conversation.is_closed:
            return
        if self.serial:
            send_failure(self._link, self.message.magic, self.serial, kind, text)
            if isinstance(self.to, BareReply):
                for frame, files in self._link.conversation.bare_replies.drop(self.message, self.to):
                    self._link.sender.send(frame, files)
        else:
            self._owner.did_misbehave(
                f"{self.message.name} failed, and a bare peer knows no error frames: {text}"
            )

    def raised(self, error: BaseException) -> None:
        """Answer with what the handler raised."""
        message = self.message
        if isinstance(error, Unhandled):
            self.refuse(ErrorKind.UNKNOWN_MESSAGE, f"{message.name} has no handler here")
        elif isinstance(error, HandlerError):
            self.refuse(ErrorKind.HANDLER_RAISED, error.text)
        elif isinstance(error, Cancelled):
            self.refuse(ErrorKind.CANCELLED, "the handler was cancelled")
        else:
            logger.error("%s: the handler raised", message.name, exc_info=error)
            self.refuse(ErrorKind.HANDLER_RAISED, type(error).__name__)

    def abandon(self) -> None:
        """Send no answer, because the connection is closed."""
        self._is_answered = True
        _close_all(self.files)


def send_failure(link: ServingLink, magic: int, serial: int, kind: ErrorKind, text: str) -> None:
    """Answer a request with an error frame."""
    link.sender.send(wire.pack_failure(magic, serial, kind, text), [])
    link.throttle_if_full()


class _Deferred:
    """A reply whose handler has not finished, and the promise of the result.

    The promise is held weakly: one that nobody else holds can never be settled, so its loss is answered with
    an error.
    """

    __slots__ = ("_promise", "_serving", "reply")

    def __init__(self, reply: Reply, promise: Promise[Any], serving: Serving) -> None:
        self.reply = reply
        self._promise = weakref.ref(promise, self._on_loss)
        self._serving = serving

    def settle_with(self, value: object) -> None:
        self._serving.forget(self)
        self.reply.result(value)

    def fail_with(self, error: BaseException) -> None:
        self._serving.forget(self)
        self.reply.raised(error)

    def withdraw(self) -> None:
        """Stop listening; the promise is cancelled if nobody else listens."""
        promise = self._promise()
        if promise is not None and promise.withdraw(self.settle_with, self.fail_with):
            self.fail_with(Cancelled("the caller no longer waits"))

    def _on_loss(self, _promise: object) -> None:
        # The collector may run in any thread, and in the middle of a write.
        with suppress(EventLoopClosed):
            self._serving.thread.queue.post(self._answer_loss)

    def _answer_loss(self) -> None:
        self._serving.forget(self)
        self.reply.refuse(ErrorKind.HANDLER_RAISED, "the handler's promise was dropped before it was settled")


class Serving:
    """Calls the handlers of one connection, and keeps the replies of those that have not finished."""

    __slots__ = ("_buckets", "_conversation", "_deferred", "_link", "_now_ns", "_owner", "refused", "thread")

    def __init__(self, owner: Any, link: ServingLink, rate: Rate | tuple[Rate, ...] | None) -> None:
        """`owner` is a connection, which has a method for each message that is served."""
        self._owner = owner
        self._link = link
        self._conversation = link.conversation
        self._now_ns = link.thread.now_ns
        self._buckets = _buckets(rate, self._now_ns())
        self._deferred: dict[ReplyTo, _Deferred] = {}
        """Replies whose handlers have not finished, by the request."""
        self.thread = link.thread
        self.refused = 0
        """Requests that were refused because they came too fast."""

    @property
    def is_busy(self) -> bool:
        """Whether any handler has not finished."""
        return bool(self._deferred)

    @calls_user_code
    def handle(self, message: MessageType, values: tuple[Any, ...], files: Sequence[File]) -> None:
        """Call the handler of a one-way message."""
        if self._buckets is not None and not self._admits(message):
            _close_all(files)
            self._conversation.dropped += 1
            return
        try:
            owner = self._owner if self.thread.instruments is None else Observed(self._owner, message)
            result = getattr(owner, message.handler)(*values)
        except Unhandled:
            _close_all(files)
            logger.debug("%s: no handler", message.name)
        except Exception:
            _close_all(files)
            logger.exception("%s: the handler raised", message.name)
        else:
            if result is not None and isinstance(result, _LATER):
                _promise_of(result).when_rejected(partial(_one_way_failed, message, files))

    @calls_user_code
    def serve(
        self, message: MessageType, to: ReplyTo, values: tuple[Any, ...], files: Sequence[File]
    ) -> None:
        """Call the handler of a request. Its answer is sent now, or after the handler has finished."""
        reply = Reply(self._link, self._owner, message, to, files)
        if reply.serial in self._conversation.cancelled:
            reply.refuse(ErrorKind.CANCELLED, "the caller no longer waits")
            return
        if self._buckets is not None and not self._admits(message):
            self.refused += 1
            reply.refuse(ErrorKind.REFUSED, "this request comes too often (Limits.rate)")
            return
        try:
            owner = self._owner if self.thread.instruments is None else Observed(self._owner, message)
            result = getattr(owner, message.handler)(*values)
        except Exception as error:
            reply.raised(error)
        except BaseException as error:
            reply.raised(error)
            raise
        else:
            if isinstance(result, _LATER):
                self._defer(reply, result)
            else:
                reply.result(result)

    def cancel(self, serial: int) -> None:
        """Cancel the handler of a request whose caller no longer waits. Its outcome is still sent."""
        deferred = self._deferred.get(serial)
        if deferred is not None:
            deferred.withdraw()

    def close(self) -> None:
        """Cancel all handlers that have not finished, and send no answers."""
        deferred, self._deferred = self._deferred, {}
        for each in deferred.values():
            each.reply.abandon()
            each.withdraw()

    def forget(self, deferred: _Deferred) -> None:
        """Forget a reply whose handler has finished."""
        if self._deferred.get(deferred.reply.key) is deferred:
            del self._deferred[deferred.reply.key]

    def _defer(self, reply: Reply, result: Any) -> None:
        promise = _promise_of(result)
        deferred = _Deferred(reply, promise, self)
        reply.is_late = True
        self._deferred[reply.key] = deferred
        promise.listen(deferred.settle_with, deferred.fail_with)

    def _admits(self, message: MessageType) -> bool:
        """Whether the peer's rates allow a message now."""
        now = self._now_ns()
        name = message.name.partition(".")[2]
        for bucket in self._buckets or ():
            if bucket.rate.message in (None, name) and not bucket.take(now):
                if bucket.rate.disconnect:
                    self._owner.did_misbehave(f"{message.name} comes too often (Limits.rate)")
                return False
        return True


@calls_user_code
def call_hook(hook: Callable[[], object]) -> None:
    """Call a hook of a connection; an exception that it raises is logged."""
    try:
        hook()
    except Exception:
        logger.exception("%s() raised", getattr(hook, "__qualname__", hook))


def _close_all(files: Sequence[File]) -> None:
    for file in files:
        file.close()


def _promise_of(result: Any) -> Promise[Any]:
    return result if isinstance(result, Promise) else run_async(result)


def _one_way_failed(message: MessageType, files: Sequence[File], error: BaseException) -> None:
    _close_all(files)
    if not isinstance(error, Cancelled):
        logger.error("%s: the handler raised", message.name, exc_info=error)


def _buckets(rate: Rate | tuple[Rate, ...] | None, now: int) -> tuple[TokenBucket, ...] | None:
    if rate is None:
        return None
    return tuple(TokenBucket(each, now) for each in (rate if isinstance(rate, tuple) else (rate,)))
