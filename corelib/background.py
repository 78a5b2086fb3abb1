"""Owns what crosses between a loop and other threads: jobs that leave it, and calls that come to it.
Must not know who waits for a job; it uses the queue of the thread alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import cache, partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, TypeVarTuple

from corelib.errors import EventLoopClosed, UsageError
from corelib.promise import Promise
from corelib.turn import forked
from corelib.turn.blocking import block_on
from corelib.turn.interrupts import calls_user_code
from corelib.turn.poller import READABLE
from corelib.turn.reports import raise_if_it_leaves
from corelib.turn.thread_loop import ThreadLoop
from corelib.turn.wakeup import WakeUp

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

# At once. A thread is made only if all others are busy.
_MOST_LOOK_UPS = 32

Pool = Literal["job", "look-up"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run_in_thread(
    thread: ThreadLoop, function: Callable[[*Ts], T], *args: *Ts, pool: Pool = "job"
) -> Promise[T]:
    """Call `function(*args)`, which may block, in a thread of one of the process's pools.

    It runs in a copy of the caller's context (contextvars). Return a promise of its outcome, settled in a
    turn of the calling loop. cancel() withdraws a job that has not begun, and drops the outcome of one that
    has. Closing the loop cancels; later exceptions of the job are logged. A forked child has no jobs.

    Raises:
        EventLoopClosed: the loop is closed.
        WrongThread: called from a thread other than the loop's.
    """
    thread.require_own_thread()
    if thread.closed:
        raise EventLoopClosed
    job: Job[T] = Job(thread, function)
    job.start(_pool(pool).submit(copy_context().run, partial(function, *args)))
    return job


def call_from_thread(thread: ThreadLoop, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Call `function(*args)` in a turn of the loop from another thread, and return or raise its outcome.

    The calling thread blocks meanwhile, with its own loop; Ctrl-C ends the wait of the main thread.

    Raises:
        EventLoopClosed: the loop is closed, or was closed before the call.
        UsageError: called from the loop's own thread.
    """
    if thread.closed:
        raise EventLoopClosed
    if get_ident() == thread.ident:
        raise UsageError(
            "call_from_thread in the loop's own thread would wait for itself: call the function, or "
            "deferred_invoke it"
        )
    answer: _Answer[T] = _Answer()
    with suppress(EventLoopClosed):
        thread.queue.post(_Call(answer, function, args))
    if thread.closed and answer.outcome.reject(EventLoopClosed()):
        # If it was closed before the call was queued, nobody else answers.
        answer.leave("loop")
    answer.wait()
    return answer.outcome.await_()


class Job(Promise[T]):
    """The promise of a job. Made by run_in_thread."""

    __slots__ = ("_thread", "user_code")

    def __init__(self, thread: ThreadLoop, function: Callable[..., T]) -> None:
        super().__init__()
        self._thread = thread
        self.user_code = function
        """The function, for instruments."""

    def start(self, future: Future[T]) -> None:
        """Follow the job, which is in the pool now."""
        self._thread.tasks.add(self)
        self.on_cancel = partial(self._take_back, future)
        future.add_done_callback(self._come_back)

    def close(self) -> None:
        """Cancel the job. Called when the loop is closed."""
        self.cancel()

    def _take_back(self, future: Future[T]) -> None:
        self._thread.tasks.discard(self)
        future.cancel()

    def _come_back(self, future: Future[T]) -> None:
        """Post the outcome to the loop; runs in the pool's thread.

        If the loop is closed, the outcome is dropped, and logged if it is a rejection."""
        if future.cancelled():
            return
        error = future.exception()
        outcome: Promise[T] = Promise.resolved(future.result()) if error is None else Promise.rejected(error)
        if not self._thread.closed:
            with suppress(EventLoopClosed):
                self._thread.queue.post(partial(self._settle, outcome))

    def _settle(self, outcome: Promise[T]) -> None:
        self._thread.tasks.discard(self)
        outcome.listen(self.resolve, self.reject)

    def _describe_work(self) -> str:
        return f"Job {self.user_code!r}"


class _Answer(Generic[T]):
    """The outcome that a caller waits for, and the pipe that ends its wait.

    The last of the two sides that leaves closes the pipe, so a late answer is never written to an fd that is
    another file's by then."""

    __slots__ = ("_sides", "_wakeup", "outcome")

    def __init__(self) -> None:
        self.outcome: Promise[T] = Promise()
        self._wakeup = WakeUp()
        self._sides = {"caller", "loop"}

    def wait(self) -> None:
        """Block until the outcome is there. Called by the caller."""
        try:
            # In a loop: a forked child that drops its copy of the call wakes the parent's caller too.
            while not self.outcome.is_settled:
                block_on(self._wakeup.fd, READABLE, None)
                self._wakeup.drain()
        finally:
            self.leave("caller")

    def wake(self) -> None:
        """End the caller's wait, as the outcome is there. Called by the loop."""
        self._wakeup.wake()
        self.leave("loop")

    def leave(self, side: str) -> None:
        """Note that a side, "caller" or "loop", does not use the pipe any more."""
        self._sides.discard(side)
        if not self._sides:
            self._wakeup.close()


class _Call(Generic[T]):
    """A call on its way to a loop. A loop that is closed drops it, which answers the caller too."""

    __slots__ = ("_answer", "_args", "user_code")

    def __init__(self, answer: _Answer[T], function: Callable[..., T], args: tuple[Any, ...]) -> None:
        self._answer = answer
        self._args = args
        self.user_code = function

    @calls_user_code
    def __call__(self) -> None:
        outcome = self._answer.outcome
        try:
            outcome.resolve(self.user_code(*self._args))
        except BaseException as error:
            outcome.reject(error)
            raise_if_it_leaves(error)
        finally:
            self._answer.wake()

    def __del__(self) -> None:
        if self._answer.outcome.reject(EventLoopClosed()):
            self._answer.wake()
        else:
            self._answer.leave("loop")

    def __repr__(self) -> str:
        return f"<call from another thread of {self.user_code!r}>"


@cache
def _pool(kind: Pool) -> ThreadPoolExecutor:
    """The pool of one kind: jobs of the program that block do not delay the look-up of a name."""
    # Imported when first needed: it would make importing corelib take a third longer.
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_MOST_LOOK_UPS if kind == "look-up" else None, f"corelib-{kind}")


forked.forget(_pool.cache_clear)
