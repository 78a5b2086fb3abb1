"""Owns the errors of ipclib, split by who is at fault: this process, its peer, or what lies between them.
Must not know sockets, loops or encodings.
"""

from __future__ import annotations

import enum

from corelib import TimedOut
from corelib import WrongThread as CorelibWrongThread
from ipclib.showing import shortened, text_shown, value_shown


class IPCError(Exception):
    """The base of all errors that ipclib itself raises."""


class PeerDisconnected(IPCError):
    """The peer closed the connection, or it was shut down: the call gets no answer."""


class ServiceUnavailable(IPCError, ConnectionError):
    """No service listens at the socket path, or none did in time; or a worker cannot be started."""


class TakeoverError(IPCError):
    """This process cannot take over the socket that it asked for; the text gives the reason."""


class NothingToTakeOver(TakeoverError):
    """This process was started without any socket, perhaps by hand. A service can then listen at a path."""


class CallTimeout(IPCError, TimedOut):
    """The peer did not answer by the call's deadline; a later answer is discarded."""


class ErrorKind(enum.IntEnum):
    """Why a call failed, as an error frame states it."""

    HANDLER_RAISED = 1
    """The handler raised, or its promise was dropped before it was settled."""
    SCHEMA_MISMATCH = 2
    """The peer's interface has another signature for the message."""
    UNKNOWN_MESSAGE = 3
    """The peer has no such message, or no handler for it."""
    REFUSED = 4
    """The request is over a limit of the peer."""
    CANCELLED = 5
    """The handler was cancelled."""
    UNENCODABLE_ANSWER = 6
    """The handler's result does not fit the answer, or is too large."""


class RemoteError(IPCError):
    """The peer answered the call with an error."""

    def __init__(self, message: str, kind: ErrorKind, text: str, remote_traceback: str | None = None) -> None:
        super().__init__(f"{message}: {kind.name.lower().replace('_', ' ')}: {text}")
        self.message = message
        """Endpoint and message, as in the interface: `ClockServer.add`."""
        self.kind = kind
        self.text = text
        """The peer's own words."""
        self.remote_traceback = remote_traceback
        """The traceback of the handler, if the peer sends it (IPCLIB_DEBUG=1); also a note of this error."""
        if remote_traceback:
            self.add_note(f"In the handler:\n{remote_traceback}")

    @staticmethod
    def of(message: str, kind: ErrorKind, text: str) -> RemoteError:
        """Make the error of the class that belongs to `kind`, of the text of an error frame."""
        words, mark, traceback = text.rpartition(_TRACEBACK_MARK)
        if not mark:
            words, traceback = text, ""
        return _CLASS_OF_KIND.get(kind, RemoteError)(message, kind, words, traceback or None)


_TRACEBACK_MARK = "\0"
"""In the text of an error frame, the last NUL is followed by a traceback, or by nothing."""


def failure_text(words: str, traceback: str, most: int) -> str:
    """The text of an error frame for RemoteError.of(), of at most `most` bytes."""
    words = shortened(words, most - 1)
    if not traceback and _TRACEBACK_MARK not in words:
        return words
    left = max(most - 1 - len(words.encode()), 0)
    raw = traceback.encode("utf-8", "replace")
    return words + _TRACEBACK_MARK + raw[max(len(raw) - left, 0) :].decode("utf-8", "ignore")


class SchemaMismatch(RemoteError):
    """The peer was built from an interface in which the message has another signature."""


class UnknownMessage(RemoteError):
    """The peer has no such message, or no handler for it."""


_CLASS_OF_KIND: dict[ErrorKind, type[RemoteError]] = {
    ErrorKind.SCHEMA_MISMATCH: SchemaMismatch,
    ErrorKind.UNKNOWN_MESSAGE: UnknownMessage,
}


class MessageTooLarge(IPCError):
    """The message is over `Limits.max_message_size` or `Limits.max_fds_per_message`; nothing was sent."""


class EncodeError(IPCError, ValueError):
    """A value does not fit its parameter. Nothing was sent, and the caller still owns the Files."""

    def __init__(self, message: str, parameter: str, value: object, reason: str) -> None:
        super().__init__(f"{message}: {parameter} = {value_shown(value)}: {reason}")
        self.message = message
        """Endpoint and message, as in the interface: `ClockServer.add`."""
        self.parameter = parameter
        self.value = value


class ProtocolViolation(IPCError):
    """The peer broke a rule of the wire; the connection is closed."""


class WrongThread(IPCError, CorelibWrongThread):
    """A connection was used from a thread other than the one that made it; nothing was done."""


class IncompatibleModule(IPCError, ImportError):
    """A generated module was written for another version of the runtime; run ipcc again."""


class HandlerError(Exception):
    """Raised by a handler on purpose: the caller gets a RemoteError with exactly this text.

    A text over 16 KiB is shortened.
    """

    text: str = ""

    def __init__(self, text: object) -> None:
        """`text` may be any object, such as another exception; its str() is sent."""
        super().__init__(text)
        self.text = text_shown(text)


class NestedTooDeep(IPCError, RecursionError):
    """A blocking call would wait on too many others of this thread; nothing was sent.

    A request whose handler lets it out is answered with a RemoteError of kind REFUSED.
    """


class BadDeclaration(IPCError, TypeError):
    """A class cannot be used as it is written; the text names the class and what is wrong in it."""
