"""Owns Promise: a value that comes later, who waits for it, and that no failure goes unseen.
Knows turns of the loop, for await_, and nothing of what settles it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic_ns
from typing import Any, Generic, TypeVar

from corelib import thread_data
from corelib.errors import TimedOut
from corelib.interrupts import calls_user_code
from corelib.timer_queue import deadline_after

T = TypeVar("T")
U = TypeVar("U")
ValueCallback = Callable[[T], object]
ErrorCallback = Callable[[BaseException], object]


class _Rejection:
    """The error of a rejected promise; logs itself when it is dropped before anybody took notice."""

    __slots__ = ("error", "noticed")

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.noticed = False

    def __del__(self) -> None:
        if not self.noticed:
            thread_data.logger.error("a rejected promise was dropped unhandled", exc_info=self.error)


_UNSETTLED: Any = object()


class Promise(Generic[T]):
    """Settled once, by resolve(value) or reject(error); belongs to the thread of its loop, like all
    callbacks.

    Callbacks are called when it settles, in the order in which they were added, or at once if it has settled
    already. What they raise goes to the loop's on_exception, not to whoever settles. A rejection counts as
    handled by when_rejected, map (which hands it on) or await_; one that nobody handled is logged when the
    promise is dropped."""

    __slots__ = ("_reactions", "_rejection", "_value")

    def __init__(self) -> None:
        self._value: T = _UNSETTLED
        self._rejection: _Rejection | None = None
        self._reactions: deque[tuple[ValueCallback[T] | None, ErrorCallback | None]] | None = None

    @classmethod
    def resolved(cls, value: T) -> Promise[T]:
        """A promise that is resolved already."""
        promise = cls()
        promise._value = value
        return promise

    @classmethod
    def rejected(cls, error: BaseException) -> Promise[T]:
        """A promise that is rejected already."""
        promise = cls()
        promise._rejection = _Rejection(error)
        return promise

    @property
    def is_resolved(self) -> bool:
        """Whether it has its value."""
        return self._value is not _UNSETTLED

    @property
    def is_rejected(self) -> bool:
        """Whether it has failed."""
        return self._rejection is not None

    @property
    def is_settled(self) -> bool:
        """Whether it is resolved or rejected."""
        return self._value is not _UNSETTLED or self._rejection is not None

    def resolve(self, value: T) -> bool:
        """Settle with a value; False, and nothing happens, if it is settled already."""
        if self.is_settled:
            return False
        self._value = value
        self._react()
        return True

    def reject(self, error: BaseException) -> bool:
        """Settle with an error; False, and nothing happens, if it is settled already."""
        if self.is_settled:
            return False
        self._rejection = _Rejection(error)
        self._react()
        return True

    def when_resolved(self, callback: Callable[[T], object]) -> Promise[T]:
        """Call `callback(value)` when it resolves."""
        self._add_reaction(callback, None)
        return self

    def when_rejected(self, callback: Callable[[BaseException], object]) -> Promise[T]:
        """Call `callback(error)` when it is rejected; the rejection counts as handled."""
        self._add_reaction(None, callback)
        return self

    def map(self, function: Callable[[T], U]) -> Promise[U]:
        """A promise of `function(value)`; rejected when this one is, or with what the function raises."""
        mapped: Promise[U] = Promise()
        self._add_reaction(partial(_settle_with_result, mapped, function), mapped.reject)
        return mapped

    def await_(self, timeout: float | None = None) -> T:
        """The value; makes turns of the current loop until it is there. quit() does not end it. Raises the
        rejection's error; TimedOut, a TimeoutError, after `timeout` seconds; NoEventLoop if it must wait and
        cannot."""
        if not self.is_settled:
            self._make_turns(timeout)
        if self._rejection is None:
            return self._value
        self._rejection.noticed = True
        error = self._rejection.error
        try:
            raise error
        finally:
            del error, self  # The traceback holds this frame: leave no cycle in it.

    def _make_turns(self, timeout: float | None) -> None:
        turn = thread_data.current().turn
        deadline = deadline_after(monotonic_ns(), timeout)
        while not self.is_settled:
            if deadline is not None and monotonic_ns() >= deadline:
                raise TimedOut(f"the promise was not settled within {timeout} s")
            turn(True, deadline)

    def _add_reaction(self, on_value: ValueCallback[T] | None, on_error: ErrorCallback | None) -> None:
        if self.is_settled:
            self._call(on_value, on_error)
        elif self._reactions is None:
            self._reactions = deque([(on_value, on_error)])
        else:
            self._reactions.append((on_value, on_error))

    def _react(self) -> None:
        reactions = self._reactions
        if reactions is None:
            return
        try:
            while reactions:
                self._call(*reactions.popleft())
        finally:
            if (
                reactions
            ):  # KeyboardInterrupt or SystemExit left one of them: the others still get their call.
                thread_data.current().queue.post(self._react)

    @calls_user_code
    def _call(self, on_value: ValueCallback[T] | None, on_error: ErrorCallback | None) -> None:
        try:
            if self._rejection is None:
                if on_value is not None:
                    on_value(self._value)
            elif on_error is not None:
                self._rejection.noticed = True
                on_error(self._rejection.error)
        except Exception as error:
            thread_data.report(
                error, "callback of a promise", on_value if self._rejection is None else on_error
            )


@calls_user_code
def _settle_with_result(mapped: Promise[U], function: Callable[[T], U], value: T) -> None:
    try:
        result = function(value)
    except Exception as error:
        mapped.reject(error)
    else:
        mapped.resolve(result)
