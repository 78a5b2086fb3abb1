"""Owns Promise: a value that comes later, its listeners and their withdrawal, and failures that nobody
handled. Must not know what settles it; of the loop it knows the turns that await_ makes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import partial
from typing import Any, Generic, TypeVar

from corelib.errors import Cancelled, TimedOut, UsageError
from corelib.timer import Timer
from corelib.turn import thread_loop
from corelib.turn.interrupts import calls_user_code
from corelib.turn.timer_queue import deadline_after
from corelib.turn.wait_mode import WaitMode

logger = logging.getLogger("corelib")

T = TypeVar("T")
U = TypeVar("U")
ValueCallback = Callable[[T], object]
ErrorCallback = Callable[[BaseException], object]
Reaction = tuple[ValueCallback[Any] | None, ErrorCallback | None]
Withdraw = Callable[[], bool]

ForeignWait = Callable[["Promise[Any]"], Awaitable[Any]]
_foreign_wait: ForeignWait | None = None


def let_foreign_coroutines_await(wait: ForeignWait) -> None:
    """Have coroutines of another framework await promises by `await wait(promise)`.

    Called by the bridge to that framework. Coroutines of run_async never go this way."""
    global _foreign_wait
    _foreign_wait = wait


class _Rejection:
    """The error of a rejected promise; logged if it is dropped before anybody has noticed it."""

    __slots__ = ("error", "noticed")

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.noticed = isinstance(error, Cancelled)

    def __del__(self) -> None:
        if not self.noticed:
            logger.error("a rejected promise was dropped unhandled", exc_info=self.error)


_UNSETTLED: Any = object()
_WAIT = WaitMode.WAIT_FOR_EVENTS


class Promise(Generic[T]):
    """A value that comes later: settled once, by resolve(value) or reject(error), in the loop's thread.

    Callbacks are called when it settles, in the order in which they were added, or at once if it has settled
    already. Their exceptions go to the loop's on_exception, not to the code that settles. Coroutines await
    it.

    A rejection counts as handled by when_rejected, await and await_, and by map and the like, which pass it
    on. A rejection that nobody handled is logged when the promise is dropped.

    cancel() rejects it and stops the work. Promises derived from it (map, chain, after, within) and
    coroutines that await it are its listeners; when one of them is cancelled it withdraws, and when the last
    listener withdraws, the promise is cancelled."""

    __slots__ = ("__weakref__", "_reactions", "_rejection", "_value", "on_cancel")

    on_cancel: Callable[[], object] | None
    """Called when the promise is cancelled, to stop the work that would settle it."""

    def __init__(self) -> None:
        self._value: T = _UNSETTLED
        self._rejection: _Rejection | None = None
        self._reactions: deque[Reaction] | None = None
        self.on_cancel = None

    @classmethod
    def resolved(cls, value: T) -> Promise[T]:
        """A promise that is resolved already."""
        promise: Promise[T] = Promise()
        promise._value = value
        return promise

    @classmethod
    def rejected(cls, error: BaseException) -> Promise[T]:
        """A promise that is rejected already."""
        promise: Promise[T] = Promise()
        promise._rejection = _Rejection(error)
        return promise

    @classmethod
    def after(cls, promises: Iterable[Promise[T]]) -> Promise[list[T]]:
        """A promise of all values, in the order of the promises; rejected as soon as one of them is."""
        awaited = list(promises)
        waiting = len(awaited)
        together: Promise[list[T]] = Promise()

        def count(_value: T) -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                together.resolve([promise._value for promise in awaited])

        if not awaited:
            together.resolve([])
        withdrawals = [promise.listen(count, together.reject) for promise in awaited]
        if not together.is_settled:
            together.on_cancel = lambda: [withdraw() for withdraw in withdrawals]
        return together

    @property
    def is_resolved(self) -> bool:
        """Whether it has a value."""
        return self._value is not _UNSETTLED

    @property
    def is_rejected(self) -> bool:
        """Whether it was rejected or cancelled."""
        return self._rejection is not None

    @property
    def is_cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._rejection is not None and isinstance(self._rejection.error, Cancelled)

    @property
    def is_settled(self) -> bool:
        """Whether it is resolved or rejected."""
        return self._value is not _UNSETTLED or self._rejection is not None

    def resolve(self, value: T) -> bool:
        """Settle with a value; False, without effect, if it is settled already."""
        if self._value is not _UNSETTLED or self._rejection is not None:
            return False
        self._value = value
        self.on_cancel = None
        if self._reactions is not None:
            self._react()
        return True

    def reject(self, error: BaseException) -> bool:
        """Settle with an error; False, without effect, if it is settled already."""
        if self.is_settled:
            return False
        self._rejection = _Rejection(error)
        self._react()
        return True

    def cancel(self) -> bool:
        """Reject it with `Cancelled` and stop the work; False, without effect, if it is settled already.

        A coroutine's promise settles later, when the coroutine has dealt with its own `Cancelled`."""
        if self.is_settled:
            return False
        stop = self.on_cancel
        self.reject(Cancelled("the promise was cancelled"))
        if stop is not None:
            _stop_work(stop)
        return True

    def when_resolved(self, callback: Callable[[T], object]) -> Promise[T]:
        """Call `callback(value)` when it resolves."""
        self._add_reaction((callback, None))
        return self

    def when_rejected(self, callback: Callable[[BaseException], object]) -> Promise[T]:
        """Call `callback(error)` when it is rejected; the rejection counts as handled."""
        self._add_reaction((None, callback))
        return self

    def map(self, function: Callable[[T], U]) -> Promise[U]:
        """A promise of `function(value)`; rejected with this one, or with the function's exception."""
        mapped: Promise[U] = Promise()
        mapped._depend_by(self.listen(partial(_settle_with_result, mapped, function), mapped.reject))
        return mapped

    def chain(self, function: Callable[[T], Promise[U]]) -> Promise[U]:
        """A promise of the value of the promise `function(value)`.

        It is rejected with this promise or with that one, or with the function's exception."""
        chained: Promise[U] = Promise()
        withdraw = self.listen(partial(_settle_as_result, chained, function), chained.reject)
        if not self.is_settled:  # Otherwise it depends on the second promise already.
            chained._depend_by(withdraw)
        return chained

    def within(self, seconds: float) -> Promise[T]:
        """A promise of the same value, rejected with `TimedOut` after this many seconds.

        Raises:
            NoEventLoop: the thread has no loop.
        """
        limited: Promise[T] = Promise()
        timer = Timer.create_single_shot(seconds * 1000)
        timer.start()

        def end_in_time(settle: Callable[[Any], bool], outcome: Any) -> None:
            timer.stop()
            settle(outcome)

        withdraw = self.listen(partial(end_in_time, limited.resolve), partial(end_in_time, limited.reject))

        def give_up() -> None:
            timer.stop()
            withdraw()

        def end_late() -> None:
            limited.reject(TimedOut(f"the promise was not settled within {seconds} s"))
            withdraw()

        timer.on_timeout = end_late
        limited._depend_by(give_up)
        return limited

    def await_(self, timeout: float | None = None) -> T:
        """Make turns until it is settled, whether or not the loop is to quit; return the value.

        Raises the error of a rejection.

        Raises:
            TimedOut: not settled after `timeout` seconds; a TimeoutError.
            NoEventLoop: it is not settled, and the thread has no loop.
        """
        if self._value is not _UNSETTLED:
            return self._value
        if self._rejection is None:
            self._make_turns(timeout)
        try:
            return self._outcome()
        finally:
            del self  # The error's traceback holds this frame: leave no cycle in it.

    def __await__(self) -> Generator[Any, Any, T]:
        if _foreign_wait is not None:
            thread = thread_loop.current_or_none()
            if thread is None or thread.coroutine is None:
                return (yield from _foreign_wait(self).__await__())  # type: ignore[no-any-return]
        if not self.is_settled:
            yield self
        try:
            return self._outcome()
        finally:
            del self

    def listen(self, on_value: ValueCallback[T], on_error: ErrorCallback) -> Withdraw:
        """Add both callbacks; return withdraw() for them."""
        self._add_reaction((on_value, on_error))
        return partial(self.withdraw, on_value, on_error)

    def withdraw(self, on_value: ValueCallback[T], on_error: ErrorCallback) -> bool:
        """Take back the callbacks of listen().

        Returns True if they are never called after it (they were withdrawn, or called before), and False if
        they were the last listener: then the promise is cancelled, and `on_error` is called when it
        settles."""
        reaction: Reaction = (on_value, on_error)
        reactions = self._reactions
        if not reactions or reaction not in reactions:
            return True
        if len(reactions) > 1:
            reactions.remove(reaction)
            return True
        self.cancel()
        return False

    def _depend_by(self, withdraw: Callable[[], object]) -> None:
        if not self.is_settled:
            self.on_cancel = withdraw

    def _outcome(self) -> T:
        if self._rejection is None:
            return self._value
        self._rejection.noticed = True
        error = self._rejection.error
        try:
            raise error
        finally:
            del error, self

    def _make_turns(self, timeout: float | None) -> None:
        thread = thread_loop.current()
        deadline = deadline_after(thread.now_ns(), timeout)
        while not self.is_settled:
            if deadline is not None and thread.now_ns() >= deadline:
                raise TimedOut(f"the promise was not settled within {timeout} s")
            thread.turn(_WAIT, deadline)

    def _add_reaction(self, reaction: Reaction) -> None:
        if self._reactions is None and not self.is_settled:
            made: deque[Reaction] = deque()  # The collector may run here, and a finaliser settle the promise.
            if self._reactions is None:
                self._reactions = made
        if self._reactions is None or self.is_settled:
            self._call(*reaction)
        else:
            self._reactions.append(reaction)

    def _react(self) -> None:
        self.on_cancel = None
        reactions = self._reactions
        if reactions is None:
            return
        try:
            while reactions:
                self._call(*reactions.popleft())
        finally:
            if reactions:
                # KeyboardInterrupt or SystemExit has left one of them; the others are still called.
                thread_loop.current().queue.post(self._react)

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
            thread_loop.report(
                error, "callback of a promise", on_value if self._rejection is None else on_error
            )


@calls_user_code
def _stop_work(stop: Callable[[], object]) -> None:
    try:
        stop()
    except Exception as error:
        thread_loop.report(error, "on_cancel of a promise", stop)


@calls_user_code
def _settle_with_result(mapped: Promise[U], function: Callable[[T], U], value: T) -> None:
    try:
        result = function(value)
    except Exception as error:
        mapped.reject(error)
    else:
        mapped.resolve(result)


@calls_user_code
def _settle_as_result(chained: Promise[U], function: Callable[[T], Promise[U]], value: T) -> None:
    try:
        result = function(value)
    except Exception as error:
        chained.reject(error)
        return
    if isinstance(result, Promise):
        chained._depend_by(result.listen(chained.resolve, chained.reject))
    else:
        chained.reject(
            UsageError(
                f"chain() takes a function that returns a Promise, not {result!r}; map() takes any other"
            )
        )
