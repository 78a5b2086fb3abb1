"""Owns a call that is a promise of its answer.
Must not know how calls are sent, answered or abandoned.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from corelib import Promise
from ipclib.protocol import wire
from ipclib.protocol.message import MessageType
from ipclib.protocol.open_call import OpenCall


class Abandoning(Protocol):
    """A Caller, as its promised calls see it."""

    def abandon(self, call: OpenCall) -> None:
        """Stop waiting for a call, and tell the peer."""


class PromisedCall(Promise[Any]):
    """A call that is a promise of its answer: one object, since thousands may be open."""

    __slots__ = ("_caller", "abandoned", "message", "serial", "settled")

    def __init__(self, message: MessageType, caller: Abandoning) -> None:
        super().__init__()
        self.message = message
        self.serial = wire.NO_SERIAL
        self.settled = False
        self.abandoned = False
        self._caller = caller

    def succeed(self, value: Any) -> None:
        """Resolve the promise."""
        self.settled = True
        self.resolve(value)

    def fail(self, error: BaseException) -> None:
        """Reject the promise."""
        self.settled = True
        self.reject(error)

    def cancel(self) -> bool:
        """Reject the promise with `Cancelled`, and abandon the call."""
        if self.is_settled:
            return False
        self.on_cancel = partial(self._caller.abandon, self)
        return super().cancel()
