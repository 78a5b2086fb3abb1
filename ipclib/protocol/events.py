"""Owns the types of the events in a conversation's inbox.
Must not know how events come about, or how they are handled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import attrs

from ipclib.errors import ErrorKind, ProtocolViolation, RemoteError
from ipclib.protocol.message import Kind, MessageType
from ipclib.values.file import File

MessageArrived: TypeAlias = tuple[Kind, MessageType, Any, tuple[Any, ...], Sequence[File], int]
"""A message arrived: its kind, its type, the object that it concerns, its values, the Files among them, and
the bytes of its frame.

ONE_WAY   concerns None
REQUEST   concerns the ReplyTo to which its answer goes
RESPONSE  concerns the Call that it answers

These events are frequent, so they are tuples: making one takes 35 ns, making an object with slots 170.
"""


class Waiting(Protocol):
    """A call that waits for its answer."""

    def succeed(self, value: Any) -> None:
        """End the call with its result."""

    def fail(self, error: BaseException) -> None:
        """End the call with an error."""


@attrs.frozen
class CallFailed:
    """The peer answered a call with an error frame."""

    call: Waiting
    error: RemoteError


@attrs.frozen
class RequestRefused:
    """A message of the peer cannot be served. It was not decoded, and the answer is an error frame."""

    magic: int
    serial: int
    """That of the request; 0 for a one-way message, which is dropped."""
    kind: ErrorKind
    text: str
    name: str = ""
    """Endpoint and message; empty if it is unknown here."""


@attrs.frozen
class RequestCancelled:
    """The peer no longer waits for the answer to its request."""

    serial: int


@attrs.frozen
class CancelsDue:
    """The peer's first message shows that it knows control frames: send it the Cancel frames that waited."""

    frames: tuple[bytes, ...]


@attrs.frozen
class DescriptionArrived:
    """The peer answered a call of describe()."""

    call: Waiting
    text: str


@attrs.frozen
class DescriptionAsked:
    """The peer, or a tool, asks for the interface of one endpoint, or of every endpoint if `magic` is 0."""

    magic: int
    serial: int


@attrs.frozen
class PeerViolated:
    """The peer broke a rule of the wire. This is the last event of a conversation."""

    violation: ProtocolViolation


@attrs.frozen
class StreamEnded:
    """The peer closed its end of the socket. This is the last event of a conversation."""


RareEvent: TypeAlias = (
    CallFailed
    | CancelsDue
    | DescriptionArrived
    | DescriptionAsked
    | PeerViolated
    | RequestCancelled
    | RequestRefused
    | StreamEnded
)
Event: TypeAlias = MessageArrived | RareEvent
