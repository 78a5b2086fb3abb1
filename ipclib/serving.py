"""What arrives, handed to handlers; what they return or raise, turned into answers.

Owns the requests whose handlers have not finished. Knows a link to answer over, and an object whose
methods are the handlers; nothing of sockets and frames.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Coroutine, Sequence
from functools import partial
from types import CoroutineType
from typing import Any, Protocol, TypeAlias, TypeVar

from corelib import Cancelled, Promise, run_async
from corelib.turn import calls_user_code
from ipclib.errors import ErrorKind, HandlerError
from ipclib.file import File
from ipclib.protocol.message import Message, OneWay, Request
from ipclib.protocol.protocol import ReplyTo
from ipclib.rate import Rate, TokenBucket

logger = logging.getLogger("ipclib")

R = TypeVar("R")

Answer: TypeAlias = R | Promise[R] | Coroutine[Any, Any, R]
"""What a handler may return: the output, or a Promise of it, or what an `async def` makes, so that
others are served meanwhile."""

_LATER = (Promise, CoroutineType)


class _AnsweredElsewhere:
    """What serve() returns in place of a result."""


ANSWERED_ELSEWHERE = _AnsweredElsewhere()


class Unhandled(Exception):
    """Raised by a generated stub's method that no subclass overrides."""

    def __init__(self, message: type[Message]) -> None:
        super().__init__(message._name)


class Answering(Protocol):
    """Where answers go: a link."""

    def answer(self, message: type[Request[Any]], reply_to: ReplyTo, result: object) -> None:
        """Send a result, or that it cannot be sent."""

    def refuse(self, message: type[Request[Any]], reply_to: ReplyTo, kind: ErrorKind, text: str) -> None:
        """Send an error instead."""

    def drop(self) -> None:
        """Count a one-way message that is not handled."""


class Serving:
    """One connection's handlers at work."""

    __slots__ = ("_answering", "_buckets", "_deferred", "_handlers", "refused")

    def __init__(self, handlers: Any, answering: Answering, rate: Rate | tuple[Rate, ...] | None) -> None:
        """`handlers` has a method for each message that is served, and did_misbehave()."""
        self._handlers = handlers
        self._answering = answering
        self._buckets = _buckets(rate)
        #: Handlers that have not finished, by whom the answer goes to.
        self._deferred: dict[ReplyTo, Promise[Any]] = {}
        self.refused = 0
        """Requests that came too fast."""

    @property
    def is_busy(self) -> bool:
        """Whether a handler has not finished."""
        return bool(self._deferred)

    @calls_user_code
    def handle(self, message: type[OneWay], values: tuple[Any, ...], files: Sequence[File]) -> None:
        """A one-way message."""
        if self._buckets is not None and not self._admits(message):
            _close_all(files)
            self._answering.drop()
            return
        try:
            result = getattr(self._handlers, message._handler)(*values)
        except Unhandled:
            _close_all(files)
            logger.debug("%s: no handler", message._name)
        except Exception:
            _close_all(files)
            logger.exception("%s: the handler raised", message._name)
        else:
            if result is not None and isinstance(result, _LATER):
                _promise_of(result).when_rejected(partial(_one_way_failed, message, files))

    @calls_user_code
    def serve(
        self, message: type[Request[Any]], reply_to: ReplyTo, values: tuple[Any, ...], files: Sequence[File]
    ) -> object:
        """A request. The result to answer with; or ANSWERED_ELSEWHERE, where an error was its answer or the
        answer comes later."""
        if self._buckets is not None and not self._admits(message):
            _close_all(files)
            self.refused += 1
            self._answering.refuse(message, reply_to, ErrorKind.REFUSED, "it comes too often (Limits.rate)")
            return ANSWERED_ELSEWHERE
        try:
            result = getattr(self._handlers, message._handler)(*values)
        except Exception as error:
            _close_all(files)
            self._answer_raised(message, reply_to, error)
            return ANSWERED_ELSEWHERE
        if isinstance(result, _LATER):
            self._answer_later(message, reply_to, _promise_of(result), files)
            return ANSWERED_ELSEWHERE
        return result

    def cancel(self, serial: int) -> None:
        """The caller gave up. Who serves the call hears of it, and its end is answered all the same."""
        promise = self._deferred.get(serial)
        if promise is not None:
            promise.cancel()

    def close(self) -> None:
        """The caller is gone: nobody waits for any of them."""
        for promise in list(self._deferred.values()):
            promise.cancel()

    @calls_user_code
    def tell(self, hook: str) -> None:
        """Call a hook of the connection."""
        try:
            getattr(self._handlers, hook)()
        except Exception:
            logger.exception("%s.%s() raised", type(self._handlers).__qualname__, hook)

    def _answer_later(
        self, message: type[Request[Any]], reply_to: ReplyTo, promise: Promise[Any], files: Sequence[File]
    ) -> None:
        def resolved(result: object) -> None:
            self._deferred.pop(reply_to, None)
            self._answering.answer(message, reply_to, result)

        def rejected(error: BaseException) -> None:
            self._deferred.pop(reply_to, None)
            _close_all(files)
            self._answer_raised(message, reply_to, error)

        self._deferred[reply_to] = promise
        promise.listen(resolved, rejected)

    def _answer_raised(self, message: type[Request[Any]], reply_to: ReplyTo, error: BaseException) -> None:
        refuse = partial(self._answering.refuse, message, reply_to)
        if isinstance(error, Unhandled):
            refuse(ErrorKind.UNKNOWN_MESSAGE, f"{message._name} has no handler here")
        elif isinstance(error, HandlerError):
            refuse(ErrorKind.HANDLER_RAISED, error.text)
        elif isinstance(error, Cancelled):
            refuse(ErrorKind.CANCELLED, "the handler was cancelled")
        else:
            logger.error("%s: the handler raised", message._name, exc_info=error)
            refuse(ErrorKind.HANDLER_RAISED, type(error).__name__)

    def _admits(self, message: type[Message]) -> bool:
        """Whether the peer's rates allow a message now."""
        now = time.monotonic_ns()
        name = message._name.partition(".")[2]
        for bucket in self._buckets or ():
            if bucket.rate.message in (None, name) and not bucket.take(now):
                if bucket.rate.disconnect:
                    self._handlers.did_misbehave(f"{message._name} comes too often (Limits.rate)")
                return False
        return True


def _close_all(files: Sequence[File]) -> None:
    for file in files:
        file.close()


def _promise_of(result: Any) -> Promise[Any]:
    return result if isinstance(result, Promise) else run_async(result)


def _one_way_failed(message: type[OneWay], files: Sequence[File], error: BaseException) -> None:
    _close_all(files)
    if not isinstance(error, Cancelled):
        logger.error("%s: the handler raised", message._name, exc_info=error)


def _buckets(rate: Rate | tuple[Rate, ...] | None) -> tuple[TokenBucket, ...] | None:
    if rate is None:
        return None
    now = time.monotonic_ns()
    return tuple(TokenBucket(each, now) for each in (rate if isinstance(rate, tuple) else (rate,)))
