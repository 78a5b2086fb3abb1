"""Owns handlers that have not finished: each is listened to, and stopped when nobody waits for it any more.
Must not know how handlers are called, or what an answer is made of.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from corelib import Cancelled, EventLoopClosed, PeerCredentials, Promise
from corelib.turn import ThreadLoop
from ipclib.connection.peer_log import log_about
from ipclib.errors import ErrorKind
from ipclib.protocol.message import MessageType
from ipclib.values.file import File

UNREAD = "the answers to this peer wait to be read (max_send_queue)"


class DeferredReply(Protocol):
    """What is done with a handler's outcome."""

    is_late: bool

    @property
    def key(self) -> object: ...

    def result(self, value: object) -> None: ...

    def refuse(self, kind: ErrorKind, text: str) -> None: ...

    def raised(self, error: BaseException) -> None: ...

    def abandon(self) -> None: ...


class Handlers(Protocol):
    """The handlers of one connection that have not finished."""

    thread: ThreadLoop

    def forget(self, deferred: Deferred) -> None: ...

    def is_full(self) -> bool: ...


class LoggedLink(Protocol):
    """A link, as what is logged about its peer needs it."""

    thread: ThreadLoop
    peer: PeerCredentials


class Deferred:
    """A handler that has not finished: the reply to its message, and the promise of its result.

    The promise is held weakly: one that nobody else holds can never be settled, so its loss is answered with
    an error.
    """

    __slots__ = ("_handlers", "_promise", "is_withdrawn", "reply")

    def __init__(self, reply: DeferredReply, promise: Promise[Any], handlers: Handlers) -> None:
        self.reply = reply
        self._promise = weakref.ref(promise, self._on_loss)
        self._handlers = handlers
        self.is_withdrawn = False
        """True once the caller no longer waits. The handler may go on for a while."""

    def settle_with(self, value: object) -> None:
        """Answer with the result, unless much waits already for a peer that does not read."""
        self._handlers.forget(self)
        if self._handlers.is_full():
            self.reply.refuse(ErrorKind.REFUSED, UNREAD)
        else:
            self.reply.result(value)

    def fail_with(self, error: BaseException) -> None:
        """Answer with an error."""
        self._handlers.forget(self)
        self.reply.raised(error)

    def withdraw(self) -> None:
        """Stop listening; the promise is cancelled if nobody else listens."""
        if self.is_withdrawn:
            return
        self.is_withdrawn = True
        promise = self._promise()
        if promise is not None and promise.withdraw(self.settle_with, self.fail_with):
            self.fail_with(Cancelled("the caller no longer waits"))

    def _on_loss(self, _promise: object) -> None:
        # The collector may run in any thread, and in the middle of a write.
        with suppress(EventLoopClosed):
            self._handlers.thread.queue.post(self._answer_loss)

    def _answer_loss(self) -> None:
        self._handlers.forget(self)
        self.reply.refuse(ErrorKind.HANDLER_RAISED, "the handler's promise was dropped before it was settled")


class OneWayReply:
    """In place of a reply, for a one-way message: its handler's error is logged, and nothing is sent."""

    __slots__ = ("_link", "_message", "files", "is_late")

    def __init__(self, link: LoggedLink, message: MessageType, files: Sequence[File]) -> None:
        self._link = link
        self._message = message
        self.files = files
        """The Files that came with the message. They are closed if its handler fails."""
        self.is_late = False

    @property
    def key(self) -> object:
        """A key that differs from those of all other messages."""
        return self

    def result(self, value: object) -> None:
        """Do nothing: the handler has finished."""

    def refuse(self, kind: ErrorKind, text: str) -> None:
        """Close the Files of a handler that cannot finish."""
        close_files(self.files)

    def raised(self, error: BaseException) -> None:
        """Log what the handler raised."""
        close_files(self.files)
        if not isinstance(error, Cancelled):
            log_about(
                self._link.thread,
                self._link.peer.pid,
                logging.ERROR,
                "%s: the handler raised",
                self._message.name,
                error=error,
            )

    def abandon(self) -> None:
        """Close the Files, because the connection is closed."""
        close_files(self.files)


def close_files(files: Sequence[File]) -> None:
    """Close the Files that no handler took."""
    for file in files:
        file.close()
