"""Owns what all loops of one thread share (queue, timers, poller, wake-up) and the turn, which serves them
once. Must not know what an EventLoop offers to programs, nor what timers and notifiers do when they are due.

How a turn polls:

| mode and queue | function | asks the kernel | sleeps |
|---|---|---|---|
| POLL_FOR_EVENTS | `Poller.poll_at_once` | in each turn | never |
| WAIT_FOR_EVENTS, callbacks queued | `Poller.poll_now_and_then` | every 8 turns or 100 us | never |
| WAIT_FOR_EVENTS, nothing queued | `poll_busily` | busily while that pays | never |
| the same, with nothing ready | `sleep` | once, and after 50 ms again | until something is ready |

short_turn.py is the way round the turn that a waiting thread takes when one fd is all that becomes ready.

The methods of a turn repeat a few lines on purpose. On 3.11 a Python call costs 50 to 100 ns, the comparison
`if interrupts.pending` 20 and an entered `try` nothing, and each callback passes both. So the safe points for
Ctrl-C, the call of a callback with the report of its exception, and the busy poll are written out where they
are needed.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections import deque
from contextvars import copy_context
from threading import get_ident

from corelib.errors import EventLoopClosed, NoEventLoop, UsageError, WrongThread
from corelib.turn import closing, forked, interrupts, processors
from corelib.turn.busy_polling import BusyPolling, default_bound_us
from corelib.turn.clock import SYSTEM_CLOCK, Clock
from corelib.turn.closing import Due, EndOfThread, Generators, Task
from corelib.turn.event_queue import Callback, EventQueue
from corelib.turn.instruments import Instruments
from corelib.turn.interrupts import calls_user_code, raise_pending
from corelib.turn.not_copied import NotCopied
from corelib.turn.poller import Poller
from corelib.turn.reports import Loop, log_exception, name_of, raise_if_it_leaves, report_to
from corelib.turn.signals import SignalHandlers
from corelib.turn.sleeping import poll_busily, sleep
from corelib.turn.timer_queue import SEQUENCE_BITS, TimerQueue
from corelib.turn.wait_mode import WaitMode
from corelib.turn.wakeup import WakeUp

# On 3.11 `Enum.MEMBER` costs about 90 ns (a descriptor), a bound name 9.
_WAIT = WaitMode.WAIT_FOR_EVENTS

# The poller audits its watchers when nothing was ready for a short sleep; in a loop that never is so quiet,
# about once a second, for which it reads the clock every 64 turns.
TURNS_MASK = 63

FOREIGN = object()
"""Stands for the coroutines of another framework, while that runs in the thread."""


class ThreadLoop(NotCopied):
    """The loop of one thread: its first EventLoop makes it, its last one closes it.

    Nested turns share everything here, and nothing waits in a local variable of an outer turn: the inner turn
    finds whatever is queued, due or ready, and the outer one goes on with what the inner one left.

    Other packages may use `turn`, `depth`, `ident`, `closed`, `now_ns`, `queue.post`, `turn_end.append` and
    `instruments`; the rest is corelib's own."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self.loops: list[Loop] = []
        self.executing: list[Loop] = []
        """The loops whose exec or spin_until is on the stack, innermost last."""
        self.clock = clock
        self.now_ns = clock.now_ns
        """The clock's. Hot methods bind it to a local name: 3.11 looks up `self.now_ns()` 20 ns slower."""
        self.wakeup = WakeUp()
        self.queue = EventQueue(self.wakeup.wake)
        self.timers: TimerQueue[Due] = TimerQueue()
        self.poller = Poller(self.wakeup.fd, clock)
        self.poll_busily(default_bound_us())
        self.signals: SignalHandlers | None = None
        self.turn_end: deque[Callback] = deque()
        """Called when the turn ends, or before anything within it waits."""
        self.tasks: set[Task] = set()
        """The coroutines and jobs that have not ended."""
        self.coroutine: object | None = None
        """The innermost coroutine on the stack, inside the innermost turn; or FOREIGN."""
        self.async_generators: Generators | None = None
        """Those of the coroutines; None before the first coroutine."""
        self.has_foreign_hooks = False
        """Whether each step of a coroutine must set the hooks for asynchronous generators itself."""
        self.context = copy_context()
        """The context of callbacks in turns that a coroutine makes: not the coroutine's."""
        self.instruments: Instruments | None = None
        """None while there is no instrument."""
        self.closed = False
        self.depth = 0
        """The number of turns on the stack."""
        self.turns = 0
        """How many turns were made: a callback that finds it changed knows that one ran inside it."""
        self.name = threading.current_thread().name
        self.ident = get_ident()
        if threading.current_thread() is threading.main_thread():
            self.signals = SignalHandlers(self.queue.post)
            self.wakeup.offer_to_signals()
            interrupts.install(self.wakeup.wake)
        _all.add(self)

    @property
    def current_loop(self) -> Loop:
        """The innermost executing loop, else the first."""
        return self.executing[-1] if self.executing else self.loops[0]

    def require_own_thread(self) -> None:
        """Refuse other threads.

        Raises:
            WrongThread: called from a thread other than the loop's.
        """
        if get_ident() != self.ident:
            raise WrongThread(
                f"this belongs to the event loop of thread {self.name!r}: use it there; from other threads, "
                "loop.deferred_invoke(...) runs a callback there"
            )

    def poll_busily(self, bound_us: float) -> None:
        """Poll for up to `bound_us` microseconds before sleeping."""
        self.busy_polling = BusyPolling(bound_us)
        self.busy_polling.allow(_may_poll_busily(self.clock))

    def turn(  # noqa: C901
        self, mode: WaitMode, until_ns: int | None = None, ready: list[tuple[int, int]] | None = None
    ) -> int:
        """Make one turn; return the number of callbacks made.

        Sleeps until there is something to do if `mode` allows it, at most until `until_ns` of the clock;
        then does what there is to do now, but nothing that these callbacks add. A caller that has slept
        passes what was ready. It has many branches because each skips, by one comparison, what is not there
        to do.

        Raises:
            EventLoopClosed: the thread's last loop was closed.
        """
        if self.closed:
            raise EventLoopClosed
        if self.coroutine is not None:
            return _turn_beside_the_coroutine(self, mode, until_ns)
        # Before any wait: an inner turn may wait for the answer to what an outer callback has posted.
        if self.turn_end:
            self.run_turn_end()
        if interrupts.pending:
            raise_pending()
        self.turns += 1
        if not self.turns & TURNS_MASK and self.poller.audit_now_and_then(self.now_ns()):
            self.busy_polling.allow(_may_poll_busily(self.clock))
            if self.signals is not None:
                self.signals.take_back()
        self.depth += 1
        handled = 0
        now_ns = self.now_ns
        queue = self.queue
        if self.instruments is not None:
            self.instruments.turn_started()
        try:
            if ready is not None:
                pass
            elif mode is not _WAIT:
                ready = self.poller.poll_at_once()
            elif queue.items:
                ready = self.poller.poll_now_and_then(now_ns())
            else:
                polled = poll_busily(self) if self.busy_polling.budget_ns else None
                ready = polled or sleep(self, until_ns)
            places = self.timers.heap
            now = now_ns() if places else 0
            mark = queue.taken + len(queue.items) if queue.items else 0
            if ready:
                handled = self._activate(ready)
            if now and places and places[0] >> SEQUENCE_BITS <= now:
                handled += self._fire_timers(now)
            if mark:
                handled += self._run_queue(mark)
        finally:
            self.depth -= 1
            if self.turn_end:
                self.run_turn_end()
            if self.instruments is not None:
                self.instruments.turn_ended(handled)
        if handled:
            self.poller.is_audited = False
        if interrupts.pending:
            raise_pending()
        return handled

    def report(self, error: BaseException, source: str, callback: object) -> None:
        """Pass a callback's exception to the current loop's on_exception; see reports.py for what leaves."""
        report_to(self.current_loop, error, source, callback)

    def close(self) -> None:
        """Drop everything and restore the signal handlers.

        Raises:
            UsageError: a turn is on the stack.
        """
        if self.depth:
            raise UsageError(
                "the last event loop of a thread cannot be closed in a turn: quit() it, close it after exec()"
            )
        try:
            closing.close(self)
        finally:
            _forget(self)

    def abandon(self) -> None:
        """Close it in a forked child: only the child's copies of the fds, not the parent's epoll set."""
        self.turns += 1  # As a turn in between: outer ones on the stack drop what they hold.
        closing.abandon(self)
        _forget(self)

    @calls_user_code
    def _activate(self, ready: list[tuple[int, int]]) -> int:
        """Call the watchers of the fds that are ready; return how many were called."""
        turns = self.turns
        poller = self.poller
        instruments = self.instruments
        added = poller.added
        if added:
            added.clear()
        handled = 0
        for fd, events in ready:
            watchers = poller.watchers.get(fd)
            if watchers is None:
                if fd == poller.wake_fd:
                    self.wakeup.drain()
                continue
            if fd in added:
                continue
            for watcher in watchers:
                # A sibling's callback may have disabled it since the poll; then it is interested in no event.
                if not watcher.interest & events:
                    continue
                call = watcher.callback if watcher.reentrant else watcher.activate
                try:
                    if instruments is None:
                        call()
                    else:
                        instruments.call("notifier", watcher, call)
                except BaseException as error:
                    self.report(error, "notifier", watcher)
                handled += 1
                if interrupts.pending:
                    raise_pending()
                if self.turns != turns:
                    # A turn ran inside the callback, so the rest of `ready` is out of date. The next poll
                    # reports it again.
                    return handled
        return handled

    def _fire_timers(self, now: int) -> int:
        instruments = self.instruments
        handled = 0
        while (timer := self.timers.pop_due(now)) is not None:
            try:
                if instruments is not None:
                    instruments.call("timer", timer, timer.fire)
                else:
                    timer.fire()
            except BaseException as error:
                self.report(error, "timer", timer)
            handled += 1
            if interrupts.pending:
                raise_pending()
        return handled

    @calls_user_code
    def _run_queue(self, mark: int) -> int:
        queue = self.queue
        instruments = self.instruments
        handled = 0
        while queue.taken < mark:
            callback = queue.items.popleft()
            queue.taken += 1
            try:
                if instruments is not None:
                    instruments.call("deferred callback", callback, callback)
                else:
                    callback()
            except BaseException as error:
                self.report(error, "deferred callback", callback)
            handled += 1
            if interrupts.pending:
                raise_pending()
        return handled

    @calls_user_code
    def run_turn_end(self) -> None:
        """Call what must not wait any longer: the turn ends, or something waits within it."""
        while self.turn_end:
            callback = self.turn_end.popleft()
            try:
                if self.instruments is not None:
                    self.instruments.call("callback at the end of the turn", callback, callback)
                else:
                    callback()
            except BaseException as error:
                self.report(error, "callback at the end of the turn", callback)


def current() -> ThreadLoop:
    """The calling thread's loop.

    Raises:
        NoEventLoop: the thread has none.
    """
    loop = _local.loop
    if loop is None:
        raise NoEventLoop
    return loop


def current_or_new(clock: Clock | None = None) -> ThreadLoop:
    """The calling thread's loop, made if need be; with `clock` if given, else with the system's.

    Raises:
        UsageError: the thread has a loop with another clock.
    """
    loop = _local.loop
    if loop is None:
        _local.loop = loop = ThreadLoop(SYSTEM_CLOCK if clock is None else clock)
        _local.end = EndOfThread(loop)
    elif clock is not None and loop.clock is not clock:
        raise UsageError(
            "this thread has an event loop with another clock: all loops of a thread share the first one's"
        )
    return loop


def current_or_none() -> ThreadLoop | None:
    """The calling thread's loop, if it has one."""
    return _local.loop


def report(error: BaseException, source: str, callback: object) -> None:
    """As ThreadLoop.report() of the calling thread's loop; without a loop, log the exception."""
    loop = _local.loop
    if loop is None:
        raise_if_it_leaves(error)
        log_exception(error, name_of(source, callback))
    else:
        loop.report(error, source, callback)


def _turn_beside_the_coroutine(loop: ThreadLoop, mode: WaitMode, until_ns: int | None) -> int:
    """Make a turn inside a coroutine, whose context and whose place on the stack callbacks do not see."""
    outer, loop.coroutine = loop.coroutine, None
    try:
        # A copy, because a context cannot be entered twice, and such turns nest.
        return loop.context.copy().run(loop.turn, mode, until_ns)
    finally:
        loop.coroutine = outer


def _forget(loop: ThreadLoop) -> None:
    if _local.loop is loop:
        _local.loop = _local.end = None


def _may_poll_busily(clock: Clock) -> bool:
    # On one processor it would only delay the peer. Any clock but the system's may stand still meanwhile.
    return clock is SYSTEM_CLOCK and processors.usable() >= 2


def _close_at_exit() -> None:
    loop = _local.loop
    if loop is not None and not loop.depth:
        loop.close()


class _Local(threading.local):
    loop: ThreadLoop | None = None
    end: EndOfThread | None = None


_local = _Local()
_all: weakref.WeakSet[ThreadLoop] = weakref.WeakSet()


def _forget_parent() -> None:
    for loop in list(_all):
        if not loop.closed:
            loop.abandon()
    _local.loop = None
    interrupts.pending = False


forked.forget(_forget_parent)
# Coroutines that have not ended run their finally blocks, as at the end of asyncio.run.
atexit.register(_close_at_exit)
