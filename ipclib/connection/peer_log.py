"""Owns what ipclib logs about peers: a few lines a second of each and of all, and a count of the rest.
Must not know connections, messages or frames.
"""

from __future__ import annotations

import logging
import traceback
import weakref

from corelib.turn import ThreadLoop
from ipclib.rate import Rate, TokenBucket
from ipclib.showing import shortened

logger = logging.getLogger("ipclib")

_OF_ONE_PROCESS = Rate(per_second=1, burst=25)
_OF_ALL = Rate(per_second=5, burst=100)
# Processes whose lines are counted apart. A peer that forks more of them is still within the lines of all.
_MOST_PROCESSES = 256
# Bytes. A longer line, above all a traceback with a long text, is cut.
_LONGEST_LINE = 1 << 13


class _Allowance:
    """The lines that one thread's loop may still log about its peers."""

    __slots__ = ("_now_ns", "_of_all", "_of_process", "unlogged")

    def __init__(self, thread: ThreadLoop) -> None:
        self._now_ns = thread.now_ns
        self._of_all = TokenBucket(_OF_ALL, self._now_ns())
        self._of_process: dict[int, TokenBucket] = {}
        self.unlogged = 0
        """Lines that were not logged since the last one that was."""

    def take(self, pid: int) -> bool:
        now = self._now_ns()
        bucket = self._of_process.get(pid)
        if bucket is None:
            if len(self._of_process) >= _MOST_PROCESSES:
                del self._of_process[next(iter(self._of_process))]
            bucket = self._of_process[pid] = TokenBucket(_OF_ONE_PROCESS, now)
        return bucket.take(now) and self._of_all.take(now)


_allowances: weakref.WeakKeyDictionary[object, _Allowance] = weakref.WeakKeyDictionary()
"""By the loop of a thread."""


def log_about(
    thread: ThreadLoop,
    pid: int,
    level: int,
    text: str,
    *arguments: object,
    error: BaseException | None = None,
) -> None:
    """Log a line about the process `pid` at the other end, unless too many were logged lately.

    The next line that is logged says how many were not.
    """
    allowance = _allowances.get(thread)
    if allowance is None:
        allowance = _allowances[thread] = _Allowance(thread)
    if not allowance.take(pid):
        allowance.unlogged += 1
        return
    line = text % arguments
    if allowance.unlogged:
        line = f"{line} ({allowance.unlogged} lines about peers were not logged before this one)"
        allowance.unlogged = 0
    if error is not None and len(trace := traceback_of(error)) > _LONGEST_LINE:
        line, error = f"{line}\n{trace}", None
    logger.log(level, "%s", shortened(line, _LONGEST_LINE), exc_info=error)


def traceback_of(error: BaseException) -> str:
    """A traceback as Python prints it."""
    return "".join(traceback.format_exception(error))
