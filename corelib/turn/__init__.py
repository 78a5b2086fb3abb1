"""Owns what makes turns: the queues, the poll, wake-ups and signals, and the turn itself.
Must not know what hangs on the loop. `__all__` is what other packages may use beside `corelib` itself; of
`ThreadLoop` only the attributes that its docstring calls public. The files are corelib's own.
"""

from corelib.turn import forked, interrupts
from corelib.turn.instruments import call_observed
from corelib.turn.interrupts import calls_user_code
from corelib.turn.not_copied import NotCopied
from corelib.turn.short_turn import short_turn
from corelib.turn.thread_loop import ThreadLoop
from corelib.turn.thread_loop import current as current_thread_loop
from corelib.turn.timer_queue import deadline_after
from corelib.turn.wait_mode import WaitMode

__all__ = [
    "NotCopied",
    "ThreadLoop",
    "WaitMode",
    "call_observed",
    "calls_user_code",
    "current_thread_loop",
    "deadline_after",
    "forked",
    "interrupts",
    "short_turn",
]
