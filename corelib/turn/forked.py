"""Owns what a forked child must forget of its parent: the callbacks, and their order.
Must not know what any of them does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator

logger = logging.getLogger("corelib")

_callbacks: list[Callable[[], object]] = []


def forget(callback: Callable[[], object]) -> None:
    """Have `callback()` called in each forked child, before os.fork() returns there.

    The order is that of registration. A module registers when it is imported, so after the modules that it
    imports: the thread's loop forgets first, then what hangs on the loop, then what is built on that. An
    exception is logged, and the other callbacks are still called."""
    _callbacks.append(callback)


@contextlib.contextmanager
def child_will_exec() -> Iterator[None]:
    """Have a child that this thread forks meanwhile forget nothing, as it replaces its program at once.

    To forget would close fds that the new program is to inherit."""
    _local.will_exec = True
    try:
        yield
    finally:
        _local.will_exec = False


def _forget_parent() -> None:
    if _local.will_exec:
        return
    for callback in _callbacks:
        try:
            callback()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            logger.exception("%r failed in a forked child", callback)


class _Local(threading.local):
    will_exec = False


_local = _Local()
# The only one: logging registered its own when it was imported above, so its locks are free again.
os.register_at_fork(after_in_child=_forget_parent)
