"""Owns EventLoop, the face of the loop: what programs call. The work is done in turn/thread_loop.py.
May not know notifiers, timers or sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from threading import get_ident
from types import TracebackType
from typing import Any, Protocol, TypeVar, TypeVarTuple

from corelib import background, snapshot
from corelib.coroutine import run_async
from corelib.errors import EventLoopClosed, UsageError, WrongThread
from corelib.promise import Promise
from corelib.turn import instruments, interrupts, thread_loop
from corelib.turn.clock import Clock
from corelib.turn.instruments import Instrument, SlowCallbacks
from corelib.turn.interrupts import calls_user_code, raise_pending
from corelib.turn.reports import log_exception
from corelib.turn.signals import SignalHandler, SignalHandlers
from corelib.turn.timer_queue import deadline_after
from corelib.turn.wait_mode import WaitMode

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
E = TypeVar("E", contravariant=True)


# On 3.11 `Enum.MEMBER` costs about 90 ns (a descriptor), a bound name 9.
_WAIT = WaitMode.WAIT_FOR_EVENTS


class Receiver(Protocol[E]):
    """To whom events can be posted: an EventReceiver."""

    def delivery(self, event: E) -> Callable[[], object]:
        """What hands it the event in a turn, unless it is gone by then."""
        ...


class EventLoop:
    """Waits for time to pass, fds to become ready and callbacks to be posted, and calls who asked for it.

    The unit of its work is the turn: sleep until there is something to do; activate the notifiers whose fds
    are ready; fire the timers that are due; run the deferred callbacks, in order. What these callbacks add
    waits for the next turn, so no one starves the others. `exec` makes turns until `quit`, `spin_until` until
    a condition holds, and `pump` makes one.

    Any callback may itself make turns, by `exec`, `spin_until`, a blocking call or `Promise.await_`: turns
    nest. All loops of a thread share one queue, one set of timers and one set of notifiers, so an inner turn
    runs what an outer one had not come to yet. A second EventLoop in a thread is only another thing to quit.
    A timer or notifier is not activated again while its own callback is on the stack.

    An exception that leaves a callback goes to `on_exception` and the loop goes on; KeyboardInterrupt and
    SystemExit leave through `exec`. Ctrl-C is raised in or between callbacks, never within the loop. A forked
    child forgets its parent's loops and makes its own.

    Only `deferred_invoke`, `post_event`, `call_from_thread`, `quit`, `wake` and `snapshot` may be called from
    other threads."""

    on_exception: Callable[[Exception, str], None]
    """Called with each exception that a callback let out, and a text that names the callback. Logs by
    default."""

    def __init__(self, *, busy_poll_us: float | None = None, clock: Clock | None = None) -> None:
        """`busy_poll_us` is for how many microseconds at most a turn of this thread's loops polls before it
        sleeps, while events come in quick succession: 0 (never) to 100. Without it the environment variable
        CORELIB_BUSY_POLL_US counts, else it is 100. Where the thread may use less than two processors nothing
        is polled.

        `clock` is the time that all loops of this thread live in, the system's by default; see Clock.

        Raises:
            UsageError: a number out of range, or a loop of this thread has another clock.
        """
        self.on_exception = log_exception
        self._thread = thread_loop.current_or_new(clock)
        if busy_poll_us is not None:
            self._thread.poll_busily(busy_poll_us)
        self._thread.loops.append(self)
        self._queue = self._thread.queue
        self._exit_requested = False
        self._exit_code = 0
        self._debug: SlowCallbacks | None = None

    @staticmethod
    def current() -> EventLoop:
        """The innermost executing loop of this thread, else the first it made. NoEventLoop when it has
        none."""
        loop = thread_loop.current().current_loop
        assert isinstance(loop, EventLoop), "only EventLoop enters itself there"
        return loop

    @staticmethod
    def is_running() -> bool:
        """Whether this thread has a current loop that was not told to quit (LibCore's rule)."""
        thread = thread_loop.current_or_none()
        return thread is not None and not thread.current_loop.was_exit_requested()

    def exec(self) -> int:
        """Make turns until quit(code), and return the code. A quit() made before counts. The request is
        consumed, so that an exec() further out goes on, and this one can be called again. EventLoopClosed,
        WrongThread."""
        self._thread.require_own_thread()
        turn = self._thread.turn
        self._thread.executing.append(self)
        try:
            while not self._exit_requested:
                turn(_WAIT)
        finally:
            self._thread.executing.pop()
        code = self._exit_code
        self.unquit()
        if interrupts.pending:
            raise_pending()
        return code

    def pump(self, mode: WaitMode = _WAIT, timeout: float | None = None) -> int:
        """Make one turn, which sleeps for at most `timeout` seconds; return the number of callbacks made.

        Raises:
            EventLoopClosed: the loop is closed.
            WrongThread: called from a thread other than the loop's.
        """
        thread = self._thread
        if get_ident() != thread.ident:
            thread.require_own_thread()
        until_ns = None if timeout is None else deadline_after(thread.now_ns(), timeout)
        return thread.turn(mode, until_ns)

    def spin_until(self, condition: Callable[[], object], timeout: float | None = None) -> bool:
        """Make turns until `condition()` is true; False when the loop was told to quit (the request stays) or
        `timeout` seconds have passed. What the condition raises, leaves. EventLoopClosed, WrongThread."""
        self._thread.require_own_thread()
        deadline = deadline_after(self._thread.now_ns(), timeout)
        self._thread.executing.append(self)
        try:
            reached = self._turn_until(condition, deadline)
        finally:
            self._thread.executing.pop()
        if interrupts.pending:
            raise_pending()
        return reached

    def run_until_complete(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end: what it returns, or raises. quit() cancels it, and the request is
        consumed; so does what leaves the turns, Ctrl-C above all. Either way its finally blocks have run
        when this ends. EventLoopClosed, WrongThread."""
        self._thread.require_own_thread()
        task = run_async(coroutine)
        try:
            if not self.spin_until(lambda: task.is_settled):
                self.unquit()
                task.cancel()
            return task.await_()
        except BaseException:
            task.cancel()
            if not task.is_settled:
                self.spin_until(lambda: task.is_settled)
            raise

    def quit(self, code: int = 0) -> None:
        """End exec() with `code` once the turn in progress is done; from any thread and from a signal
        handler."""
        self._exit_code = code
        self._exit_requested = True
        self.wake()

    def unquit(self) -> None:
        """Take quit() back."""
        self._exit_requested = False
        self._exit_code = 0

    def was_exit_requested(self) -> bool:
        """Whether quit() was called and neither unquit() nor the end of exec() came after it."""
        return self._exit_requested

    def deferred_invoke(self, callback: Callable[[], object]) -> None:
        """Call `callback` in the next turn, after those that were deferred before; from any thread.
        EventLoopClosed."""
        self._queue.post(callback)

    def post_event(self, receiver: Receiver[E], event: E) -> None:
        """Dispatch `event` to `receiver` in the next turn, after what was deferred or posted before, unless
        the receiver is dropped before (LibCore's rule); from any thread. EventLoopClosed."""
        self._queue.post(receiver.delivery(event))

    def run_in_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> Promise[T]:
        """Call `function(*args)`, which may block, in a thread of a pool; a promise of what it returns or
        raises, settled in a turn. cancel() takes back a job that has not begun, and drops the outcome of one
        that has; so does closing the loop. EventLoopClosed, WrongThread."""
        return background.run_in_thread(self._thread, function, *args)

    def call_from_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """For other threads: have `function(*args)` called in a turn of this loop, wait for it, and return
        what it returns or raise what it raises. EventLoopClosed when the loop is closed before that;
        UsageError in the loop's own thread."""
        return background.call_from_thread(self._thread, function, *args)

    def wake(self) -> None:
        """End the loop's sleep, or the next one; from any thread and from a signal handler.
        EventLoopClosed."""
        self._thread.wakeup.wake()

    def add_instrument(self, instrument: Instrument) -> None:
        """Tell an instrument of each turn and callback of this thread. WrongThread."""
        self._thread.require_own_thread()
        instruments.add_to(self._thread, instrument)

    def remove_instrument(self, instrument: Instrument) -> None:
        """Tell it no more; fine if it was not added. WrongThread."""
        self._thread.require_own_thread()
        instruments.remove_from(self._thread, instrument)

    def set_debug(self, slow_callback: float | None = 0.1) -> None:
        """Log each callback of this thread that holds the loop up for longer than `slow_callback` seconds,
        with its source; None ends it.

        Raises:
            WrongThread: called from a thread other than the loop's.
        """
        self._thread.require_own_thread()
        if self._debug is not None:
            instruments.remove_from(self._thread, self._debug)
        self._debug = None if slow_callback is None else SlowCallbacks(slow_callback, self._thread.now_ns)
        if self._debug is not None:
            instruments.add_to(self._thread, self._debug)

    def snapshot(self) -> snapshot.Snapshot:
        """What this thread's loops have before them, as data; `str()` of it is for reading. From any
        thread. EventLoopClosed."""
        if self._thread.closed:
            raise EventLoopClosed
        return snapshot.take(self._thread)

    @property
    def in_turn(self) -> bool:
        """Whether a turn of this thread is on the stack."""
        return self._thread.depth > 0

    def at_turn_end(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, when the turn in progress ends, or before anything within it begins to wait.
        Outside a turn, the next one calls it first thing."""
        self._thread.turn_end.append(callback)

    def register_signal(self, signo: int, handler: SignalHandler) -> int:
        """Call `handler(signo)` in a turn after a signal has arrived, once for all its arrivals before that
        (as with the kernel's pending signals); the id unregisters it. WrongThread unless this is a loop of
        the main thread; UsageError for a signal that cannot be caught."""
        return self._signals().register(signo, handler)

    def unregister_signal(self, handler_id: int) -> None:
        """Forget a handler; with the last one of a signal, what handled it before comes back. UsageError for
        an id that is not registered."""
        self._signals().unregister(handler_id)

    def close(self) -> None:
        """Forget this loop; with the last one of its thread, all timers, notifiers and deferred callbacks.
        Closing twice is fine. UsageError while it executes."""
        thread = self._thread
        if thread.closed or self not in thread.loops:
            return
        thread.require_own_thread()
        if self in thread.executing:
            raise UsageError(
                "an event loop cannot be closed while it executes: quit() it, and close it after exec()"
            )
        if thread.loops == [self]:
            thread.close()
        else:
            thread.loops.remove(self)

    def __enter__(self) -> EventLoop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @calls_user_code
    def _turn_until(self, condition: Callable[[], object], deadline: int | None) -> bool:
        turn = self._thread.turn
        now_ns = self._thread.now_ns
        while not condition():
            if self._exit_requested or (deadline is not None and now_ns() >= deadline):
                return False
            turn(_WAIT, deadline)
        return True

    def _signals(self) -> SignalHandlers:
        self._thread.require_own_thread()
        if self._thread.closed:
            raise EventLoopClosed
        if self._thread.signals is None:
            raise WrongThread(
                "signals are delivered to the main thread: register them with a loop made there"
            )
        return self._thread.signals


def deferred_invoke(callback: Callable[[], object]) -> None:
    """Call `callback` in the next turn of the calling thread's loop. NoEventLoop."""
    thread_loop.current().queue.post(callback)
