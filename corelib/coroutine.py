"""Owns coroutines: each runs to its next await, and goes on in a turn of its own when that has settled.
Must not know what settles a promise, nor asyncio: another framework's futures come in through an adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from corelib.async_generators import AsyncGenerators
from corelib.errors import Cancelled, UsageError
from corelib.promise import Promise
from corelib.timer import Timer
from corelib.turn import thread_loop
from corelib.turn.interrupts import calls_user_code

T = TypeVar("T")

_CANCELLED = "the coroutine was cancelled"

WatchForeignFuture = Callable[[Any, Callable[[bool], None]], Callable[[], object] | None]
_watch_foreign_future: WatchForeignFuture | None = None


def let_coroutines_await_foreign_futures(watch: WatchForeignFuture) -> None:
    """Let coroutines of run_async await the futures of another framework.

    `watch(awaited, resume)` returns None for an object that is not such a future. Else it has
    `resume(cancelled)` called when the future is done, and returns a function that cancels the future."""
    global _watch_foreign_future
    _watch_foreign_future = watch


def run_async(coroutine: Coroutine[Any, Any, T]) -> Promise[T]:
    """Run a coroutine on the calling thread's loop; return a promise of its result.

    It runs to its first await at once, as LibCore's do. The loop keeps it alive. It may await promises,
    coroutines, notifiers and, under corelib.asyncio_bridge, asyncio's futures. cancel() of the promise raises
    Cancelled at the await that it has reached. It has a copy of the caller's contextvars. An asynchronous
    generator that it leaves early runs its finally blocks in turns. When the loop is closed, or the program
    ends, unfinished coroutines are closed and their finally blocks run.

    Raises:
        NoEventLoop: the thread has no loop.
        UsageError: the argument is not a coroutine.
    """
    if not isinstance(coroutine, Coroutine):
        raise UsageError(
            f"run_async takes a coroutine, which calling an `async def` function gives, not {coroutine!r}"
        )
    thread = thread_loop.current()
    if thread.async_generators is None:
        finish_async_generators(thread)
    task = Task(coroutine, thread)
    try:
        task.step()
        return task
    finally:
        del task  # See Task._inside.


def finish_async_generators(thread: thread_loop.ThreadLoop) -> None:
    """Have asynchronous generators that coroutines leave early finished by the calling thread's loop."""
    if thread.async_generators is None:
        thread.async_generators = AsyncGenerators(thread, run_async)


def sleep_ms(interval_ms: float) -> Promise[None]:
    """A promise that resolves after `interval_ms` milliseconds: `await sleep_ms(10)`.

    Raises:
        NoEventLoop: the thread has no loop.
        ValueError: the interval is negative or NaN.
    """
    slept: Promise[None] = Promise()
    timer = Timer.create_single_shot(interval_ms, partial(slept.resolve, None))
    timer.start()
    slept.on_cancel = timer.stop
    return slept


class Task(Promise[T]):
    """The promise of a running coroutine. Made by run_async."""

    __slots__ = ("_awaited", "_cancel_foreign", "_context", "_coroutine", "_thread", "_throw")

    def __init__(self, coroutine: Coroutine[Any, Any, T], thread: thread_loop.ThreadLoop) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._thread = thread
        self._context = copy_context()
        self._throw: BaseException | None = None
        """The error that the next step raises inside the coroutine."""
        self._awaited: Promise[Any] | None = None
        """The promise for which it waits."""
        self._cancel_foreign: Callable[[], object] | None = None
        """While it waits for another framework's future: cancels that."""
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
        if isinstance(self._awaited, Task):
            _innermost(self)._cancel_here()
        else:
            self._cancel_here()
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
        finally:
            del self  # See _inside.

    def close(self) -> None:
        """Close the coroutine, so that its finally blocks run. Called when the loop is closed."""
        self._end()
        try:
            self._inside(self._coroutine.close)
        except BaseException as error:
            thread_loop.report(error, "closing of a coroutine", self)
        finally:
            self.reject(Cancelled("the event loop was closed before the coroutine ended"))

    def _go_on(self) -> object:
        try:
            if self._throw is None:
                return self._inside(self._coroutine.send, None)
            error, self._throw = self._throw, None
            return self._inside(self._coroutine.throw, error)
        finally:
            del self  # See _inside.

    @calls_user_code
    def _inside(self, method: Callable[..., object], *argument: object) -> object:
        """Call the coroutine's method in its context.

        On 3.13 the frame of a coroutine that raised keeps our frames, and so what their variables hold: the
        task, whose error holds that frame. So the variables are deleted.
        """
        thread = self._thread
        outer, thread.coroutine = thread.coroutine, self
        try:
            if thread.has_foreign_hooks and thread.async_generators is not None:
                return thread.async_generators.run_with_hooks(self._context.run, method, *argument)
            return self._context.run(method, *argument)
        finally:
            thread.coroutine = outer
            del self, method, argument, outer

    def _await(self, awaited: Any) -> None:
        if isinstance(awaited, Promise):
            self._awaited = awaited
            resume = self._resume
            awaited.react(resume, resume)
        elif _watch_foreign_future is not None and (
            cancel := _watch_foreign_future(awaited, self._resume_after_foreign)
        ):
            self._cancel_foreign = cancel
        elif awaited is None:
            self._resume(None)
        else:
            self._throw = UsageError(
                f"a coroutine of this loop cannot await {awaited!r}: promises, notifiers, coroutines and, "
                "under corelib.asyncio_bridge, asyncio's futures and tasks"
            )
            self._resume(None)
        if self._throw is not None and (self._awaited is not None or self._cancel_foreign is not None):
            self._throw = None
            self.cancel()

    def _cancel_here(self) -> None:
        """Raise Cancelled in this coroutine; what it awaits is cancelled if nobody else waits for it."""
        awaited = self._awaited
        if self._cancel_foreign is not None:
            self._cancel_foreign()  # The future resumes the coroutine through its own loop.
        elif awaited is None:
            self._throw = Cancelled(_CANCELLED)
        elif isinstance(awaited, Task):
            # Another listener keeps it going, or it awaits this coroutine and is cancelled with it.
            awaited.withdraw(self._resume, self._resume, may_cancel=False)
            self._throw = Cancelled(_CANCELLED)
            self._resume(None)
        elif awaited.withdraw(self._resume, self._resume):
            self._throw = Cancelled(_CANCELLED)
            self._resume(None)

    def _resume(self, _outcome: object) -> None:
        self._awaited = None
        self._thread.queue.post(self.step)

    def _resume_after_foreign(self, cancelled: bool) -> None:
        # The coroutine gets corelib's Cancelled, not the error of the other framework.
        self._cancel_foreign = None
        if cancelled:
            self._throw = Cancelled(_CANCELLED)
        self._thread.queue.post(self.step)

    def _end(self) -> None:
        self._thread.tasks.discard(self)

    def _take_notice(self) -> None:
        if self._rejection is not None:
            self._rejection.noticed = True

    def _describe_work(self) -> str:
        return f"Task of {getattr(self._coroutine, '__qualname__', self._coroutine)}"


def _innermost(task: Task[Any]) -> Task[Any]:
    """The coroutine to cancel first. Coroutines may await one another in long rows, and in circles."""
    seen: set[Promise[Any]] = {task}
    while isinstance(inner := task._awaited, Task) and inner not in seen and inner.listeners == 1:
        seen.add(inner)
        task = inner
    return task


def _without_our_frames(error: BaseException) -> BaseException:
    """Begin the traceback in the user's coroutine: our frames hold the task, which holds the error."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return error.with_traceback(traceback)
