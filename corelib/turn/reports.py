"""Owns where the exceptions of callbacks go: to a loop's hook, or to the log.
Must not know which loop is current, nor who calls the callbacks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from corelib.turn.instruments import describe
from corelib.turn.interrupts import calls_user_code

logger = logging.getLogger("corelib")


class Loop(Protocol):
    """The part of an event loop that a turn uses: its hook for exceptions, and whether it is to end."""

    on_exception: Callable[[Exception, str], None]

    def was_exit_requested(self) -> bool: ...


def report_to(loop: Loop, error: Exception, source: str, callback: object) -> None:
    """Pass a callback's exception to a loop's on_exception; log both if that raises."""
    context = name_of(source, callback)
    try:
        _call_hook(loop, error, context)
    except Exception as hook_error:
        log_exception(error, context)
        log_exception(hook_error, "on_exception of the event loop")


def log_exception(error: Exception, context: str) -> None:
    """Log a callback's exception with its traceback; what a loop's on_exception is by default."""
    logger.error("%s raised", context, exc_info=error)


def name_of(source: str, callback: object) -> str:
    """The kind of a callback and its repr: "timer <Timer 10 ms, ...>"."""
    return f"{source} {describe(callback)}"


@calls_user_code
def _call_hook(loop: Loop, error: Exception, context: str) -> None:
    loop.on_exception(error, context)
