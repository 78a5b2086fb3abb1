"""Owns the end of a thread's loop: by close(), with its thread, with the program, or in a forked child.
Must not know turns. Each way ends with everything released, whatever raises on the way.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

from corelib.turn import interrupts
from corelib.turn.event_queue import EventQueue
from corelib.turn.interrupts import raise_pending
from corelib.turn.poller import Poller
from corelib.turn.signals import SignalHandlers
from corelib.turn.timer_queue import TimerQueue
from corelib.turn.wakeup import WakeUp

# A finally block may begin another coroutine, but not for ever.
_MOST_ROUNDS = 100


class Task(Protocol):
    """A coroutine, or a job of another thread, that has not ended."""

    def close(self) -> None: ...


class Generators(Protocol):
    """The asynchronous generators that coroutines have begun and not ended."""

    def run_with_hooks(self, run: Callable[..., object], *arguments: object) -> object: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


class Due(Protocol):
    """An item of the timer queue: a Timer."""

    def fire(self) -> None: ...

    def forget(self) -> None: ...


class Loop(Protocol):
    """A ThreadLoop, as its closing sees it."""

    closed: bool
    depth: int
    tasks: set[Task]
    async_generators: Generators | None
    signals: SignalHandlers | None
    wakeup: WakeUp
    queue: EventQueue
    poller: Poller
    timers: TimerQueue[Due]
    turn_end: deque[Any]


def close(loop: Loop) -> None:
    """Run the finally blocks of coroutines and generators, then release everything.

    Raises:
        KeyboardInterrupt, SystemExit: what a finally block has raised, after all are closed.
    """
    leaving: BaseException | None = None
    for _ in range(_MOST_ROUNDS):
        if not loop.tasks and loop.async_generators is None:
            break
        try:
            _close_tasks(loop)
        except BaseException as error:
            leaving = error
    _release(loop)
    raise_pending()
    if leaving is not None:
        raise leaving


def abandon(loop: Loop) -> None:
    """Close it in a forked child: only the child's copies of the fds, not the parent's epoll set."""
    # Never resumed and never finalised here: their finally blocks are the parent's to run.
    _of_the_parent.extend(loop.tasks)
    loop.tasks.clear()
    if loop.async_generators is not None:
        loop.async_generators.abandon()
        loop.async_generators = None
    loop.turn_end.clear()
    _release(loop)


class EndOfThread:
    """Closes the loop that a thread leaves open; dropped with the thread's local variables."""

    __slots__ = ("_loop", "_process")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._process = os.getpid()

    def __del__(self) -> None:
        # fork() drops the variables of all other threads in the child; those loops are abandoned instead.
        if self._loop.closed or self._process != os.getpid() or sys.is_finalizing():
            return
        close(self._loop)


def _close_tasks(loop: Loop) -> None:
    with ExitStack() as steps:  # Each is made, whatever another raises.
        generators, loop.async_generators = loop.async_generators, None
        if generators is not None:
            steps.callback(generators.close)
        tasks, loop.tasks = loop.tasks, set()
        for task in tasks:
            steps.callback(task.close)


def _release(loop: Loop) -> None:
    loop.closed = True
    with ExitStack() as steps:  # Each is made, whatever another raises; the last one first.
        if loop.signals is not None:
            steps.callback(interrupts.uninstall)  # Last, as Python's own handler raises between any two.
        steps.callback(_forget_timers, loop.timers)
        steps.callback(loop.queue.close)
        # Before the queue drops its items, so that a concurrent post either succeeds or raises.
        steps.callback(loop.wakeup.close)
        steps.callback(loop.poller.close)
        if loop.signals is not None:
            steps.callback(loop.wakeup.stop_watching_signals)
            steps.callback(loop.signals.close)


def _forget_timers(timers: TimerQueue[Due]) -> None:
    for due in timers.clear():
        due.forget()


_of_the_parent: list[Task] = []
