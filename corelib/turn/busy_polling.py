"""Owns how long a turn polls before it sleeps, learned from how its waits end.
Must not know loops, fds and clocks: the turn polls, counts here, and passes in how long it slept.
"""

from __future__ import annotations

import os

from corelib.errors import UsageError

VARIABLE = "CORELIB_BUSY_POLL_US"
MOST_US = 100
"""The longest poll, in microseconds. A timer may be late by as much, which is less than the millisecond in
which the kernel counts a sleep."""

_FIRST_NS = 10_000
# A sleeper and its waker cost each other up to 50 us each way: an event within this many bounds might have
# come within one had nobody slept, so it counts as quick.
_BOUNDS_IN_A_SHORT_WAIT = 4
_LONGEST_REST = 256


class BusyPolling:
    """Saves the two context switches of a sleep when the next event is likely to come sooner than they end.

    The rules are those of KVM's `halt_poll_ns`. After each short wait the budget grows: from 10 us, doubling
    up to the bound. After one long wait it is 0, so neither an idle loop polls nor one that has something to
    do now and then. Each miss at the bound is followed by more sleeps without a poll, so a peer that always
    takes a little longer costs next to nothing."""

    __slots__ = ("_asked_ns", "_rest", "bound_ns", "budget_ns", "hits", "misses", "polls")

    def __init__(self, bound_us: float) -> None:
        """Start with polling disabled; with a bound of 0 it stays so.

        Raises:
            UsageError: the bound is not 0 to 100.
        """
        if not isinstance(bound_us, (int, float)) or not 0 <= bound_us <= MOST_US:
            raise UsageError(f"busy_poll_us is 0 to {MOST_US} microseconds, not {bound_us!r}")
        self._asked_ns = int(bound_us * 1000)
        self.bound_ns = 0
        """The largest budget; 0 while polling is disabled."""
        self.budget_ns = 0
        """How long the next wait polls before it sleeps."""
        self.polls = 0
        """The number of waits that began with polling; the turn counts."""
        self.hits = 0
        """The number of polls that found an event; the turn counts."""
        self.misses = 0
        """Polls at the bound without success since the last hit, which resets it."""
        self._rest = 0
        """The number of waits to come that begin without polling."""

    def allow(self, allowed: bool) -> None:
        """Enable or disable polling (initially disabled)."""
        self.bound_ns = self._asked_ns if allowed else 0
        self.budget_ns = min(self.budget_ns, self.bound_ns)

    def learn(self, slept_ns: int) -> None:
        """Adapt the budget to a wait that slept this long before its event came."""
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
    """The bound from the environment variable, else the largest.

    Raises:
        UsageError: the variable is not a number.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return MOST_US
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{VARIABLE} is {text!r}: set it to 0 to {MOST_US} microseconds") from None
