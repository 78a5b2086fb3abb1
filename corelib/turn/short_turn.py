"""Owns the short turn: while a thread waits with nothing else to do, one fd becomes ready and is served.
Must not know what a full turn does: everything but that one case is left to ThreadLoop.turn().
"""

from __future__ import annotations

from os import sched_yield

from corelib.errors import EventLoopClosed
from corelib.turn import interrupts
from corelib.turn.interrupts import calls_user_code, raise_pending
from corelib.turn.poller import MOST_READY
from corelib.turn.sleeping import Ready, sleep
from corelib.turn.thread_loop import TURNS_MASK, ThreadLoop
from corelib.turn.timer_queue import SEQUENCE_BITS
from corelib.turn.wait_mode import WaitMode

# On 3.11 `Enum.MEMBER` costs about 90 ns (a descriptor), a bound name 9.
_WAIT = WaitMode.WAIT_FOR_EVENTS


@calls_user_code
def short_turn(thread: ThreadLoop, until_ns: int | None) -> int:  # noqa: C901
    """Do what ThreadLoop.turn(WAIT_FOR_EVENTS, until_ns) does, in half its time where one fd is all there is.

    Returns the number of callbacks made.

    It is one function, with a busy poll of its own, because each call between processes passes it, and a
    call of another costs 50 ns.

    Raises:
        EventLoopClosed: the thread's last loop was closed.
    """
    if thread.closed:
        raise EventLoopClosed
    queue = thread.queue
    queue.sleeping = True
    turns = thread.turns + 1
    places = thread.timers.heap
    if (
        queue.items
        or interrupts.pending
        or thread.turn_end
        or thread.coroutine is not None
        or thread.instruments is not None
        or not turns & TURNS_MASK
    ):
        queue.sleeping = False
        return thread.turn(_WAIT, until_ns)
    busy = thread.busy_polling
    now_ns = thread.now_ns
    now = 0
    ready: Ready = []
    if busy.budget_ns:
        poll = thread.poller.poll
        busy.polls += 1
        now = now_ns()
        end = now + busy.budget_ns
        while now <= end and not (places and places[0] >> SEQUENCE_BITS <= now):
            ready = poll(0.0, MOST_READY)
            if ready:
                busy.hits += 1
                busy.misses = 0
                break
            sched_yield()  # The peer may be waiting for this very processor.
            now = now_ns()
    if ready:
        queue.sleeping = False
    else:
        ready = sleep(thread, until_ns)
        now = now_ns() if places else 0
    is_due = places and places[0] >> SEQUENCE_BITS <= now
    if len(ready) == 1 and not queue.items and not is_due and not interrupts.pending:
        fd, events = ready[0]
        watchers = thread.poller.watchers.get(fd)
        if watchers is not None and len(watchers) == 1:
            watcher = watchers[0]
            if watcher.reentrant and watcher.interest & events:
                thread.turns = turns
                thread.depth += 1
                thread.poller.is_audited = False
                try:
                    watcher.callback()
                except BaseException as error:
                    thread.report(error, "notifier", watcher)
                finally:
                    thread.depth -= 1
                    if thread.turn_end:
                        thread.run_turn_end()
                if interrupts.pending:
                    raise_pending()
                return 1
    return thread.turn(_WAIT, until_ns, ready)
