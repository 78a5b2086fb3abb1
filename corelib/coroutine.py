"""Owns coroutines: each runs to its next await, and goes on in a turn of its own when that has settled.
Knows promises, not what settles them; a future of asyncio only by how it is awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from corelib.errors import Cancelled, UsageError
from corelib.promise import Promise
from corelib.timer import Timer
from corelib.turn import thread_loop
from corelib.turn.interrupts import calls_user_code

T = TypeVar("T")


def run_async(coroutine: Coroutine[Any, Any, T]) -> Promise[T]:
    """Run a coroutine on the calling thread's loop; a promise of what it returns. It runs to its first await
    at once, as LibCore's do. The loop keeps it alive.

    It may await promises, coroutines, notifiers and, where corelib.asyncio_bridge runs, asyncio's futures.
    cancel() of the promise raises Cancelled at the await where it stands; when the loop is closed, what still
    stands is closed, and its finally blocks run. NoEventLoop; UsageError for what is not a coroutine."""
    if not isinstance(coroutine, Coroutine):
        raise UsageError(
            f"run_async takes a coroutine, which calling an `async def` function gives, not {coroutine!r}"
        )
    task = Task(coroutine, thread_loop.current())
    task.step()
    return task


def sleep_ms(interval_ms: float) -> Promise[None]:
    """A promise that resolves after so many milliseconds: `await sleep_ms(10)`. NoEventLoop, ValueError."""
    slept: Promise[None] = Promise()
    timer = Timer.create_single_shot(interval_ms, partial(slept.resolve, None))
    timer.start()
    slept.on_cancel = timer.stop
    return slept


class Task(Promise[T]):
    """The promise of a running coroutine. Made by run_async."""

    __slots__ = ("_context", "_coroutine", "_give_up", "_thread", "_throw")

    def __init__(self, coroutine: Coroutine[Any, Any, T], thread: thread_loop.ThreadLoop) -> None:
        super().__init__()
        self._coroutine = coroutine
        self._thread = thread
        self._context = copy_context()
        #: What the next step raises inside the coroutine.
        self._throw: BaseException | None = None
        #: While it awaits: takes the interest back, True if that ends the wait here and now.
        self._give_up: Callable[[], bool] | None = None
        thread.tasks.add(self)

    def cancel(self) -> bool:
        """Raise Cancelled at the await where the coroutine stands, or reaches next. It goes first to what is
        awaited, so that inner `finally` blocks run before outer ones. False if it has ended. WrongThread."""
        if self.is_settled:
            return False
        self._thread.require_own_thread()
        if self._give_up is None:
            self._throw = Cancelled("the coroutine was cancelled")
        elif self._give_up():
            self._throw = Cancelled("the coroutine was cancelled")
            self._resume(None)
        return True

    @property
    def user_code(self) -> object:
        """For instruments: what runs."""
        return self._coroutine

    def step(self) -> None:
        """For the turn: go on to the next await, or to the end."""
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
        """For the loop that is closed: let the coroutine's finally blocks run, where it stands."""
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
            self._give_up = awaited.listen(self._resume, self._resume)
        elif getattr(awaited, "_asyncio_future_blocking", None):
            # The marks by which asyncio's own tasks know a future.
            awaited._asyncio_future_blocking = False
            self._give_up = partial(self._cancel_future, awaited)
            awaited.add_done_callback(self._resume)
        elif awaited is None:
            self._resume(None)
        else:
            self._throw = UsageError(
                f"a coroutine of this loop cannot await {awaited!r}: promises, notifiers, coroutines and, "
                "under corelib.asyncio_bridge, asyncio's futures and tasks"
            )
            self._resume(None)
        if self._throw is not None and self._give_up is not None:
            self._throw = None
            self.cancel()

    def _cancel_future(self, future: Any) -> bool:
        # Its end comes through its own loop; that it was cancelled there is told here in our own word.
        future.cancel()
        self._throw = Cancelled("the coroutine was cancelled")
        return False

    def _resume(self, _outcome: object) -> None:
        self._give_up = None
        self._thread.queue.post(self.step)

    def _end(self) -> None:
        self._thread.tasks.discard(self)

    def _take_notice(self) -> None:
        if self._rejection is not None:
            self._rejection.noticed = True

    def __repr__(self) -> str:
        return f"<Task of {getattr(self._coroutine, '__qualname__', self._coroutine)}>"


def _without_our_frames(error: BaseException) -> BaseException:
    """A traceback begins in the user's coroutine; and no frame in it holds the task that holds the error."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return error.with_traceback(traceback)
