"""Owns Ctrl-C: KeyboardInterrupt is raised in or between user callbacks, never inside a protected package.
Must not know what such a package does: each names itself by protect().
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_protected_packages: set[str] = set()
# By identity: code objects of two functions with the same text are equal.
_user_code_callers: dict[int, CodeType] = {}

pending = False
"""Whether a Ctrl-C came while protected code ran: read `interrupts.pending`, then call raise_pending()."""


def protect(package: str) -> None:
    """Never raise KeyboardInterrupt inside the code of a top-level package; it must call raise_pending() at
    its safe points."""
    _protected_packages.add(package)


def calls_user_code(function: F) -> F:
    """Mark a function of a protected package whose only calls out of such packages are user callbacks: a
    Ctrl-C that comes while something that it called runs is raised there. Costs nothing at run time."""
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
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _protected_packages:
            return frame is not interrupted and id(frame.f_code) in _user_code_callers
        frame = frame.f_back
    return True
