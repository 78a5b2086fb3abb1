"""Owns for how long a turn polls before it sleeps, learned from how its waits end.
Must not know loops, fds and clocks: the turn polls, counts here, and passes in how long it slept.
"""

from __future__ import annotations

import os

from corelib.errors import UsageError

VARIABLE = "CORELIB_BUSY_POLL_US"
MOST_US = 100
"""The longest poll, in microseconds: it also bounds by how much a timer may be late for it, which is less
than the millisecond in which the kernel counts a sleep."""

_FIRST_NS = 10_000
# A sleeper and its waker cost each other up to 50 us each way: what comes within these many bounds might have
# come within one, had nobody slept.
_BOUNDS_IN_A_SHORT_WAIT = 4
_LONGEST_REST = 256


class BusyPolling:
    """Saves the two context switches that a sleep costs, where the next event is likely to come before they
    were over. The rules are those of KVM's `halt_poll_ns`:

    After each wait that was short the budget grows, from 10 us by doubling up to the bound. After one long
    wait it is nothing, so that neither an idle loop polls nor one with something to do now and then. Polls
    at the bound that end in vain are followed by ever more sleeps without any, so that a peer that always
    takes a little longer costs next to nothing."""

    __slots__ = ("_asked_ns", "_rest", "bound_ns", "budget_ns", "hits", "misses", "polls")

    def __init__(self, bound_us: float) -> None:
        """With a bound of 0 it never polls. UsageError for one below 0 or over 100."""
        if not 0 <= bound_us <= MOST_US:
            raise UsageError(f"busy_poll_us is 0 to {MOST_US} microseconds, not {bound_us!r}")
        self._asked_ns = int(bound_us * 1000)
        #: What the budget grows to; 0 where polling is off.
        self.bound_ns = 0
        #: For how long the next wait polls before it sleeps.
        self.budget_ns = 0
        #: How many waits began with polling, and how many of them found something by it.
        self.polls = 0
        self.hits = 0
        self.misses = 0
        """Polls at the bound that ended in vain since the last hit."""
        self._rest = 0
        """How many waits more begin without polling."""

    def allow(self, allowed: bool) -> None:
        """Whether to poll at all; it begins with not."""
        self.bound_ns = self._asked_ns if allowed else 0
        self.budget_ns = min(self.budget_ns, self.bound_ns)

    def learn(self, slept_ns: int) -> None:
        """A wait ended, for something had come, after sleeping for so long."""
        polled_ns = self.budget_ns
        if polled_ns + slept_ns > _BOUNDS_IN_A_SHORT_WAIT * self.bound_ns:
            self.budget_ns = 0
        elif self._rest:
            self._rest -= 1
        elif polled_ns < self.bound_ns:
            self.budget_ns = min(max(2 * polled_ns, _FIRST_NS), self.bound_ns)
        else:
            self.misses += 1
            self._rest = min(1 << self.misses, _LONGEST_REST)
            self.budget_ns = 0


def default_bound_us() -> float:
    """What the environment variable says, else the most there is. UsageError for one that is no number."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return MOST_US
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{VARIABLE} is {text!r}: set it to 0 to {MOST_US} microseconds") from None
