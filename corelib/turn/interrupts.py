"""Owns Ctrl-C: KeyboardInterrupt is raised in or between user callbacks, never inside loop or protocol code.
Knows the names of the packages that must not be torn apart, and nothing of what they do.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_PROTECTED_PACKAGES = frozenset({"corelib", "ipclib"})
# By identity: code objects of two functions with the same text are equal.
_user_code_callers: dict[int, CodeType] = {}

#: A Ctrl-C came while protected code ran. Read it as `interrupts.pending`, then call raise_pending().
pending = False


def calls_user_code(function: F) -> F:
    """Mark a function of corelib or ipclib whose only calls out of these packages are user callbacks: a
    Ctrl-C that comes while something runs that it called is raised there. Costs nothing at run time."""
    _user_code_callers[id(function.__code__)] = function.__code__
    return function


def raise_pending() -> None:
    """A safe point: raise the KeyboardInterrupt that was held back, if there is one and this is the main
    thread."""
    global pending
    if pending and threading.current_thread() is threading.main_thread():
        pending = False
        raise KeyboardInterrupt


def install() -> None:
    """Take SIGINT over from Python's own handler; a handler that the program chose stays. Main thread
    only."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)


def uninstall() -> None:
    """Give SIGINT back to Python, if it is still ours."""
    if signal.getsignal(signal.SIGINT) is _on_interrupt:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _on_interrupt(_signo: int, frame: FrameType | None) -> None:
    global pending
    if is_user_code(frame):
        pending = False
        raise KeyboardInterrupt
    pending = True


def is_user_code(interrupted: FrameType | None) -> bool:
    """Whether user code runs in this frame: the innermost protected frame around it, if any, is one that
    calls user code. That frame itself, interrupted between two calls, is protected like the others."""
    frame = interrupted
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _PROTECTED_PACKAGES:
            return frame is not interrupted and id(frame.f_code) in _user_code_callers
        frame = frame.f_back
    return True
