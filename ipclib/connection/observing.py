"""Owns how instruments see the calls of handlers: each with its message and the peer that it serves.
Must not know what instruments do, nor how handlers are found and answered.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import CoroutineType
from typing import Any

from corelib import run_async
from corelib.turn import ThreadLoop, call_observed, current_thread_loop
from ipclib.protocol.message import MessageType


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
