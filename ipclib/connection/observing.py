"""Owns how instruments see the calls of handlers, each with its message and peer, and snapshots a connection.
Must not know what instruments do, nor how handlers are found and answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import CoroutineType
from typing import Any, Protocol

from corelib import PeerCredentials, run_async
from corelib.turn import ThreadLoop, call_observed, current_thread_loop
from ipclib.connection.sender import Sender
from ipclib.protocol.conversation import Conversation
from ipclib.protocol.message import MessageType


class ListedLink(Protocol):
    """A link, as snapshots list it."""

    conversation: Conversation
    is_throttled: bool
    peer: PeerCredentials
    sender: Sender

    @property
    def user_code(self) -> object:
        """The connection."""


def listed(link: ListedLink) -> str:
    """A line about a connection: its peer, open calls, and what holds it up. From any thread."""
    names = Counter(call.message.name for call in link.conversation.open_calls.copy().values())
    calls = ", ".join(name if count == 1 else f"{name} ({count})" for name, count in names.items())
    unsent = f", {link.sender.size} bytes to send" if link.sender.size else ""
    throttled = ", not served because it does not read" if link.is_throttled else ""
    name = type(link.user_code).__qualname__
    return f"{name} to pid {link.peer.pid}: open calls: {calls or 'none'}{unsent}{throttled}"


class Observed:
    """A connection whose handlers are observed, each as "ClockServer.add for pid 41".

    Made for one call while the loop has instruments: without any, a call only looks whether there are."""

    __slots__ = ("_kind", "_owner", "_thread")

    def __init__(self, owner: Any, message: MessageType) -> None:
        self._owner = owner
        self._thread = current_thread_loop()
        self._kind = f"{message.name} for pid {owner.peer.pid}"

    def __getattr__(self, name: str) -> Callable[..., object]:
        return partial(self._call, getattr(self._owner, name))

    def _call(self, handler: Callable[..., object], *values: Any) -> object:
        result = call_observed(self._thread, self._kind, handler, partial(handler, *values))
        if isinstance(result, CoroutineType):
            return run_async(_ObservedCoroutine(self._thread, self._kind, result))
        return result


class _ObservedCoroutine(Coroutine[Any, Any, Any]):
    """The coroutine of a handler, each step of which is observed."""

    __slots__ = ("_kind", "_thread", "user_code")

    def __init__(self, thread: ThreadLoop, kind: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._thread = thread
        self._kind = kind
        self.user_code = coroutine
        """The handler's own, for instruments."""

    def send(self, value: Any) -> Any:
        return self._step(partial(self.user_code.send, value))

    def throw(self, *error: Any) -> Any:
        return self._step(partial(self.user_code.throw, *error))

    def close(self) -> None:
        self._step(self.user_code.close)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.user_code.__await__()

    def _step(self, step: Callable[[], object]) -> object:
        return call_observed(self._thread, self._kind, self.user_code, step)
