"""Owns block_on: a wait for one fd in which nothing of the loop runs.
Must not know sockets, nor why the caller waits.
"""

from __future__ import annotations

from corelib.errors import UsageError
from corelib.turn.clock import SYSTEM_CLOCK
from corelib.turn.interrupts import raise_pending
from corelib.turn.poller import LONGEST_SLEEP, READABLE, SHORT_SLEEP, wait_for
from corelib.turn.thread_loop import current_or_none
from corelib.turn.timer_queue import deadline_after


def block_on(fd: int, events: int, timeout: float | None) -> bool:
    """Sleep until `fd` has one of `events` (or an error); False after `timeout` seconds.

    Nothing of the loop runs meanwhile. Ctrl-C raises KeyboardInterrupt here: a blocking wait is a safe point.

    Raises:
        UsageError: the fd is a closed socket's.
    """
    if fd < 0:
        raise UsageError("this socket is closed: there is nothing to wait for")
    thread = current_or_none()
    clock = SYSTEM_CLOCK if thread is None else thread.clock
    fds = {fd: events}
    if thread is not None:
        fds[thread.poller.wake_fd] = READABLE
        thread.run_turn_end()
    poll = clock.polling(lambda seconds, _most: wait_for(fds, seconds))
    deadline = deadline_after(clock.now_ns(), timeout)
    woken = False
    has_signals = thread is not None and thread.signals is not None
    longest = SHORT_SLEEP if has_signals else LONGEST_SLEEP
    try:
        while True:
            left = LONGEST_SLEEP if deadline is None else max(deadline - clock.now_ns(), 0) / 1e9
            raise_pending()
            ready = poll(min(left, longest), len(fds))
            if any(ready_fd == fd for ready_fd, _ in ready):
                return True
            if ready and thread is not None:
                thread.wakeup.drain()
                woken = True
            elif left == 0.0:
                return False
            elif has_signals and thread is not None and left > longest:
                thread.wakeup.watch_signals()
                longest = LONGEST_SLEEP
    finally:
        if has_signals and thread is not None and thread.wakeup.return_signals():
            woken = True
        if woken and thread is not None:
            thread.wakeup.wake()  # The wake-up was for the loop: pass it on.
