"""Owns how deep callbacks that settle promises nest: beyond a bound they are called after those on the stack.
Must not know promises: it recognises the functions that are marked.
"""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

from corelib.turn import thread_loop
from corelib.turn.thread_loop import ThreadLoop

F = TypeVar("F", bound=Callable[..., Any])
Work = Callable[[], object]

# A callback that settles the next promise, whose callback settles the next, would end in a RecursionError. So
# marked functions keep one count of how many of them are on the stack, in all threads: one for each thread
# would cost more than to settle a promise. Only when it is high does is_too_deep() look at the stack itself.
# A level takes 3 to 7 frames, and postponed work begins anew: at most 336 of the 1,000 that Python allows.
DEEPEST = 24

# By identity: to hash a code object takes longer.
_marked: dict[int, CodeType] = {}


class _Postponed(threading.local):
    """The work that a thread calls once it is less deep."""

    def __init__(self) -> None:
        self.work: deque[Work] = deque()
        self.is_called = False
        """Whether call_postponed() is on the stack."""
        self.posted_to: ThreadLoop | None = None
        """The loop in whose queue _call_in_a_turn() is."""


_postponed = _Postponed()


def counted(function: F) -> F:
    """Mark a function that counts itself while it calls callbacks."""
    _marked[id(function.__code__)] = function.__code__
    return function


def is_too_deep() -> bool:
    """Whether DEEPEST marked functions are on this thread's stack, in the innermost turn.

    Postponed work, too, begins anew."""
    depth = 0
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and depth < DEEPEST:
        code = frame.f_code
        if code is _CALLS_POSTPONED or code is _TURN:
            return False
        depth += id(code) in _marked
        frame = frame.f_back
    return depth >= DEEPEST


def postpone(work: Work) -> None:
    """Call `work()` when the deepest marked function has returned, or in the first turn that it makes."""
    _postponed.work.append(work)
    thread = thread_loop.current_or_none()
    if thread is not None and not thread.closed and _postponed.posted_to is not thread:
        _postponed.posted_to = thread
        thread.queue.post(_call_in_a_turn)


def call_postponed() -> None:
    """Call what this thread has postponed, unless that goes on already: then that calls it."""
    if _postponed.work and not _postponed.is_called:
        _call_all()


def call_later(work: Work) -> None:
    """Call `work()` in the next turn, or at once in a thread without a loop. An exception is leaving."""
    thread = thread_loop.current_or_none()
    if thread is None:
        work()
    else:
        thread.queue.post(work)


def _call_in_a_turn() -> None:
    _postponed.posted_to = None
    _call_all()


def _call_all() -> None:
    work = _postponed.work
    outer, _postponed.is_called = _postponed.is_called, True
    try:
        while work:
            work.popleft()()
    finally:
        _postponed.is_called = outer
        if work:
            call_later(_call_all)  # KeyboardInterrupt or SystemExit leaves.


_CALLS_POSTPONED = _call_all.__code__
_TURN = ThreadLoop.turn.__code__
