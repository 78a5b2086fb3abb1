"""Owns how deep the callbacks of promises nest: from a bound on, they are called after those on the stack.
Must not know promises: it counts the functions that are marked.

A callback that settles the next promise, whose callback settles the next, would end in a RecursionError. So
marked functions count themselves while they call callbacks. The counts are all threads': one of each thread
would cost 300 ns (threading.local, 3.11), a global one costs 40. Only when a count is high is this thread's
part of it determined, by a look at its stack. So it does no harm that two threads may lose a step of a count.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, TypeVar

from corelib.turn import thread_loop

F = TypeVar("F", bound=Callable[..., Any])
Work = Callable[[], object]

# A level takes about 5 frames, of the 1,000 that Python allows by default.
DEEPEST = 32

_depth = 0
"""How many call() are on the stacks of all threads."""
postponed: dict[int, deque[Work]] = {}
"""What each thread, by its ident, is to call when it is less deep."""
_marked: set[CodeType] = set()
_emptying: set[int] = set()


def counted(function: F) -> F:
    """Mark a function that counts itself while it calls callbacks."""
    _marked.add(function.__code__)
    return function


def is_too_deep() -> bool:
    """Whether this thread has so many marked functions on its stack; asked when a count is as high."""
    depth = 0
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and depth < DEEPEST:
        depth += frame.f_code in _marked
        frame = frame.f_back
    return depth >= DEEPEST


def postpone(work: Work) -> None:
    """Call `work()` when a marked function on the stack has returned, or before a turn in it waits."""
    waiting = postponed.setdefault(get_ident(), deque())
    waiting.append(work)
    thread = thread_loop.current_or_none()
    if thread is not None and len(waiting) == 1:
        thread.turn_end.append(lambda: _empty(waiting))


def call_postponed() -> None:
    """Call what this thread has postponed, unless that goes on already."""
    ident = get_ident()
    waiting = postponed.get(ident)
    if waiting is None or ident in _emptying:
        return
    _emptying.add(ident)
    try:
        _empty(waiting)
        del postponed[ident]
    finally:
        _emptying.discard(ident)


@counted
def call(work: Work) -> None:
    """Call `work()`, at once unless that is too deep."""
    global _depth
    if _depth >= DEEPEST and is_too_deep():
        postpone(work)
        return
    _depth += 1
    try:
        work()
    finally:
        _depth -= 1
        if postponed:
            call_postponed()


def _empty(waiting: deque[Work]) -> None:
    while waiting:
        waiting.popleft()()
