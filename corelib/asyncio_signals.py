"""Owns how corelib and asyncio share signals: the handler of SIGINT and the wake-up fd, which both replace.
Must not know asyncio's loop, nor corelib's.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from corelib.turn import interrupts


@contextlib.contextmanager
def interrupts_at_safe_points() -> Iterator[None]:
    """Defer a KeyboardInterrupt raised by the installed SIGINT handler to a safe point.

    asyncio's Runner installs one."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    handle = before

    def on_interrupt(signo: int, frame: FrameType | None) -> None:
        if interrupts.is_user_code(frame):
            handle(signo, frame)
            return
        try:
            handle(signo, frame)
        except KeyboardInterrupt:
            interrupts.hold_back()

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is on_interrupt:
            signal.signal(signal.SIGINT, handle)


@contextlib.contextmanager
def wakeup_fd_kept() -> Iterator[None]:
    """Restore the wake-up fd, which asyncio takes over and finally clears."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):  # Its owner has closed it.
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
