"""Owns what a forked child must forget of its parent: the callbacks, and their order.
Must not know what any of them does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

logger = logging.getLogger("corelib")

_callbacks: list[Callable[[], object]] = []


def forget(callback: Callable[[], object]) -> None:
    """Have `callback()` called in each forked child, before os.fork() returns there.

    The order is that of registration. A module registers when it is imported, so after the modules that it
    imports: the thread's loop forgets first, then what hangs on the loop, then what is built on that. An
    exception is logged, and the other callbacks are still called."""
    _callbacks.append(callback)


def _forget_parent() -> None:
    for callback in _callbacks:
        try:
            callback()
        except Exception:
            logger.exception("%r failed in a forked child", callback)


# The only one: logging registered its own when it was imported above, so its locks are free again.
os.register_at_fork(after_in_child=_forget_parent)
