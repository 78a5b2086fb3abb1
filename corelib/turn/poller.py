"""Owns the system's polling: the only file that asks the kernel which fds are ready.
Must not know loops, timers, or what a watcher does when it is activated.
"""

from __future__ import annotations

import gc
import math
import select
from collections.abc import Callable
from typing import Protocol

from corelib.errors import EventLoopClosed, NotWatchable
from corelib.turn.clock import SYSTEM_CLOCK, Clock
from corelib.turn.not_copied import NotCopied

READABLE: int = select.EPOLLIN
WRITABLE: int = select.EPOLLOUT
# The kernel reports these unasked. A watcher of either direction finds out by reading or writing.
_ALWAYS = select.EPOLLERR | select.EPOLLHUP

# At most this many ready fds per poll; the next poll reports the rest.
MOST_READY = 64
# Cheaper than any number: neither Python nor the kernel then looks at a clock.
FOR_EVER = None
# In seconds. During a short sleep nothing is lost if it is deaf to closed fds and to signals (see wakeup.py);
# before a longer one the sleeper looks after both.
SHORT_SLEEP = 0.05
# In seconds. The kernel counts milliseconds in an int, 24 days at the most; waking once a day does no harm.
LONGEST_SLEEP = 86400.0

# While callbacks are queued, fds are polled at least this often: in turns, and in nanoseconds.
_MOST_TURNS_UNPOLLED = 8
_LONGEST_UNPOLLED = 100_000
# How often the watchers of a loop that is never quiet are audited, in nanoseconds.
_AUDIT_EVERY = 1_000_000_000
_NOTHING_READY: list[tuple[int, int]] = []


class Watcher(Protocol):
    """Waits for an fd: a Notifier."""

    interest: int
    """Events that activate it; kept by the poller, 0 while it is not watching."""
    reentrant: bool
    """Whether the turn calls `callback`, even while it is on the stack; else it calls `activate`."""
    callback: Callable[[], object]

    def activate(self) -> None: ...

    def orphan(self) -> None:
        """Called when the fd no longer names the file that was watched, which is not watched any more."""


class Poller(NotCopied):
    """Level-triggered readiness of fds.

    It uses epoll directly: the `selectors` module costs a quarter to a half of a turn.

    The kernel watches files, but programs name them by numbers. When a file is closed under its watcher,
    epoll falls silent; if a duplicate keeps the file open, it goes on reporting the number, which may be
    another file's by then. Only EPOLL_CTL_MOD detects that: it looks its entry up by number and file, and
    fails if they no longer agree. To ask it about every fd is an audit."""

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
        """Whether all watchers were audited since the last callback; the turn clears it after callbacks."""
        self.wake_fd = wake_fd
        """Always registered, with no watcher; the turn drains it."""
        self.watchers: dict[int, tuple[Watcher, ...]] = {}
        self.added: set[int] = set()
        """The fds registered since the last poll. Anything that poll reported of them was of another file,
        which had the same number."""
        self._use_new_set()

    def watch(self, fd: int, watcher: Watcher, events: int) -> None:
        """Make `watcher` wait for `events` of `fd`: READABLE, WRITABLE, both, or 0 for nothing.

        An fd without watchers is not in the kernel's set, which would report its hang-up unasked. Watchers of
        another file that had the same number are orphaned.

        Raises:
            NotWatchable: a closed fd, or a regular file.
            EventLoopClosed: the poller is closed.
        """
        # A finaliser that the collector runs in here might change the watchers of the same fd.
        collects = gc.isenabled()
        gc.disable()
        try:
            self._set_interest(fd, watcher, events)
        finally:
            if collects:
                gc.enable()

    def _set_interest(self, fd: int, watcher: Watcher, events: int) -> None:
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
        """Check that the fd still names the file that is watched; if not, orphan its watchers.

        False also if it is watched no more, as a finaliser that made a turn may have closed its notifier.
        """
        if fd not in self._events:
            return False
        held = self._is_held(fd)
        if not held:
            self._renew()
        return held

    def audit(self) -> bool:
        """Check every fd, as the kernel may be silent about a closed file; return whether all still hold."""
        self.is_audited = True
        held = all(map(self._is_held, self.watchers))
        if not held:
            self._renew()
        return held

    def audit_now_and_then(self, now_ns: int) -> bool:
        """Audit if the last time was more than a second ago; return whether it was."""
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
        """Close the kernel's set without changing what is in it: after a fork it is the parent's set too."""
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
        """Replace the kernel's set, and orphan the watchers of fds that no longer name their files.

        A file that a duplicate keeps open cannot be removed from the old set: no number names it."""
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
        """`poll(seconds, most)` returns pairs of an fd that is ready and its events. It is epoll's C method,
        unless the clock wraps it."""
        self._epoll.register(self.wake_fd, READABLE)
        self._events = {fd: _events_of(watchers) for fd, watchers in self.watchers.items()}
        """The events that the kernel was asked for, by fd."""
        for fd, events in self._events.items():
            self._epoll.register(fd, events)


def wait_for(fds: dict[int, int], timeout: float | None) -> list[tuple[int, int]]:
    """Wait for fds, given with their events, outside of any turn; return those that are ready.

    Sleeps for at most `timeout` seconds (None: a day). A set for a single wait: one system call makes it."""
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
