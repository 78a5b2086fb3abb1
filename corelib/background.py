"""Owns what crosses between a loop and other threads: jobs that leave it, and calls that come to it.
Knows a thread's queue, and nothing of who waits for a job.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple

from corelib.errors import EventLoopClosed, UsageError
from corelib.promise import Promise
from corelib.turn import forked
from corelib.turn.blocking import block_on
from corelib.turn.interrupts import calls_user_code
from corelib.turn.poller import READABLE
from corelib.turn.thread_loop import ThreadLoop
from corelib.turn.wakeup import WakeUp

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run_in_thread(thread: ThreadLoop, function: Callable[[*Ts], T], *args: *Ts) -> Promise[T]:
    """Call `function(*args)`, which may block, in a thread of the process's pool; a promise of what it
    returns or raises, settled in a turn of the loop that asks.

    cancel() takes back a job that has not begun, and drops the outcome of one that has. Closing the loop
    cancels; what a job raises after that is logged. A forked child has none of them. EventLoopClosed,
    WrongThread."""
    thread.require_own_thread()
    if thread.closed:
        raise EventLoopClosed
    job: Job[T] = Job(thread, function)
    job.start(_pool().submit(function, *args))
    return job


def call_from_thread(thread: ThreadLoop, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """For other threads: have `function(*args)` called in a turn of the loop, wait for it, and return what it
    returns or raise what it raises. Meanwhile the calling thread stands still, its own loop included; Ctrl-C
    ends the wait of the main thread.

    EventLoopClosed when the loop is closed before the call was made; UsageError in the loop's own thread."""
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
        # Maybe it was closed before the call was queued: then nobody else answers.
        answer.leave("loop")
    answer.wait()
    return answer.outcome.await_()


class Job(Promise[T]):
    """The promise of a job. Made by run_in_thread."""

    __slots__ = ("_thread", "user_code")

    def __init__(self, thread: ThreadLoop, function: Callable[..., T]) -> None:
        super().__init__()
        self._thread = thread
        #: For instruments: what runs.
        self.user_code = function

    def start(self, future: Future[T]) -> None:
        """It is in the pool."""
        self._thread.tasks.add(self)
        self.on_cancel = partial(self._take_back, future)
        future.add_done_callback(self._come_back)

    def close(self) -> None:
        """For the loop that is closed."""
        self.cancel()

    def _take_back(self, future: Future[T]) -> None:
        self._thread.tasks.discard(self)
        future.cancel()

    def _come_back(self, future: Future[T]) -> None:
        """In the thread of the pool. Where the loop is closed the outcome is dropped, and logs itself if it
        is a rejection."""
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

    def __repr__(self) -> str:
        return f"<Job {self.user_code!r}>"


class _Answer(Generic[T]):
    """What a caller waits for, and the pipe that ends its wait. The pipe is closed by the last of the two
    sides that leaves, so that a late answer is never written to a number that is another file's by then."""

    __slots__ = ("_sides", "_wakeup", "outcome")

    def __init__(self) -> None:
        self.outcome: Promise[T] = Promise()
        self._wakeup = WakeUp()
        self._sides = {"caller", "loop"}

    def wait(self) -> None:
        """For the caller: until the outcome is there."""
        try:
            # A forked child that drops its copy of the call wakes the parent's caller too: look again.
            while not self.outcome.is_settled:
                block_on(self._wakeup.fd, READABLE, None)
                self._wakeup.drain()
        finally:
            self.leave("caller")

    def tell(self) -> None:
        """For the loop: the outcome is there."""
        self._wakeup.wake()
        self.leave("loop")

    def leave(self, side: str) -> None:
        """It will not touch the pipe again."""
        self._sides.discard(side)
        if not self._sides:
            self._wakeup.close()


class _Call(Generic[T]):
    """A call on its way to a loop. A loop that is closed drops it without making it, and has answered the
    caller all the same."""

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
            if not isinstance(error, Exception):
                raise
        finally:
            self._answer.tell()

    def __del__(self) -> None:
        if self._answer.outcome.reject(EventLoopClosed()):
            self._answer.tell()
        else:
            self._answer.leave("loop")

    def __repr__(self) -> str:
        return f"<call from another thread of {self.user_code!r}>"


@cache
def _pool() -> ThreadPoolExecutor:
    # Imported when first needed: it would add a third to the time that importing corelib takes.
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(thread_name_prefix="corelib-job")


forked.forget(_pool.cache_clear)
