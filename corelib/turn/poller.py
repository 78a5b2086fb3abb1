"""Owns the system's polling: the only file that asks the kernel which fds are ready.
May not know loops, timers, or what a watcher does when it is activated.
"""

from __future__ import annotations

import math
import select
from collections.abc import Callable
from typing import Protocol

from corelib.errors import EventLoopClosed, NotWatchable
from corelib.turn.clock import SYSTEM_CLOCK, Clock

READABLE: int = select.EPOLLIN
WRITABLE: int = select.EPOLLOUT
# The kernel reports these unasked; whoever waits for either direction learns of them by reading or writing.
_ALWAYS = select.EPOLLERR | select.EPOLLHUP

# What one poll tells at most; the rest is told by the next.
MOST_READY = 64
# Cheaper than any number: neither Python nor the kernel then looks at a clock.
FOR_EVER = None
# In seconds. The kernel counts milliseconds in an int, 24 days at the most; to wake once a day is no harm.
LONGEST_SLEEP = 86400.0

# While callbacks are queued, fds are polled at least this often: in turns, and in nanoseconds.
_MOST_TURNS_UNPOLLED = 8
_LONGEST_UNPOLLED = 100_000
# How often the watchers of a loop that is never quiet are audited, in nanoseconds.
_AUDIT_EVERY = 1_000_000_000
_NOTHING_READY: list[tuple[int, int]] = []


class Watcher(Protocol):
    """Who waits for an fd, and what the turn calls when it is ready."""

    #: Events that activate it; kept by the poller, 0 while it is not watching.
    interest: int
    #: Whether `callback` may be called while it is on the stack already; else the turn calls `activate`.
    reentrant: bool
    callback: Callable[[], object]

    def activate(self) -> None: ...

    def orphan(self) -> None:
        """The number no longer names the file that was watched: hear that nobody watches any more."""


class Poller:
    """Level-triggered readiness of fds. On epoll itself: the `selectors` module costs a quarter to a half of
    a turn.

    The kernel watches files, not numbers. When a file is closed under its watcher, epoll falls silent, or, if
    a duplicate keeps the file open, goes on reporting the number, which may be another file's by then. Only
    EPOLL_CTL_MOD tells: it looks its entry up by number and file, and fails where they no longer agree."""

    __slots__ = (
        "_audited_at",
        "_clock",
        "_epoll",
        "_events",
        "_polled_at",
        "_turns_unpolled",
        "added",
        "is_audited",
        "poll",
        "wake_fd",
        "watchers",
    )

    def __init__(self, wake_fd: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._turns_unpolled = 0
        self._polled_at = 0
        self._audited_at = 0
        self.is_audited = False
        """Whether all watchers were audited since the last callback was made, which clears it."""
        #: Always in the set, and nobody's: the turn that finds it ready drains it.
        self.wake_fd = wake_fd
        self.watchers: dict[int, tuple[Watcher, ...]] = {}
        #: fds added since the turn began to work on an answer, which may still name a closed file by their
        #: number.
        self.added: set[int] = set()
        self._use_new_set()

    def watch(self, fd: int, watcher: Watcher, events: int) -> None:
        """Make `events` (READABLE, WRITABLE, both, or 0 for none) what `watcher` waits for at `fd`.

        An fd that nobody waits for is out of the kernel's set altogether, for a hang-up is reported even when
        nothing is asked for. Watchers of a file that had the number before are orphaned. NotWatchable for a
        closed fd or a regular file; EventLoopClosed."""
        was_watching = watcher.interest
        if events and fd in self.watchers and not self.still_holds(fd) and was_watching:
            return
        others = tuple(other for other in self.watchers.get(fd, ()) if other is not watcher)
        if events:
            self._enter(fd, (*others, watcher), _events_of(others) | events | _ALWAYS)
            watcher.interest = events | _ALWAYS
            return
        watcher.interest = 0
        if others:
            self.watchers[fd] = others
            if self.still_holds(fd):
                self._enter(fd, others, _events_of(others))
        elif fd in self.watchers:
            self._leave(fd)

    def still_holds(self, fd: int) -> bool:
        """Whether the number names the file that is watched under it. If not, its watchers are orphaned."""
        held = self._is_held(fd)
        if not held:
            self._renew()
        return held

    def audit(self) -> bool:
        """Ask the same about every fd, for of a file that was closed the kernel may tell nothing any more.
        Whether all were held."""
        self.is_audited = True
        held = all(map(self._is_held, self.watchers))
        if not held:
            self._renew()
        return held

    def audit_now_and_then(self, now_ns: int) -> bool:
        """Audit if the last time is more than a second ago; return whether it was."""
        if now_ns - self._audited_at <= _AUDIT_EVERY:
            return False
        self._audited_at = now_ns
        self.audit()
        return True

    def poll_at_once(self) -> list[tuple[int, int]]:
        """Poll without sleeping; if nothing is ready, audit the watchers."""
        ready = self.poll(0.0, MOST_READY)
        if not ready and not self.is_audited:
            self.audit()
        return ready

    def poll_now_and_then(self, now_ns: int) -> list[tuple[int, int]]:
        """Poll without sleeping, in every eighth turn or after 100 us; else return nothing."""
        if self._turns_unpolled < _MOST_TURNS_UNPOLLED and now_ns - self._polled_at < _LONGEST_UNPOLLED:
            self._turns_unpolled += 1
            return _NOTHING_READY
        self._turns_unpolled = 0
        self._polled_at = now_ns
        return self.poll(0.0, MOST_READY)

    def close(self) -> None:
        """Let go of the kernel's set without touching what is in it: after a fork it is the parent's set
        too."""
        self._epoll.close()
        for watchers in self.watchers.values():
            for watcher in watchers:
                watcher.interest = 0
        self.watchers.clear()
        self._events.clear()

    def _enter(self, fd: int, watchers: tuple[Watcher, ...], events: int) -> None:
        if self._epoll.closed:
            raise EventLoopClosed
        try:
            if fd in self.watchers:
                self._epoll.modify(fd, events)
            else:
                self._epoll.register(fd, events)
                self.added.add(fd)
        except (OSError, ValueError) as error:
            raise NotWatchable(
                f"fd {fd} cannot be watched ({error}): a notifier takes an open socket, pipe, "
                "terminal or the like, not a regular file"
            ) from error
        self.watchers[fd] = watchers
        self._events[fd] = events

    def _leave(self, fd: int) -> None:
        del self.watchers[fd], self._events[fd]
        try:
            self._epoll.unregister(fd)
        except OSError:
            self._renew()  # It was closed before.

    def _is_held(self, fd: int) -> bool:
        try:
            self._epoll.modify(fd, self._events[fd])
        except OSError:
            return False
        return True

    def _renew(self) -> None:
        """Take a new set, for what a duplicate keeps in the old one cannot be taken out by a number that no
        longer names it; whoever is watched by such a number is orphaned."""
        stale = [fd for fd in self.watchers if not self._is_held(fd)]
        orphans = [watcher for fd in stale for watcher in self.watchers.pop(fd)]
        self._epoll.close()
        self._use_new_set()
        for watcher in orphans:
            watcher.interest = 0
            watcher.orphan()

    def _use_new_set(self) -> None:
        self._epoll = select.epoll()
        self.poll = self._clock.polling(self._epoll.poll)
        """`poll(seconds, most)` returns the (fd, events) that are ready. The system's own, as each turn calls
        it, unless the clock has another."""
        self._epoll.register(self.wake_fd, READABLE)
        #: What the kernel was asked for, for each fd.
        self._events = {fd: _events_of(watchers) for fd, watchers in self.watchers.items()}
        for fd, events in self._events.items():
            self._epoll.register(fd, events)


def wait_for(fds: dict[int, int], timeout: float | None) -> list[tuple[int, int]]:
    """The (fd, events) among these that are ready, after at most `timeout` seconds. For a
    wait that serves nothing else: on a set of its own, made in one go."""
    # poll() and epoll have the same bits for READABLE and WRITABLE.
    poll = select.poll()
    for fd, events in fds.items():
        poll.register(fd, events)
    seconds = LONGEST_SLEEP if timeout is None else min(timeout, LONGEST_SLEEP)
    return poll.poll(math.ceil(seconds * 1000))


def _events_of(watchers: tuple[Watcher, ...]) -> int:
    events = 0
    for watcher in watchers:
        events |= watcher.interest
    return events
