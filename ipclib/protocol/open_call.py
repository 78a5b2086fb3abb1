"""Owns a request of ours, from before it is sent until it is answered or abandoned.
Must not know how its answer arrives, or who waits for it.
"""

from __future__ import annotations

from typing import Any, Protocol

from ipclib.protocol import wire
from ipclib.protocol.message import MessageType


class OpenCall(Protocol):
    """A request of ours, as its conversation sees it."""

    message: MessageType
    serial: int
    settled: bool
    """True once it is answered."""
    abandoned: bool
    """True if nobody waits for the answer any more."""

    def succeed(self, value: Any) -> None:
        """End the call with its result."""

    def fail(self, error: BaseException) -> None:
        """End the call with an error."""


class Call:
    """A call that is waited for."""

    __slots__ = ("abandoned", "began", "deadline", "depth", "error", "message", "serial", "settled", "value")

    began: int
    """When it began to wait above another call, in nanoseconds of the loop's clock."""
    deadline: int | None
    depth: int
    """How many peers' messages were being handled when it began to wait."""

    def __init__(self, message: MessageType) -> None:
        self.message = message
        self.serial = wire.NO_SERIAL
        self.settled = False
        self.abandoned = False
        self.value: Any = None
        self.error: BaseException | None = None

    def succeed(self, value: Any) -> None:
        """End the call with its result."""
        self.value = value
        self.settled = True

    def fail(self, error: BaseException) -> None:
        """End the call with an error."""
        self.error = error
        self.settled = True
