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

from corelib import interrupts
from corelib.errors import EventLoopClosed, NoEventLoop, UsageError, WrongThread
from corelib.event_queue import Callback, EventQueue
from corelib.interrupts import calls_user_code, raise_pending
from corelib.poller import FOR_EVER, LONGEST_SLEEP, MOST_READY, READABLE, Poller, wait_for
from corelib.signals import SignalHandlers
from corelib.timer_queue import TimerQueue, deadline_after
from corelib.wakeup import WakeUp

logger = logging.getLogger("corelib")


class Loop(Protocol):
    """What a turn needs of an event loop: whom to tell of a callback's exception."""

    on_exception: Callable[[Exception, str], None]

    def was_exit_requested(self) -> bool: ...


class Due(Protocol):
    """What the timer queue holds."""

    def fire(self) -> None: ...

    def forget(self) -> None: ...


class ThreadData:
    """One for each thread that has loops; its first EventLoop makes it and its last one closes it.

    Nested turns share everything here, and nothing waits in a local variable of an outer turn: what is
    queued, due or ready is found by the inner turn, and the outer one goes on with what the inner one
    left."""

    __slots__ = (
        "__weakref__",
        "_depth",
        "_name",
        "_turns",
        "closed",
        "executing",
        "ident",
        "loops",
        "poller",
        "queue",
        "signals",
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
        self.signals: SignalHandlers | None = None
        self.turn_end: deque[Callback] = deque()
        self.closed = False
        self._turns = 0
        self._depth = 0
        self._name = threading.current_thread().name
        self.ident = get_ident()
        if threading.current_thread() is threading.main_thread():
            self.signals = SignalHandlers(self.queue.post)
            self.wakeup.watch_signals()
            interrupts.install()
        _all.add(self)

    @property
    def in_turn(self) -> bool:
        """Whether a turn is on the stack."""
        return self._depth > 0

    @property
    def current_loop(self) -> Loop:
        """The innermost executing loop, else the first."""
        return self.executing[-1] if self.executing else self.loops[0]

    def require_own_thread(self) -> None:
        """WrongThread unless this is the thread whose data it is."""
        if get_ident() != self.ident:
            raise WrongThread(
                f"this belongs to the event loop of thread {self._name!r}: use it there; from other threads, "
                "loop.deferred_invoke(...) runs a callback there"
            )

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
        self._depth += 1
        handled = 0
        try:
            ready = self._poll(may_sleep, until_ns)
            now = monotonic_ns() if self.timers.heap else 0
            mark = self.queue.mark() if self.queue.items else 0
            if ready:
                handled += self._activate(ready)
            if now:
                handled += self._fire_timers(now)
            if mark:
                handled += self._run_queue(mark)
        finally:
            self._depth -= 1
            if self.turn_end:
                self.run_turn_end()
        if interrupts.pending:
            raise_pending()
        return handled

    def report(self, error: Exception, source: str, callback: object) -> None:
        """Hand a callback's exception to the current loop's on_exception."""
        _report_to(self.current_loop, error, f"{source} {_describe(callback)}")

    def close(self) -> None:
        """Forget everything and give the signals back."""
        if self.in_turn:
            raise UsageError(
                "the last event loop of a thread cannot be closed in a turn: quit() it, close it after exec()"
            )
        self._release()
        raise_pending()

    def abandon(self) -> None:
        """The same in a forked child: its copies of the fds are closed, the parent's epoll set is not
        touched."""
        # Outer turns on the stack see that another turn came in between, and drop what they hold.
        self._turns += 1
        self.turn_end.clear()
        self._release()

    def _release(self) -> None:
        self.closed = True
        if self.signals is not None:
            self.signals.close()
            interrupts.uninstall()
        self.poller.close()
        self.queue.close()
        for due in self.timers.clear():
            due.forget()
        self.wakeup.close()
        if _local.data is self:
            _local.data = None

    def _poll(self, may_sleep: bool, until_ns: int | None) -> list[tuple[int, int]]:
        queue = self.queue
        if not may_sleep:
            return self.poller.poll(0.0, MOST_READY)
        queue.sleeping = True
        if queue.items:
            ready = self.poller.poll(0.0, MOST_READY)
        elif until_ns is None and not self.timers.heap:
            ready = self.poller.poll(FOR_EVER, MOST_READY)
        else:
            ready = self.poller.poll(self._time_to_sleep(until_ns), MOST_READY)
        queue.sleeping = False
        return ready

    def _time_to_sleep(self, until_ns: int | None) -> float | None:
        deadline = self.timers.next_deadline()
        if until_ns is not None and (deadline is None or until_ns < deadline):
            deadline = until_ns
        if deadline is None:
            return FOR_EVER
        return min(max(deadline - monotonic_ns(), 0) / 1e9, LONGEST_SLEEP)

    @calls_user_code
    def _activate(self, ready: list[tuple[int, int]]) -> int:
        turns = self._turns
        poller = self.poller
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
                try:
                    if watcher.reentrant:
                        watcher.callback()
                    else:
                        watcher.activate()
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
        handled = 0
        while (timer := self.timers.pop_due(now)) is not None:
            try:
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
        handled = 0
        while queue.taken < mark:
            callback = queue.take()
            try:
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
        log_exception(error, f"{source} {_describe(callback)}")
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
_all: weakref.WeakSet[ThreadData] = weakref.WeakSet()


def _describe(callback: object) -> str:
    try:
        return repr(callback)
    except Exception:  # The program's own __repr__, which must not hide the error that is being reported.
        return object.__repr__(callback)


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
