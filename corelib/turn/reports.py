"""Owns where the exceptions of callbacks go: to a loop's hook or to the log, or out of the turn.
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

    on_exception: Callable[[BaseException, str], None]

    def was_exit_requested(self) -> bool: ...


def raise_if_it_leaves(error: BaseException) -> None:
    """Raise a KeyboardInterrupt or SystemExit again; return for any other error.

    All others are reported, and the loop goes on: Cancelled, asyncio.CancelledError and GeneratorExit too,
    although they are not Exceptions. So code that calls user code writes `except BaseException`."""
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        raise error


def report_to(loop: Loop, error: BaseException, source: str, callback: object) -> None:
    """Pass a callback's exception to a loop's on_exception; log both if that raises.

    Raises:
        KeyboardInterrupt, SystemExit: the exception is one of them, or the hook has raised one.
    """
    raise_if_it_leaves(error)
    context = name_of(source, callback)
    try:
        _call_hook(loop, error, context)
    except BaseException as hook_error:
        raise_if_it_leaves(hook_error)
        log_exception(error, context)
        log_exception(hook_error, "on_exception of the event loop")


def log_exception(error: BaseException, context: str) -> None:
    """Log a callback's exception with its traceback; what a loop's on_exception is by default."""
    logger.error("%s raised", context, exc_info=error)


def name_of(source: str, callback: object) -> str:
    """The kind of a callback and its repr: "timer <Timer 10 ms, ...>"."""
    return f"{source} {describe(callback)}"


@calls_user_code
def _call_hook(loop: Loop, error: BaseException, context: str) -> None:
    loop.on_exception(error, context)
