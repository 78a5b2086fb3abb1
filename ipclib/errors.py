"""Owns the errors of ipclib, split by who is at fault: this process, its peer, or what lies between them.
Must not know sockets, loops or encodings.
"""

from __future__ import annotations

import enum

from corelib import TimedOut
from corelib import WrongThread as CorelibWrongThread


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

    def __init__(self, message: str, kind: ErrorKind, text: str) -> None:
        super().__init__(f"{message}: {kind.name.lower().replace('_', ' ')}: {text}")
        self.message = message
        """Endpoint and message, as in the interface: `ClockServer.add`."""
        self.kind = kind
        self.text = text
        """The peer's own words."""

    @staticmethod
    def of(message: str, kind: ErrorKind, text: str) -> RemoteError:
        """Make the error of the class that belongs to `kind`."""
        return _CLASS_OF_KIND.get(kind, RemoteError)(message, kind, text)


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
        super().__init__(f"{message}: {parameter} = {_brief(value)}: {reason}")
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
    """Raised by a handler on purpose: the caller gets a RemoteError with exactly this text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class BadDeclaration(IPCError, TypeError):
    """A class that was given to ipc_type, or an annotation in it, cannot be encoded; the text names both."""


def _brief(value: object) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} nested deeper than Python can show"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
