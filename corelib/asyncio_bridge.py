"""Owns the bridge to asyncio: an asyncio event loop whose wait is a turn of the corelib loop, the same as a
guest of EventLoop.exec(), and awaiting across. Must not know what is built on corelib. It is imported on its
own: the rest of corelib does not know asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import selectors
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from threading import get_ident
from types import FrameType
from typing import Any, TypeVar, TypeVarTuple

from corelib.asyncio_signals import interrupts_at_safe_points, wakeup_fd_kept
from corelib.coroutine import finish_async_generators, let_coroutines_await_foreign_futures
from corelib.errors import Cancelled, UsageError
from corelib.event_loop import EventLoop
from corelib.notifier import Notifier
from corelib.promise import Promise, let_foreign_coroutines_await
from corelib.timer import Timer
from corelib.turn import instruments, interrupts, thread_loop
from corelib.turn.clock import SYSTEM_CLOCK
from corelib.turn.instruments import Instrument
from corelib.turn.interrupts import calls_user_code, raise_pending
from corelib.turn.not_copied import NotCopied
from corelib.turn.timer_queue import deadline_after
from corelib.turn.wait_mode import WaitMode

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

logger = logging.getLogger("corelib")

# How often a guest checks whether the other asyncio loop that runs in its thread has ended.
_NEXT_LOOK_MS = 10.0


class _TurnSelector(selectors.EpollSelector):
    """asyncio's fds, in an epoll set of their own.

    Such a set is itself an fd, readable when one of its fds is ready: one notifier brings them all into the
    turn's wait, and adding and removing them is left to asyncio."""

    def __init__(self) -> None:
        super().__init__()
        self.is_selecting = False
        """Whether asyncio waits, and none of its callbacks is on the stack."""
        self._is_ready = False
        self._thread: thread_loop.ThreadLoop | None = None
        self._coroutine: object | None = None
        """The coroutine in which asyncio runs."""
        self._notifier: Notifier

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Let select() make turns of this thread's loop, which sleep at most as long as asyncio would."""
        self._notifier = Notifier(self.fileno(), Notifier.Type.READ, self._note, reentrant=True)
        self._thread = thread_loop.current()
        self._coroutine = self._thread.coroutine
        try:
            yield
        finally:
            self._thread = None
            self._notifier.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Make one turn; return the fds that are ready.

        Exceptions of callbacks go to the loop's on_exception; KeyboardInterrupt and SystemExit propagate."""
        thread = self._thread
        if thread is None:
            return super().select(timeout)
        self._notifier.set_enabled(True)
        self.is_selecting = True
        self._is_ready = False
        # No task of asyncio is on the stack now.
        foreign, thread.coroutine = thread.coroutine, self._coroutine
        try:
            if timeout is None or timeout > 0:
                thread.turn(WaitMode.WAIT_FOR_EVENTS, deadline_after(thread.now_ns(), timeout))
            else:
                thread.turn(WaitMode.POLL_FOR_EVENTS)
        finally:
            thread.coroutine = foreign
            self.is_selecting = False
        return super().select(0) if self._is_ready else []

    def _note(self) -> None:
        if self.is_selecting and not self._is_ready:
            self._is_ready = True
        else:
            # In a turn of a blocking call asyncio cannot serve its fds: let such turns sleep.
            self._notifier.set_enabled(False)


class AsyncioEventLoop(NotCopied, asyncio.SelectorEventLoop):
    """An asyncio event loop on the corelib loop.

    asyncio's libraries, timers, notifiers and connections share one thread and one wait. The class is a loop
    factory: `asyncio.Runner(loop_factory=AsyncioEventLoop)`.

    It runs on the corelib loop of the thread that runs it. If there is none by then, it makes one and keeps
    it until close(); in a thread other than its maker's, until it has run. So its callbacks can make timers,
    notifiers and connections; before it runs, only a thread with an EventLoop can.

    A blocking call in a callback or task of asyncio makes turns: corelib's work goes on meanwhile, asyncio's
    waits, as a task cannot be entered twice. In tasks, await promises instead. asyncio's debug mode warns of
    blocking calls."""

    def __init__(self) -> None:
        self._turns = _TurnSelector()
        super().__init__(self._turns)
        self._home = get_ident()
        self._own_loop: EventLoop | None = None
        self._blocking_calls: _BlockingCalls | None = None

    @calls_user_code
    def run_forever(self) -> None:
        """Run until stop().

        Raises:
            RuntimeError: it is running or closed.
            EventLoopClosed: the corelib loop was closed.
        """
        if self.is_running() or self.is_closed():
            super().run_forever()  # It raises, with asyncio's own message.
        with self._corelib_loop(), self._turns.joined(), interrupts_at_safe_points(), self._inside():
            super().run_forever()
        if interrupts.pending:
            raise_pending()

    def close(self) -> None:
        """Close it, and the corelib loop if it has made one."""
        super().close()
        own_loop, self._own_loop = self._own_loop, None
        if own_loop is not None and get_ident() == self._home:
            own_loop.close()

    def time(self) -> float:
        """The time of the calling thread's corelib loop, in seconds."""
        thread = thread_loop.current_or_none()
        if thread is None or thread.clock is SYSTEM_CLOCK:
            return super().time()
        return thread.now_ns() / 1e9

    def set_debug(self, enabled: bool) -> None:
        """Set asyncio's debug mode, which here warns of blocking calls in asyncio's callbacks too."""
        super().set_debug(enabled)
        if self.is_running():
            self.call_soon_threadsafe(lambda: self._watch_blocking_calls(thread_loop.current(), enabled))

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Add a handler as asyncio does, but by a Python handler.

        The wake-up fd remains corelib's, so every signal ends every wait at once."""
        with wakeup_fd_kept():
            super().add_signal_handler(sig, callback, *args)
        context = copy_context()

        def on_signal(_signo: int, _frame: FrameType | None) -> None:
            if not self.is_closed():
                self.call_soon_threadsafe(callback, *args, context=context)

        signal.signal(sig, on_signal)
        signal.siginterrupt(sig, False)

    def remove_signal_handler(self, sig: int) -> bool:
        """Remove a handler as asyncio does: the signal gets its default action."""
        with wakeup_fd_kept():
            return super().remove_signal_handler(sig)

    @contextlib.contextmanager
    def _corelib_loop(self) -> Iterator[None]:
        if thread_loop.current_or_none() is not None:
            yield
        elif get_ident() == self._home:
            self._own_loop = EventLoop()
            yield
        else:
            with EventLoop():
                yield

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """Run asyncio's code: it is not part of the corelib coroutine that may be on the stack."""
        thread = thread_loop.current()
        outer, thread.coroutine = thread.coroutine, thread_loop.FOREIGN
        finish_async_generators(thread)
        had_foreign_hooks, thread.has_foreign_hooks = thread.has_foreign_hooks, True
        self._watch_blocking_calls(thread, self.get_debug())
        try:
            yield
        finally:
            self._watch_blocking_calls(thread, False)
            thread.has_foreign_hooks = had_foreign_hooks
            thread.coroutine = outer

    def _watch_blocking_calls(self, thread: thread_loop.ThreadLoop, enabled: bool) -> None:
        if self._blocking_calls is not None:
            instruments.remove_from(thread, self._blocking_calls)
            self._blocking_calls = None
        if enabled:
            self._blocking_calls = _BlockingCalls(self, self._turns)
            instruments.add_to(thread, self._blocking_calls)


class _GuestEventLoop(AsyncioEventLoop):
    """An asyncio loop that the turns of EventLoop.exec() serve.

    When asyncio has something to do, a turn makes a single iteration of it. It never runs for longer, so the
    code that makes the turns keeps control."""

    # asyncio has no public way to ask what it has to do next; these two have held it since Python 3.4.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        self._is_posted = False
        self._guest_thread = thread_loop.current()
        super().__init__()
        self._timer = Timer.create_single_shot(0, self._iterate)
        self._notifier = Notifier(self._turns.fileno(), Notifier.Type.READ, self._iterate, reentrant=True)

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back soon, as asyncio does."""
        handle = super().call_soon(callback, *args, context=context)
        self._arrange()
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a time, as asyncio does."""
        handle = super().call_at(when, callback, *args, context=context)
        self._arrange()
        return handle

    @calls_user_code
    def run_forever(self) -> None:
        """Run until stop() by turns of its own, as a blocking call does."""
        try:
            super().run_forever()
        finally:
            self._arrange()

    def close(self) -> None:
        """Close it, so that no turn serves it any more."""
        if not self.is_running() and not self.is_closed():
            self._timer.stop()
            self._notifier.close()
        super().close()

    def _arrange(self) -> None:
        """Schedule an iteration for when asyncio has something to do; the end of a run does so too."""
        if self.is_running() or self.is_closed():
            return
        self._notifier.set_enabled(True)
        if self._ready:
            if not self._is_posted:
                self._is_posted = True
                self._guest_thread.queue.post(self._iterate_as_posted)
        elif self._scheduled:
            self._timer.restart(max(self._scheduled[0].when() - self.time(), 0) * 1000)

    def _iterate_as_posted(self) -> None:
        self._is_posted = False
        self._iterate()

    def _iterate(self) -> None:
        running = asyncio._get_running_loop()
        if self.is_closed():
            return
        if running is None:
            self._run_once_through()
            return
        # A callback of asyncio made this turn, and asyncio cannot run inside itself.
        self._notifier.set_enabled(False)
        if running is not self:
            self._timer.restart(_NEXT_LOOK_MS)

    @calls_user_code
    def _run_once_through(self) -> None:
        self.stop()
        try:
            with self._inside():
                super(AsyncioEventLoop, self).run_forever()
        finally:
            self._arrange()


class _BlockingCalls(Instrument):
    """Warns of each callback of asyncio that makes turns."""

    def __init__(self, loop: AsyncioEventLoop, turns: _TurnSelector) -> None:
        self._loop = loop
        self._turns = turns
        self._has_warned = False

    def turn_started(self) -> None:
        is_blocking = self._loop.is_running() and not self._turns.is_selecting
        if is_blocking and not self._has_warned:
            logger.warning(
                "%r makes a blocking call: asyncio stands still until it returns; await a promise instead",
                asyncio.current_task(self._loop) or "a callback of asyncio",
                stack_info=True,
            )
        self._has_warned = is_blocking


if sys.version_info < (3, 14):

    class EventLoopPolicy(asyncio.DefaultEventLoopPolicy):
        """A policy for programs that use one: `asyncio.set_event_loop_policy(EventLoopPolicy())`.

        Python 3.14 deprecates policies."""

        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            """A new AsyncioEventLoop."""
            return AsyncioEventLoop()


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a coroutine as asyncio.run does, on the calling thread's corelib loop, else on a temporary one.

    Ctrl-C does what it does there: the first cancels the main task, and KeyboardInterrupt is raised when that
    has ended; the second is raised at once.

    Raises:
        UsageError: an asyncio loop runs in this thread already.
        ValueError: the argument is not a coroutine.
    """
    if asyncio._get_running_loop() is not None:
        raise UsageError("an asyncio loop runs in this thread already: await the coroutine instead")
    if threading.current_thread() is not threading.main_thread():
        return _run(main, debug)
    interrupts.uninstall()  # asyncio replaces no other handler of SIGINT than Python's own.
    try:
        return _run(main, debug)
    finally:
        if thread_loop.current_or_none() is not None:
            interrupts.install()


@contextlib.contextmanager
def hosted(*, debug: bool | None = None) -> Iterator[AsyncioEventLoop]:
    """An asyncio loop that is served by the turns of this thread's corelib loop.

    For programs that run by EventLoop.exec():

        with asyncio_bridge.hosted() as asyncio_loop:
            asyncio_loop.create_task(main())
            code = EventLoop.current().exec()

    It is asyncio's running loop only in its own callbacks and tasks; elsewhere use the object. It pauses
    while one of its callbacks makes a blocking call, and while another asyncio loop runs in the thread. At
    the end its tasks are cancelled and awaited, as at the end of asyncio.run.

    Raises:
        NoEventLoop: the thread has no loop.
    """
    thread_loop.current()
    with asyncio.Runner(debug=debug, loop_factory=_GuestEventLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, AsyncioEventLoop)
        yield loop


def _run(main: Coroutine[Any, Any, T], debug: bool | None) -> T:
    with asyncio.Runner(debug=debug, loop_factory=AsyncioEventLoop) as runner:
        return runner.run(main)


def _wait_for(awaited: Promise[T]) -> Coroutine[Any, Any, T] | None:
    running = asyncio._get_running_loop()
    return _wait_in_a_task(running, awaited) if isinstance(running, AsyncioEventLoop) else None


async def _wait_in_a_task(loop: AsyncioEventLoop, awaited: Promise[T]) -> T:
    """Await a promise in a task of asyncio.

    Cancelling the task withdraws its listener. Cancelling the promise raises asyncio's CancelledError
    here."""
    settled = loop.create_future()

    def on_settled(_outcome: object) -> None:
        if not settled.done():
            settled.set_result(None)

    withdraw = awaited.listen(on_settled, on_settled)
    try:
        await settled
    except asyncio.CancelledError:
        withdraw()
        raise
    try:
        return awaited.await_()
    except Cancelled as cancelled:
        raise asyncio.CancelledError(*cancelled.args) from cancelled


def _watch_future(awaited: Any, resume: Callable[[bool], None]) -> Callable[[], object] | None:
    # The mark of an awaited asyncio future, by which asyncio's own tasks recognise it.
    if not getattr(awaited, "_asyncio_future_blocking", None):
        return None
    awaited._asyncio_future_blocking = False
    awaited.add_done_callback(lambda future: resume(future.cancelled()))
    return awaited.cancel  # type: ignore[no-any-return]


let_foreign_coroutines_await(_wait_for)
let_coroutines_await_foreign_futures(_watch_future)
