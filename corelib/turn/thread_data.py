"""Owns what all loops of one thread share (queue, timers, poller, wake-up) and the turn, which serves them
once. May not know what an EventLoop offers to programs, nor what timers and notifiers do when they are due.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from threading import get_ident
from time import monotonic_ns
from typing import Protocol

from corelib.errors import EventLoopClosed, NoEventLoop, UsageError, WrongThread
from corelib.turn import interrupts, processors
from corelib.turn.busy_polling import BusyPolling, default_bound_us
from corelib.turn.event_queue import Callback, EventQueue
from corelib.turn.instruments import Instrument, Instruments, describe
from corelib.turn.interrupts import calls_user_code, raise_pending
from corelib.turn.poller import FOR_EVER, LONGEST_SLEEP, MOST_READY, READABLE, Poller, wait_for
from corelib.turn.signals import SignalHandlers
from corelib.turn.timer_queue import TimerQueue, deadline_after
from corelib.turn.wakeup import WakeUp

logger = logging.getLogger("corelib")

# While callbacks are ready, fds are polled this often at least: in turns, and in nanoseconds.
_MOST_TURNS_UNPOLLED = 8
_LONGEST_UNPOLLED = 100_000
# The poller's watchers are audited when the loop has slept for so many seconds, and about so often, in
# nanoseconds, while it does not come to that, for which the clock is looked at every so many turns.
_QUIET = 0.05
_BUSY = 1_000_000_000
_TURNS_MASK = 63
_NOTHING_READY: list[tuple[int, int]] = []


class Loop(Protocol):
    """What a turn needs of an event loop: whom to tell of a callback's exception."""

    on_exception: Callable[[Exception, str], None]

    def was_exit_requested(self) -> bool: ...


class Due(Protocol):
    """What the timer queue holds."""

    def fire(self) -> None: ...

    def forget(self) -> None: ...


class Task(Protocol):
    """A coroutine, or a job of another thread, that has not ended."""

    def close(self) -> None: ...


class ThreadData:
    """One for each thread that has loops; its first EventLoop makes it and its last one closes it.

    Nested turns share everything here, and nothing waits in a local variable of an outer turn: what is
    queued, due or ready is found by the inner turn, and the outer one goes on with what the inner one
    left."""

    __slots__ = (
        "__weakref__",
        "_audited",
        "_audited_at",
        "_polled_at",
        "_turns",
        "_turns_unpolled",
        "busy_polling",
        "closed",
        "coroutine",
        "depth",
        "executing",
        "ident",
        "instruments",
        "loops",
        "name",
        "poller",
        "queue",
        "signals",
        "tasks",
        "timers",
        "turn_end",
        "wakeup",
    )

    def __init__(self) -> None:
        self.loops: list[Loop] = []
        #: The loops whose exec or spin_until is on the stack, innermost last.
        self.executing: list[Loop] = []
        self.wakeup = WakeUp()
        self.queue = EventQueue(self.wakeup.wake)
        self.timers: TimerQueue[Due] = TimerQueue()
        self.poller = Poller(self.wakeup.fd)
        self.poll_busily(default_bound_us())
        self.signals: SignalHandlers | None = None
        self.turn_end: deque[Callback] = deque()
        #: What has not ended, and the innermost coroutine on the stack.
        self.tasks: set[Task] = set()
        self.coroutine: Task | None = None
        #: None while nobody looks.
        self.instruments: Instruments | None = None
        self.closed = False
        #: How many turns are on the stack.
        self.depth = 0
        self._turns = 0
        self._turns_unpolled = 0
        self._polled_at = 0
        #: Whether the poller's watchers were audited since something last happened, and when while busy.
        self._audited = False
        self._audited_at = 0
        self.name = threading.current_thread().name
        self.ident = get_ident()
        if threading.current_thread() is threading.main_thread():
            self.signals = SignalHandlers(self.queue.post)
            self.wakeup.watch_signals()
            interrupts.install()
        _all.add(self)

    @property
    def in_turn(self) -> bool:
        """Whether a turn is on the stack."""
        return self.depth > 0

    @property
    def current_loop(self) -> Loop:
        """The innermost executing loop, else the first."""
        return self.executing[-1] if self.executing else self.loops[0]

    def require_own_thread(self) -> None:
        """WrongThread unless this is the thread whose data it is."""
        if get_ident() != self.ident:
            raise WrongThread(
                f"this belongs to the event loop of thread {self.name!r}: use it there; from other threads, "
                "loop.deferred_invoke(...) runs a callback there"
            )

    def poll_busily(self, bound_us: float) -> None:
        """For at most so many microseconds before a sleep, where it can be of use: on one processor it would
        only keep the peer from running. UsageError."""
        self.busy_polling = BusyPolling(bound_us)
        self.busy_polling.allow(processors.usable() >= 2)

    def add_instrument(self, instrument: Instrument) -> None:
        """Tell an instrument of turns and callbacks. WrongThread."""
        self.require_own_thread()
        if self.instruments is None:
            self.instruments = Instruments()
        self.instruments.add(instrument)

    def remove_instrument(self, instrument: Instrument) -> None:
        """Tell it no more; fine if it was not added. WrongThread."""
        self.require_own_thread()
        if self.instruments is not None:
            self.instruments.remove(instrument)
            if self.instruments.are_none:
                self.instruments = None

    def turn(self, may_sleep: bool, until_ns: int | None = None) -> int:
        """Sleep until there is something to do, if allowed, at most until `until_ns` (monotonic); then do
        what there is to do now, but nothing that these callbacks add. The number of callbacks made."""
        if self.closed:
            raise EventLoopClosed
        # Before any wait: what an outer callback posted must not lie here while an inner turn waits for the
        # answer.
        if self.turn_end:
            self.run_turn_end()
        if interrupts.pending:
            raise_pending()
        self._turns += 1
        if not self._turns & _TURNS_MASK:
            self._audit_now_and_then()
        self.depth += 1
        handled = 0
        if self.instruments is not None:
            self.instruments.turn_started()
        try:
            if not may_sleep:
                ready = self._look()
            elif self.queue.items:
                ready = self._look_now_and_then()
            else:
                ready = self._sleep(until_ns)
            now = monotonic_ns() if self.timers.heap else 0
            mark = self.queue.mark() if self.queue.items else 0
            if ready:
                handled += self._activate(ready)
            if now and self.timers.may_be_due(now):
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
            self._audited = False
        if interrupts.pending:
            raise_pending()
        return handled

    def report(self, error: Exception, source: str, callback: object) -> None:
        """Hand a callback's exception to the current loop's on_exception."""
        _report_to(self.current_loop, error, f"{source} {describe(callback)}")

    def close(self) -> None:
        """Forget everything and give the signals back."""
        if self.in_turn:
            raise UsageError(
                "the last event loop of a thread cannot be closed in a turn: quit() it, close it after exec()"
            )
        for task in list(self.tasks):
            task.close()
        self._release()
        raise_pending()

    def abandon(self) -> None:
        """The same in a forked child: its copies of the fds are closed, the parent's epoll set is not
        touched."""
        # Outer turns on the stack see that another turn came in between, and drop what they hold.
        self._turns += 1
        # Never resumed and never finalised here: their finally blocks are the parent's to run.
        _tasks_of_the_parent.update(self.tasks)
        self.turn_end.clear()
        self._release()

    def _release(self) -> None:
        self.closed = True
        if self.signals is not None:
            self.signals.close()
            interrupts.uninstall()
        self.poller.close()
        # Before the queue drops what is in it: so a poster hears that it comes too late, or was in time.
        self.wakeup.close()
        self.queue.close()
        for due in self.timers.clear():
            due.forget()
        if _local.data is self:
            _local.data = None

    def _sleep(self, until_ns: int | None) -> list[tuple[int, int]]:
        queue = self.queue
        queue.sleeping = True
        busy = self.busy_polling
        ready = _NOTHING_READY
        if busy.budget_ns and not queue.items:
            ready = busy.poll(self.poller.poll, MOST_READY)
        if not ready:
            asleep_at = monotonic_ns()
            ready = self._sleep_soundly(until_ns)
            if ready and busy.bound_ns:
                busy.learn(monotonic_ns() - asleep_at)
        queue.sleeping = False
        return ready

    def _sleep_soundly(self, until_ns: int | None) -> list[tuple[int, int]]:
        if self.queue.items or until_ns is not None or self.timers.heap:
            seconds = self._time_to_sleep(until_ns)
        else:
            seconds = FOR_EVER
        if self._audited or (seconds is not FOR_EVER and seconds <= _QUIET):
            return self.poller.poll(seconds, MOST_READY)
        return self.poller.poll(_QUIET, MOST_READY) or self._audit_and_sleep(until_ns)

    def _look(self) -> list[tuple[int, int]]:
        ready = self.poller.poll(0.0, MOST_READY)
        if not ready and not self._audited:
            self._audited = True
            self.poller.audit()
        return ready

    def _look_now_and_then(self) -> list[tuple[int, int]]:
        now = monotonic_ns()
        if self._turns_unpolled < _MOST_TURNS_UNPOLLED and now - self._polled_at < _LONGEST_UNPOLLED:
            self._turns_unpolled += 1
            return _NOTHING_READY
        self._turns_unpolled = 0
        self._polled_at = now
        return self.poller.poll(0.0, MOST_READY)

    def _audit_now_and_then(self) -> None:
        now = monotonic_ns()
        if now - self._audited_at > _BUSY:
            self._audited_at = now
            self.poller.audit()
            self.busy_polling.allow(processors.usable() >= 2)

    def _audit_and_sleep(self, until_ns: int | None) -> list[tuple[int, int]]:
        self._audited = True
        if not self.poller.audit():
            return _NOTHING_READY  # Who was orphaned may have told somebody who waits for this turn's end.
        return self.poller.poll(self._time_to_sleep(until_ns), MOST_READY)

    def _time_to_sleep(self, until_ns: int | None) -> float | None:
        if self.queue.items:
            return 0.0
        deadline = self.timers.next_deadline() if self.timers.heap else None
        if until_ns is not None and (deadline is None or until_ns < deadline):
            deadline = until_ns
        if deadline is None:
            return FOR_EVER
        return min(max(deadline - monotonic_ns(), 0) / 1e9, LONGEST_SLEEP)

    @calls_user_code
    def _activate(self, ready: list[tuple[int, int]]) -> int:
        turns = self._turns
        poller = self.poller
        instruments = self.instruments
        if poller.added:
            poller.added.clear()
        handled = 0
        for fd, events in ready:
            watchers = poller.watchers.get(fd)
            if watchers is None:
                if fd == poller.wake_fd:
                    self.wakeup.drain()
                continue
            if fd in poller.added:
                continue
            for watcher in watchers:
                # A sibling's callback may have disabled it since the poll: then no event is of interest to
                # it.
                if not watcher.interest & events:
                    continue
                call = watcher.callback if watcher.reentrant else watcher.activate
                try:
                    if instruments is not None:
                        instruments.call("notifier", watcher, call)
                    else:
                        call()
                except Exception as error:
                    self.report(error, "notifier", watcher)
                handled += 1
                if interrupts.pending:
                    raise_pending()
                if self._turns != turns:
                    # A turn ran inside the callback: what this one still holds is old. The next poll tells it
                    # again.
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
            except Exception as error:
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
            except Exception as error:
                self.report(error, "deferred callback", callback)
            handled += 1
            if interrupts.pending:
                raise_pending()
        return handled

    @calls_user_code
    def run_turn_end(self) -> None:
        """Make the calls that must not wait any longer: the turn ends, or something waits within it."""
        while self.turn_end:
            callback = self.turn_end.popleft()
            try:
                if self.instruments is not None:
                    self.instruments.call("callback at the end of the turn", callback, callback)
                else:
                    callback()
            except Exception as error:
                self.report(error, "callback at the end of the turn", callback)


def current() -> ThreadData:
    """The calling thread's. NoEventLoop when it has none."""
    data = _local.data
    if data is None:
        raise NoEventLoop
    return data


def current_or_new() -> ThreadData:
    """The calling thread's, made if need be."""
    if _local.data is None:
        _local.data = ThreadData()
    return _local.data


def current_or_none() -> ThreadData | None:
    """The calling thread's, if it has one."""
    return _local.data


def report(error: Exception, source: str, callback: object) -> None:
    """Hand a callback's exception to the calling thread's current loop, or to the log when it has none."""
    data = _local.data
    if data is None:
        log_exception(error, f"{source} {describe(callback)}")
    else:
        data.report(error, source, callback)


def log_exception(error: Exception, context: str) -> None:
    """What a loop does about a callback's exception unless it is told otherwise: log it with its
    traceback."""
    logger.error("%s raised", context, exc_info=error)


def block_on(fd: int, events: int, timeout: float | None) -> bool:
    """Sleep until `fd` has one of `events` (or an error); False when `timeout` seconds have passed. Nothing
    of the loop runs meanwhile; Ctrl-C raises KeyboardInterrupt here, for a blocking wait is a safe point."""
    if fd < 0:
        raise UsageError("this socket is closed: there is nothing to wait for")
    thread = _local.data
    fds = {fd: events}
    if thread is not None:
        fds[thread.poller.wake_fd] = READABLE
        thread.run_turn_end()
    deadline = deadline_after(monotonic_ns(), timeout)
    woken = False
    try:
        while True:
            left = LONGEST_SLEEP if deadline is None else max(deadline - monotonic_ns(), 0) / 1e9
            raise_pending()
            ready = wait_for(fds, left)
            if any(ready_fd == fd for ready_fd, _ in ready):
                return True
            if ready and thread is not None:
                thread.wakeup.drain()
                woken = True
            elif left == 0.0:
                return False
    finally:
        if woken and thread is not None:
            thread.wakeup.wake()  # The loop was meant, and has not heard it.


class _Local(threading.local):
    data: ThreadData | None = None


_local = _Local()
_tasks_of_the_parent: set[Task] = set()
_all: weakref.WeakSet[ThreadData] = weakref.WeakSet()


def _report_to(loop: Loop, error: Exception, context: str) -> None:
    try:
        _call_hook(loop, error, context)
    except Exception as hook_error:
        log_exception(error, context)
        log_exception(hook_error, "on_exception of the event loop")


@calls_user_code
def _call_hook(loop: Loop, error: Exception, context: str) -> None:
    loop.on_exception(error, context)


def _forget_parent() -> None:
    for data in list(_all):
        if not data.closed:
            data.abandon()
    _local.data = None
    interrupts.pending = False


os.register_at_fork(after_in_child=_forget_parent)
