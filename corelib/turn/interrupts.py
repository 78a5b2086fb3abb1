"""Owns Ctrl-C: KeyboardInterrupt is raised in or between user callbacks, never inside a protected package.
Must not know what such a package does: each names itself by protect().

Python raises KeyboardInterrupt between any two bytecodes, also between taking a callback from the queue and
calling it. A handler that only sets a flag would leave an endless loop in a callback uninterrupted, and
blocking the signal around the loop's own code costs two system calls for each callback. So the handler looks
at the interrupted stack: in user code it raises at once, in protected code it sets `pending`, which the turn
looks at after each callback. A mark on the few functions that call user code tells the two apart, and costs
nothing until a signal comes.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

from corelib.errors import EventLoopClosed

F = TypeVar("F", bound=Callable[..., Any])
_wake: Callable[[], object] | None = None

_protected_packages: set[str] = set()
# By identity: code objects of two functions with the same text are equal.
_user_code_callers: dict[int, CodeType] = {}

pending = False
"""Whether a Ctrl-C came while protected code ran: read `interrupts.pending`, then call raise_pending()."""


def protect(package: str) -> None:
    """Protect a top-level package from KeyboardInterrupt; it must call raise_pending() at its safe points."""
    _protected_packages.add(package)


def calls_user_code(function: F) -> F:
    """Mark a function of a protected package that calls user code.

    Its only calls out of protected packages must be user callbacks: a Ctrl-C that comes while one of them
    runs is raised there."""
    _user_code_callers[id(function.__code__)] = function.__code__
    return function


def raise_pending() -> None:
    """Raise the KeyboardInterrupt that was held back, if any: a safe point. Only the main thread raises."""
    global pending
    if pending and threading.current_thread() is threading.main_thread():
        pending = False
        raise KeyboardInterrupt


def hold_back() -> None:
    """Note a KeyboardInterrupt that is to be raised at the next safe point, and end the loop's sleep."""
    global pending
    pending = True
    if _wake is not None:
        with contextlib.suppress(EventLoopClosed):
            _wake()


def install(wake: Callable[[], object] | None = None) -> None:
    """Replace Python's own handler of SIGINT, but no handler of the program's. Main thread only.

    `wake` ends the loop's sleep; without it, what was given last does."""
    global _wake
    if wake is not None:
        _wake = wake
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)


def uninstall() -> None:
    """Restore Python's own handler of SIGINT, if it was replaced and nobody else has replaced it since."""
    if signal.getsignal(signal.SIGINT) is _on_interrupt:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _on_interrupt(_signo: int, frame: FrameType | None) -> None:
    global pending
    if is_user_code(frame):
        pending = False
        raise KeyboardInterrupt
    hold_back()


def is_user_code(interrupted: FrameType | None) -> bool:
    """Whether a frame runs user code.

    It does if the innermost protected frame around it, if any, calls user code. That frame itself,
    interrupted between two calls, is protected like the others."""
    frame = interrupted
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _protected_packages:
            return frame is not interrupted and id(frame.f_code) in _user_code_callers
        frame = frame.f_back
    return True
