"""Owns coroutines: each runs to its next await, and goes on in a turn of its own when that has settled.
Must not know what settles a promise, nor asyncio: another framework's futures come in through an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from corelib.errors import Cancelled, UsageError
from corelib.promise import Promise, Withdraw
from corelib.timer import Timer
from corelib.turn import thread_loop
from corelib.turn.interrupts import calls_user_code

T = TypeVar("T")

WatchForeignFuture = Callable[[Any, Callable[[object], None]], Callable[[], object] | None]
_watch_foreign_future: WatchForeignFuture | None = None


def let_coroutines_await_foreign_futures(watch: WatchForeignFuture) -> None:
    """Let coroutines of run_async await the futures of another framework.

    `watch(awaited, resume)` returns None for an object that is not such a future. Else it has
    `resume(future)` called when the future is done, and returns a function that cancels the future."""
    global _watch_foreign_future
    _watch_foreign_future = watch


def run_async(coroutine: Coroutine[Any, Any, T]) -> Promise[T]:
    """Run a coroutine on the calling thread's loop; return a promise of its result.

    It runs to its first await at once, as LibCore's do. The loop keeps it alive. It may await promises,
    coroutines, notifiers and, under corelib.asyncio_bridge, asyncio's futures. cancel() of the promise raises
    Cancelled at the await that it has reached. When the loop is closed, unfinished coroutines are closed and
    their finally blocks run.

    Raises:
        NoEventLoop: the thread has no loop.
        UsageError: the argument is not a coroutine.
    """
    if not isinstance(coroutine, Coroutine):
        raise UsageError(
            f"run_async takes a coroutine, which calling an `async def` function gives, not {coroutine!r}"
        )
    task = Task(coroutine, thread_loop.current())
    task.step()
    return task


def sleep_ms(interval_ms: float) -> Promise[None]:
    """A promise that resolves after `interval_ms` milliseconds: `await sleep_ms(10)`.

    Raises:
        NoEventLoop: the thread has no loop.
        ValueError: the interval is not 0 to 1e12.
    """
    slept: Promise[None] = Promise()
    timer = Timer.create_single_shot(interval_ms, partial(slept.resolve, None))
    timer.start()
    slept.on_cancel = timer.stop
    return slept


class Task(Promise[T]):
    """The promise of a running coroutine. Made by run_async."""

    __slots__ = ("_context", "_coroutine", "_thread", "_throw", "_withdraw_wait")

    def __init__(self, coroutine: Coroutine[Any, Any, T], thread: thread_loop.ThreadLoop) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._thread = thread
        self._context = copy_context()
        self._throw: BaseException | None = None
        """The error that the next step raises inside the coroutine."""
        self._withdraw_wait: Withdraw | None = None
        """While it awaits: ends the wait. False if the awaited thing will still call `_resume`."""
        thread.tasks.add(self)

    def cancel(self) -> bool:
        """Raise `Cancelled` at the coroutine's present or next await; False if it has ended.

        A coroutine that it awaits is cancelled first, so inner `finally` blocks run before outer ones.

        Raises:
            WrongThread: called from a thread other than the loop's.
        """
        if self.is_settled:
            return False
        self._thread.require_own_thread()
        if self._withdraw_wait is None:
            self._throw = Cancelled("the coroutine was cancelled")
        elif self._withdraw_wait():
            self._throw = Cancelled("the coroutine was cancelled")
            self._resume(None)
        return True

    @property
    def user_code(self) -> object:
        """The coroutine, for instruments."""
        return self._coroutine

    def step(self) -> None:
        """Run to the next await, or to the end. Called by the turn."""
        try:
            awaited = self._go_on()
        except StopIteration as end:
            self._end()
            self.resolve(end.value)
        except BaseException as error:
            self._end()
            self.reject(_without_our_frames(error))
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                self._take_notice()
                raise
        else:
            self._await(awaited)

    def close(self) -> None:
        """Close the coroutine, so that its finally blocks run. Called when the loop is closed."""
        self._end()
        try:
            self._inside(self._coroutine.close)
        except Exception as error:
            thread_loop.report(error, "closing of a coroutine", self)
        self.reject(Cancelled("the event loop was closed before the coroutine ended"))

    def _go_on(self) -> object:
        if self._throw is None:
            return self._inside(self._coroutine.send, None)
        error, self._throw = self._throw, None
        return self._inside(self._coroutine.throw, error)

    @calls_user_code
    def _inside(self, method: Callable[..., object], *argument: object) -> object:
        thread = self._thread
        outer, thread.coroutine = thread.coroutine, self
        try:
            return self._context.run(method, *argument)
        finally:
            thread.coroutine = outer

    def _await(self, awaited: Any) -> None:
        if isinstance(awaited, Promise):
            self._withdraw_wait = awaited.listen(self._resume, self._resume)
        elif _watch_foreign_future is not None and (cancel := _watch_foreign_future(awaited, self._resume)):
            self._withdraw_wait = partial(self._cancel_foreign, cancel)
        elif awaited is None:
            self._resume(None)
        else:
            self._throw = UsageError(
                f"a coroutine of this loop cannot await {awaited!r}: promises, notifiers, coroutines and, "
                "under corelib.asyncio_bridge, asyncio's futures and tasks"
            )
            self._resume(None)
        if self._throw is not None and self._withdraw_wait is not None:
            self._throw = None
            self.cancel()

    def _cancel_foreign(self, cancel: Callable[[], object]) -> bool:
        # The future calls _resume through its own loop. The coroutine gets corelib's Cancelled, not its
        # error.
        cancel()
        self._throw = Cancelled("the coroutine was cancelled")
        return False

    def _resume(self, _outcome: object) -> None:
        self._withdraw_wait = None
        self._thread.queue.post(self.step)

    def _end(self) -> None:
        self._thread.tasks.discard(self)

    def _take_notice(self) -> None:
        if self._rejection is not None:
            self._rejection.noticed = True

    def __repr__(self) -> str:
        return f"<Task of {getattr(self._coroutine, '__qualname__', self._coroutine)}>"


def _without_our_frames(error: BaseException) -> BaseException:
    """Begin the traceback in the user's coroutine: our frames hold the task, which holds the error."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return error.with_traceback(traceback)
