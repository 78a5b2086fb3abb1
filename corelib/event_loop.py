"""Owns EventLoop, the public face of the loop, whose turns are made in turn/thread_loop.py.
Must not know notifiers, timers or sockets.

The unit of the loop's work is the turn: sleep until there is something to do; activate the notifiers whose
fds are ready; fire the timers that are due; run the deferred callbacks, in order. Work that these callbacks
add waits for the next turn, so no source of work starves the others. `exec` makes turns until `quit`,
`spin_until` until a condition holds, and `pump` makes one.

Any callback may itself make turns, by `exec`, `spin_until`, a blocking call or `Promise.await_`: turns nest.
All loops of a thread share one queue, one set of timers and one set of notifiers, so an inner turn runs what
an outer one had not come to yet. A second EventLoop in a thread is only another thing to quit. A timer or
notifier is not activated again while its own callback is on the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import get_ident
from types import TracebackType
from typing import Any, Protocol, TypeVar, TypeVarTuple, cast

from corelib import background, snapshot
from corelib.coroutine import run_async
from corelib.errors import EventLoopClosed, UsageError, WrongThread
from corelib.promise import Promise
from corelib.turn import instruments, interrupts, thread_loop
from corelib.turn.clock import Clock
from corelib.turn.instruments import Instrument, SlowCallbacks
from corelib.turn.interrupts import calls_user_code, raise_pending
from corelib.turn.not_copied import NotCopied
from corelib.turn.reports import log_exception
from corelib.turn.short_turn import short_turn
from corelib.turn.signals import SignalHandler, SignalHandlers
from corelib.turn.timer_queue import deadline_after
from corelib.turn.wait_mode import WaitMode

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
E = TypeVar("E", contravariant=True)


# On 3.11 `Enum.MEMBER` costs about 90 ns (a descriptor), a bound name 9.
_WAIT = WaitMode.WAIT_FOR_EVENTS


class Receiver(Protocol[E]):
    """An object to which events can be posted: an EventReceiver."""

    def delivery(self, event: E) -> Callable[[], object]:
        """A callback that dispatches the event to the receiver, unless that is gone by then."""
        ...


class EventLoop(NotCopied):
    """Waits for timers, ready fds and posted callbacks, and calls their callbacks.

    An exception that leaves a callback goes to `on_exception` and the loop goes on; KeyboardInterrupt and
    SystemExit alone leave through `exec`. Ctrl-C is raised in or between callbacks, never within the loop. A
    forked child does not get its parent's loops and makes its own.

    Only `deferred_invoke`, `post_event`, `call_from_thread`, `quit`, `wake` and `snapshot` may be called from
    other threads."""

    on_exception: Callable[[BaseException, str], None]
    """Called with each exception that leaves a callback, and the callback's name. Logs by default."""

    def __init__(self, *, busy_poll_us: float | None = None, clock: Clock | None = None) -> None:
        """Make a loop of the calling thread.

        `busy_poll_us` bounds the polling before a sleep while events come in quick succession: 0 (never) to
        100 microseconds, by default CORELIB_BUSY_POLL_US of the environment, or 100. A thread that may use
        less than two processors never polls. `clock` is the time of all loops of this thread.

        Raises:
            UsageError: a bound out of range, or a loop of this thread has another clock.
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
        """The innermost executing loop of this thread, else the first it made.

        Raises:
            NoEventLoop: the thread has no loop.
        """
        # The loops of a thread are EventLoops; the turn, below, must not know the class.
        return cast(EventLoop, thread_loop.current().current_loop)

    @staticmethod
    def is_running() -> bool:
        """Whether this thread has a current loop that is not to quit (LibCore's rule)."""
        thread = thread_loop.current_or_none()
        return thread is not None and not thread.current_loop.was_exit_requested()

    def exec(self) -> int:
        """Make turns until quit(code), and return the code.

        A quit() before exec() counts. The request is consumed, so this loop may execute again.

        Raises:
            EventLoopClosed: the loop is closed.
            WrongThread: called from a thread other than the loop's.
        """
        self._thread.require_own_thread()
        if self._thread.signals is not None:
            self._thread.signals.take_back()
        self._thread.executing.append(self)
        try:
            _turn_until_quit(self)
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
        if mode is not _WAIT or thread.queue.items:
            return thread.turn(mode, until_ns)
        return short_turn(thread, until_ns)

    def spin_until(self, condition: Callable[[], object], timeout: float | None = None) -> bool:
        """Make turns until `condition()` is true; False after `timeout` seconds or quit().

        A request to quit stays in force. Exceptions raised by `condition` propagate.

        Raises:
            EventLoopClosed: the loop is closed.
            WrongThread: called from a thread other than the loop's.
        """
        self._thread.require_own_thread()
        deadline = deadline_after(self._thread.now_ns(), timeout)
        self._thread.executing.append(self)
        try:
            reached = _turn_until(self, condition, deadline)
        finally:
            self._thread.executing.pop()
        if interrupts.pending:
            raise_pending()
        return reached

    def run_until_complete(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, and return or raise its outcome.

        quit() cancels the coroutine, and the request is consumed. Any exception that escapes a turn, such as
        KeyboardInterrupt, cancels it too. Either way its finally blocks have run when this ends.

        Raises:
            EventLoopClosed: the loop is closed.
            WrongThread: called from a thread other than the loop's.
        """
        self._thread.require_own_thread()
        task = run_async(coroutine)
        try:
            if not self.spin_until(lambda: task.is_settled):
                self.unquit()
                task.cancel()
            return task.await_()
        except BaseException:
            task.cancel()
            self.spin_until(lambda: task.is_settled)
            raise

    def quit(self, code: int = 0) -> None:
        """End exec() with `code` after the turn in progress; from any thread and from a signal handler.

        Raises:
            EventLoopClosed: the loop was closed before.
        """
        if self._thread.closed:
            raise EventLoopClosed
        self._exit_code = code
        self._exit_requested = True
        with suppress(EventLoopClosed):  # It may have seen the request already.
            self.wake()

    def unquit(self) -> None:
        """Withdraw quit()."""
        self._exit_requested = False
        self._exit_code = 0

    def was_exit_requested(self) -> bool:
        """Whether quit() was called, and neither unquit() nor the end of exec() came after it."""
        return self._exit_requested

    def deferred_invoke(self, callback: Callable[[], object]) -> None:
        """Call `callback` in the next turn, after those deferred before; from any thread.

        Raises:
            EventLoopClosed: the loop is closed.
        """
        self._queue.post(callback)

    def post_event(self, receiver: Receiver[E], event: E) -> None:
        """Dispatch an event to a receiver in the next turn, as deferred_invoke() would; from any thread.

        The event is dropped with the receiver if that is gone by then (LibCore's rule).

        Raises:
            EventLoopClosed: the loop is closed.
        """
        self._queue.post(receiver.delivery(event))

    def run_in_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> Promise[T]:
        """Call `function(*args)`, which may block, in a thread of a pool; return a promise of its outcome.

        The promise settles in a turn. cancel() withdraws a job that has not begun, and drops the outcome of
        one that has; so does closing the loop.

        Raises:
            EventLoopClosed: the loop is closed.
            WrongThread: called from a thread other than the loop's.
        """
        return background.run_in_thread(self._thread, function, *args)

    def call_from_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call `function(*args)` in a turn of this loop from another thread, and return or raise its outcome.

        Raises:
            EventLoopClosed: the loop is closed, or was closed before the call.
            UsageError: called from the loop's own thread, which would wait for itself.
        """
        return background.call_from_thread(self._thread, function, *args)

    def wake(self) -> None:
        """End the loop's sleep, or the next one; from any thread and from a signal handler.

        Raises:
            EventLoopClosed: the loop is closed.
        """
        self._thread.wakeup.wake()

    def add_instrument(self, instrument: Instrument) -> None:
        """Let an instrument observe each turn and callback of this thread.

        Raises:
            WrongThread: called from a thread other than the loop's.
        """
        self._thread.require_own_thread()
        instruments.add_to(self._thread, instrument)

    def remove_instrument(self, instrument: Instrument) -> None:
        """Remove an instrument; no error if it was not added.

        Raises:
            WrongThread: called from a thread other than the loop's.
        """
        self._thread.require_own_thread()
        instruments.remove_from(self._thread, instrument)

    def set_debug(self, slow_callback: float | None = 0.1) -> None:
        """Log each callback of this thread that takes more than `slow_callback` seconds; None ends it.

        Raises:
            ValueError: the number is negative or NaN.
            WrongThread: called from a thread other than the loop's.
        """
        self._thread.require_own_thread()
        new = None if slow_callback is None else SlowCallbacks(slow_callback, self._thread.now_ns)
        if self._debug is not None:
            instruments.remove_from(self._thread, self._debug)
        if new is not None:
            instruments.add_to(self._thread, new)
        self._debug = new

    def snapshot(self) -> snapshot.Snapshot:
        """The pending work of this thread's loops, as data; `str()` is for reading. From any thread.

        Raises:
            EventLoopClosed: the loop is closed.
        """
        if self._thread.closed:
            raise EventLoopClosed
        return snapshot.take(self._thread)

    @property
    def in_turn(self) -> bool:
        """Whether a turn of this thread is on the stack."""
        return self._thread.depth > 0

    def at_turn_end(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, when the turn ends or before anything in it waits; outside a turn, next."""
        self._thread.turn_end.append(callback)

    def register_signal(self, signo: int, handler: SignalHandler) -> int:
        """Call `handler(signo)` in a turn after each signal; return an id for unregister_signal().

        A handler that takes no argument is called without. Signals that arrive before it has run are one, as
        the kernel's pending signals are. exec() and long sleeps undo a reset to the default action.

        Raises:
            WrongThread: this is not a loop of the main thread.
            UsageError: the signal cannot be caught, or the handler needs other arguments.
        """
        return _signals_of(self._thread).register(signo, handler)

    def unregister_signal(self, handler_id: int) -> None:
        """Remove a handler of a signal; the last one restores the handler that Python had before.

        Raises:
            UsageError: the id is not registered.
        """
        _signals_of(self._thread).unregister(handler_id)

    def close(self) -> None:
        """Close this loop; twice is fine. The last one of a thread drops its timers, notifiers and callbacks.

        Raises:
            UsageError: the loop is executing, or it is the last one and a turn is on the stack.
            WrongThread: called from a thread other than the loop's.
        """
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

    def __repr__(self) -> str:
        return f"<EventLoop of thread {self._thread.name!r}, {_state_of(self)}>"

    def __enter__(self) -> EventLoop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def deferred_invoke(callback: Callable[[], object]) -> None:
    """Call `callback` in the next turn of the calling thread's loop.

    Raises:
        NoEventLoop: the thread has no loop; another thread's has a method of this name.
    """
    thread_loop.current().queue.post(callback)


def _turn_until_quit(loop: EventLoop) -> None:
    thread = loop._thread
    turn = thread.turn
    queue = thread.queue
    while not loop._exit_requested:
        if queue.items:
            turn(_WAIT)
        else:
            short_turn(thread, None)


@calls_user_code
def _turn_until(loop: EventLoop, condition: Callable[[], object], deadline: int | None) -> bool:
    now_ns = loop._thread.now_ns
    while not condition():
        if loop._exit_requested or (deadline is not None and now_ns() >= deadline):
            return False
        short_turn(loop._thread, deadline)
    return True


def _state_of(loop: EventLoop) -> str:
    thread = loop._thread
    if thread.closed or loop not in thread.loops:
        return "closed"
    state = "executing" if loop in thread.executing else "open"
    return f"{state}, to quit with {loop._exit_code}" if loop._exit_requested else state


def _signals_of(thread: thread_loop.ThreadLoop) -> SignalHandlers:
    thread.require_own_thread()
    if thread.closed:
        raise EventLoopClosed
    if thread.signals is None:
        raise WrongThread("signals are delivered to the main thread: register them with a loop made there")
    return thread.signals
