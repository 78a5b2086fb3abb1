"""Owns how a thread waits until there is something to do: it polls busily for a while, then it sleeps.
Must not know turns, or what there is to do.
"""

from __future__ import annotations

from collections.abc import Callable
from os import sched_yield
from typing import Any, Protocol

from corelib.turn.busy_polling import BusyPolling
from corelib.turn.event_queue import EventQueue
from corelib.turn.poller import FOR_EVER, LONGEST_SLEEP, MOST_READY, SHORT_SLEEP, Poller
from corelib.turn.signals import SignalHandlers
from corelib.turn.timer_queue import TimerQueue
from corelib.turn.wakeup import WakeUp

Ready = list[tuple[int, int]]
"""Fds that are ready, each with its events."""

_NOTHING: Ready = []


class Sleeper(Protocol):
    """A thread's loop, as its sleep sees it."""

    busy_polling: BusyPolling
    now_ns: Callable[[], int]
    poller: Poller
    queue: EventQueue
    signals: SignalHandlers | None
    timers: TimerQueue[Any]
    wakeup: WakeUp


def poll_busily(thread: Sleeper) -> Ready:
    """Poll for as long as that pays; return what is ready."""
    queue = thread.queue
    queue.sleeping = True
    busy = thread.busy_polling
    poll = thread.poller.poll
    now_ns = thread.now_ns
    ready = _NOTHING
    if not queue.items:
        busy.polls += 1
        end = now_ns() + busy.budget_ns
        while True:
            ready = poll(0.0, MOST_READY)
            if ready:
                busy.hits += 1
                busy.misses = 0
                break
            if now_ns() > end:
                break
            sched_yield()  # The peer may be waiting for this very processor.
    queue.sleeping = False
    return ready


def sleep(thread: Sleeper, until_ns: int | None) -> Ready:
    """Sleep until an fd is ready, a timer due or `until_ns` of the clock reached; return what is ready."""
    queue = thread.queue
    queue.sleeping = True
    busy = thread.busy_polling
    poll = thread.poller.poll
    now_ns = thread.now_ns
    asleep_at = now_ns()
    if queue.items or until_ns is not None or thread.timers.heap:
        seconds = _time_to_sleep(thread, until_ns)
    else:
        seconds = FOR_EVER
    if seconds is not FOR_EVER and seconds <= SHORT_SLEEP:
        ready = poll(seconds, MOST_READY)
    else:
        ready = poll(SHORT_SLEEP, MOST_READY) or _settle_and_sleep(thread, until_ns)
    if ready and busy.bound_ns:
        busy.learn(now_ns() - asleep_at)
    queue.sleeping = False
    return ready


def _settle_and_sleep(thread: Sleeper, until_ns: int | None) -> Ready:
    if not (thread.poller.is_audited or thread.poller.audit()):
        return _NOTHING  # Orphaned notifiers may have queued work; do not sleep.
    if thread.signals is None:
        return thread.poller.poll(_time_to_sleep(thread, until_ns), MOST_READY)
    thread.signals.take_back()
    thread.wakeup.watch_signals()
    try:
        return thread.poller.poll(_time_to_sleep(thread, until_ns), MOST_READY)
    finally:
        thread.wakeup.return_signals()


def _time_to_sleep(thread: Sleeper, until_ns: int | None) -> float | None:
    if thread.queue.items:
        return 0.0
    deadline = thread.timers.next_deadline() if thread.timers.heap else None
    if until_ns is not None and (deadline is None or until_ns < deadline):
        deadline = until_ns
    if deadline is None:
        return FOR_EVER
    return min(max(deadline - thread.now_ns(), 0) / 1e9, LONGEST_SLEEP)
