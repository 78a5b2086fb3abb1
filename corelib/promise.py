"""Owns Promise: a value that comes later, its listeners and their withdrawal, and failures that nobody
handled. Must not know what settles it; of the loop it knows the turns that await_ makes.
"""

from __future__ import annotations

import logging
import reprlib
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import partial
from typing import Any, Generic, TypeVar

from corelib.errors import AWAITED_ELSEWHERE, Cancelled, TimedOut, UsageError
from corelib.timer import Timer
from corelib.turn import thread_loop
from corelib.turn.instruments import brief
from corelib.turn.interrupts import calls_user_code
from corelib.turn.nesting import DEEPEST, call_later, call_postponed, counted, is_too_deep, postpone
from corelib.turn.not_copied import NotCopied
from corelib.turn.short_turn import short_turn
from corelib.turn.thread_loop import FOREIGN
from corelib.turn.timer_queue import check_timeout, deadline_after

logger = logging.getLogger("corelib")

T = TypeVar("T")
U = TypeVar("U")
ValueCallback = Callable[[T], object]
ErrorCallback = Callable[[BaseException], object]
Reaction = tuple[ValueCallback[Any] | None, ErrorCallback | None]
Withdraw = Callable[[], bool]

ForeignWait = Callable[["Promise[Any]"], Awaitable[Any] | None]
_foreign_wait: ForeignWait | None = None


def let_foreign_coroutines_await(wait: ForeignWait) -> None:
    """Have coroutines of another framework await promises by `await wait(promise)`.

    Called by the bridge to that framework. `wait` returns None while that does not run. Coroutines of
    run_async never go this way."""
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
_depth = 0
"""How many functions that are marked `counted` are on the stacks of all threads. Python switches threads at
calls and jumps, never in the middle of `_depth += 1`."""


class Promise(NotCopied, Generic[T]):
    """A value that comes later: settled once, by resolve(value) or reject(error), in the loop's thread.

    Callbacks are called when it settles, in the order in which they were added, or at once if it has settled
    already. Callbacks that settle promises with callbacks of their own nest 24 deep; deeper ones are called
    when those on the stack have returned. Their exceptions go to the loop's on_exception, not to the code
    that settles. Coroutines await it.

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
            if _depth < DEEPEST or not is_too_deep():
                self._react()
            else:
                postpone(self._react)
        return True

    def reject(self, error: BaseException) -> bool:
        """Settle with an error; False, without effect, if it is settled already."""
        if self.is_settled:
            return False
        self._rejection = _Rejection(error)
        self.on_cancel = None
        if self._reactions is not None:
            if _depth < DEEPEST or not is_too_deep():
                self._react()
            else:
                postpone(self._react)
        return True

    def cancel(self) -> bool:
        """Reject it with `Cancelled` and stop the work; False, without effect, if it is settled already.

        A coroutine's promise settles later, when the coroutine has dealt with its own `Cancelled`."""
        if self.is_settled:
            return False
        stop = self.on_cancel
        self.reject(Cancelled("the promise was cancelled"))
        if stop is not None:
            if _depth < DEEPEST or not is_too_deep():
                _call(stop, (), "on_cancel of a promise")
            else:
                postpone(partial(_call, stop, (), "on_cancel of a promise"))
        return True

    def when_resolved(self, callback: Callable[[T], object]) -> Promise[T]:
        """Call `callback(value)` when it resolves."""
        self.react(callback, None)
        return self

    def when_rejected(self, callback: Callable[[BaseException], object]) -> Promise[T]:
        """Call `callback(error)` when it is rejected; the rejection counts as handled."""
        self.react(None, callback)
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
        """A promise of the same value, rejected with `TimedOut` after this many seconds (math.inf: never).

        Raises:
            NoEventLoop: the thread has no loop.
            ValueError: NaN.
        """
        return _within(self, seconds)

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
            if thread is None or thread.coroutine is None or thread.coroutine is FOREIGN:
                wait = _foreign_wait(self)
                if wait is not None:
                    return (yield from wait.__await__())  # type: ignore[no-any-return]
        if not self.is_settled:
            try:
                yield self
            except BaseException as error:
                thread = thread_loop.current_or_none()
                if isinstance(error, Exception) and (thread is None or thread.coroutine is None):
                    raise UsageError(AWAITED_ELSEWHERE) from None
                raise
        try:
            return self._outcome()
        finally:
            del self

    def react(self, on_value: ValueCallback[T] | None, on_error: ErrorCallback | None) -> None:
        """Add both callbacks."""
        if self._value is _UNSETTLED and self._rejection is None:
            reaction: Reaction = (on_value, on_error)
            if self._reactions is None:
                made: deque[Reaction] = deque()
                if self._reactions is None:
                    self._reactions = made
            # Asked again: the collector may have run above, and a finaliser have settled the promise.
            if self._value is _UNSETTLED and self._rejection is None:
                self._reactions.append(reaction)
                return
        if _depth >= DEEPEST and is_too_deep():
            self._reactions = self._reactions or deque()
            self._reactions.append((on_value, on_error))
            postpone(self._react)
        elif self._rejection is None:
            if on_value is not None:
                _call(on_value, (self._value,), "callback of a promise")
        elif on_error is not None:
            self._rejection.noticed = True
            _call(on_error, (self._rejection.error,), "callback of a promise")

    def listen(self, on_value: ValueCallback[T], on_error: ErrorCallback) -> Withdraw:
        """Add both callbacks; return withdraw() for them."""
        self.react(on_value, on_error)
        return partial(self.withdraw, on_value, on_error)

    @property
    def listeners(self) -> int:
        """How many callbacks, derived promises and coroutines wait for it."""
        return 0 if self._reactions is None else len(self._reactions)

    def withdraw(self, on_value: ValueCallback[T], on_error: ErrorCallback, may_cancel: bool = True) -> bool:
        """Take back the callbacks of listen().

        Returns True if they are never called after it (they were withdrawn, or called before), and False if
        they were the last listener: then the promise is cancelled, and `on_error` is called when it settles.
        Without `may_cancel` the promise goes on."""
        reaction: Reaction = (on_value, on_error)
        reactions = self._reactions
        if not reactions or reaction not in reactions:
            return True
        if len(reactions) == 1 and may_cancel and self.cancel():
            return False
        reactions.remove(reaction)
        return True

    @reprlib.recursive_repr("<Promise ...>")
    def __repr__(self) -> str:
        return f"<{self._describe_work()}, {_state_of(self)}>"

    def _describe_work(self) -> str:
        return type(self).__name__

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
            short_turn(thread, deadline)

    @counted
    @calls_user_code
    def _react(self) -> None:
        global _depth
        reactions = self._reactions
        _depth += 1
        try:
            while reactions:
                on_value, on_error = reactions.popleft()
                try:
                    if self._rejection is None:
                        if on_value is not None:
                            on_value(self._value)
                    elif on_error is not None:
                        self._rejection.noticed = True
                        on_error(self._rejection.error)
                except BaseException as error:
                    callback = on_value if self._rejection is None else on_error
                    thread_loop.report(error, "callback of a promise", callback)
        finally:
            _depth -= 1
            if reactions:
                # KeyboardInterrupt or SystemExit has left one of them; the others are still called.
                call_later(self._react)
            if _depth >= DEEPEST - 1:
                call_postponed()


def _within(promise: Promise[T], seconds: float) -> Promise[T]:
    limited: Promise[T] = Promise()
    timer = Timer.create_single_shot(max(check_timeout(seconds), 0.0) * 1000)
    timer.start()

    def end_in_time(settle: Callable[[Any], bool], outcome: Any) -> None:
        timer.stop()
        settle(outcome)

    withdraw = promise.listen(partial(end_in_time, limited.resolve), partial(end_in_time, limited.reject))

    def give_up() -> None:
        timer.stop()
        withdraw()

    def end_late() -> None:
        limited.reject(TimedOut(f"the promise was not settled within {seconds} s"))
        withdraw()

    timer.on_timeout = end_late
    limited._depend_by(give_up)
    return limited


def _state_of(promise: Promise[Any]) -> str:
    if promise.is_resolved:
        return f"resolved with {brief(promise._value)}"
    if promise._rejection is None:
        return "pending"
    return "cancelled" if promise.is_cancelled else f"rejected with {brief(promise._rejection.error)}"


def _reject(promise: Promise[Any], error: BaseException) -> None:
    """Reject with the exception of user code; KeyboardInterrupt and SystemExit leave the turn as well."""
    promise.reject(error)
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        if promise._rejection is not None:
            promise._rejection.noticed = True  # Whoever it leaves to has noticed it.
        raise error


@counted
@calls_user_code
def _call(callback: Callable[..., object], arguments: tuple[Any, ...], source: str) -> None:
    global _depth
    _depth += 1
    try:
        callback(*arguments)
    except BaseException as error:
        thread_loop.report(error, source, callback)
    finally:
        _depth -= 1
        if _depth >= DEEPEST - 1:
            call_postponed()


@calls_user_code
def _settle_with_result(mapped: Promise[U], function: Callable[[T], U], value: T) -> None:
    try:
        result = function(value)
    except BaseException as error:
        _reject(mapped, error)
    else:
        mapped.resolve(result)


@calls_user_code
def _settle_as_result(chained: Promise[U], function: Callable[[T], Promise[U]], value: T) -> None:
    try:
        result = function(value)
    except BaseException as error:
        _reject(chained, error)
        return
    if isinstance(result, Promise):
        chained._depend_by(result.listen(chained.resolve, chained.reject))
    else:
        chained.reject(
            UsageError(
                f"chain() takes a function that returns a Promise, not {result!r}; map() takes any other"
            )
        )
