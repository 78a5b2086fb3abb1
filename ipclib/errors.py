"""The errors of ipclib, split by who is at fault: this side, the other side, or what lies between.

Knows nothing of sockets, loops or encodings.
"""

from __future__ import annotations

import enum


class IPCError(Exception):
    """The root of everything that a connection raises."""


class PeerDisconnected(IPCError):
    """The peer is gone, or the connection was shut down: the call has no answer and will get none."""


class ServiceUnavailable(IPCError, ConnectionError):
    """Nobody listens at the socket path, or not within the patience given; or the worker does not start."""


class TakeoverError(IPCError):
    """What this process was started with is not the socket that it was to take over; the text says why."""


class NothingToTakeOver(TakeoverError):
    """This process was started without any socket: by hand, perhaps. A service may then make its own."""


class CallTimeout(IPCError, TimeoutError):
    """The peer did not answer by the call's deadline; a later answer is discarded."""


class ErrorKind(enum.IntEnum):
    """Why a call failed, as control frame 0 writes it."""

    HANDLER_RAISED = 1
    SCHEMA_MISMATCH = 2
    UNKNOWN_MESSAGE = 3
    REFUSED = 4
    CANCELLED = 5
    UNENCODABLE_ANSWER = 6


class RemoteError(IPCError):
    """The peer answered that the call failed: `kind` says why, `text` is the peer's own."""

    def __init__(self, message: str, kind: ErrorKind, text: str) -> None:
        super().__init__(f"{message}: {kind.name.lower().replace('_', ' ')}: {text}")
        self.message = message
        self.kind = kind
        self.text = text

    @staticmethod
    def of(message: str, kind: ErrorKind, text: str) -> RemoteError:
        """The error class that belongs to a kind."""
        return _CLASS_OF_KIND.get(kind, RemoteError)(message, kind, text)


class SchemaMismatch(RemoteError):
    """The peer was built from an interface in which this message has another signature."""


class UnknownMessage(RemoteError):
    """The peer has no such message, or no handler for it."""


_CLASS_OF_KIND: dict[ErrorKind, type[RemoteError]] = {
    ErrorKind.SCHEMA_MISMATCH: SchemaMismatch,
    ErrorKind.UNKNOWN_MESSAGE: UnknownMessage,
}


class MessageTooLarge(IPCError):
    """The message is over `Limits.max_message_size` or `max_fds_per_message`; nothing was sent."""


class EncodeError(IPCError, ValueError):
    """A value does not fit its parameter; nothing was sent, and its Files are still the caller's."""

    def __init__(self, message: str, parameter: str, value: object, reason: str) -> None:
        super().__init__(f"{message}: {parameter} = {_brief(value)}: {reason}")
        self.message = message
        self.parameter = parameter
        self.value = value


class ProtocolViolation(IPCError):
    """The peer broke the rules of the wire; its connection is closed."""


class WrongThread(IPCError):
    """A connection was used from a thread other than the one that made it."""


class HandlerError(Exception):
    """Raised by a handler on purpose: the caller gets a RemoteError with this very text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class BadDeclaration(IPCError, TypeError):
    """A class given to ipc_type, or an annotation in it, has no form on the wire; the text names them."""


def _brief(value: object) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} nested deeper than Python can show"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
