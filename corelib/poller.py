"""Owns the system's polling: the only file that asks the kernel which fds are ready.
May not know loops, timers, or what a watcher does when it is activated.
"""

from __future__ import annotations

import contextlib
import math
import select
from collections.abc import Callable
from typing import Protocol

from corelib.errors import EventLoopClosed, NotWatchable

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


class Watcher(Protocol):
    """Who waits for an fd, and what the turn calls when it is ready."""

    #: Events that activate it; kept by the poller, 0 while it is not watching.
    interest: int
    #: Whether `callback` may be called while it is on the stack already; else the turn calls `activate`.
    reentrant: bool
    callback: Callable[[], object]

    def activate(self) -> None: ...


class Poller:
    """Level-triggered readiness of fds. On epoll itself: the `selectors` module costs a quarter to a half of
    a turn."""

    __slots__ = ("_epoll", "added", "poll", "wake_fd", "watchers")

    def __init__(self, wake_fd: int) -> None:
        #: Always in the set, and nobody's: the turn that finds it ready drains it.
        self.wake_fd = wake_fd
        self.watchers: dict[int, tuple[Watcher, ...]] = {}
        #: fds added since the turn began to work on an answer, which may still name a closed file by their
        #: number.
        self.added: set[int] = set()
        self._use(self._make_epoll())

    def watch(self, fd: int, watcher: Watcher, events: int) -> None:
        """Make `events` (READABLE, WRITABLE, both, or 0 for none) what `watcher` waits for at `fd`.

        An fd that nobody waits for is out of the kernel's set altogether, for a hang-up is reported even when
        nothing is asked for. NotWatchable for a closed fd or a regular file; EventLoopClosed."""
        before = self.watchers.get(fd, ())
        after = tuple(other for other in before if other is not watcher)
        if events:
            after = (*after, watcher)
        interest, watcher.interest = watcher.interest, events and events | _ALWAYS
        try:
            self._tell_kernel(fd, before, after)
        except BaseException:
            watcher.interest = interest
            raise
        if after:
            self.watchers[fd] = after
        else:
            self.watchers.pop(fd, None)

    def close(self) -> None:
        """Let go of the kernel's set without touching what is in it: after a fork it is the parent's set
        too."""
        self._epoll.close()
        for watchers in self.watchers.values():
            for watcher in watchers:
                watcher.interest = 0
        self.watchers.clear()

    def _tell_kernel(self, fd: int, before: tuple[Watcher, ...], after: tuple[Watcher, ...]) -> None:
        if after:
            if self._epoll.closed:
                raise EventLoopClosed
            try:
                self._enter(fd, _events_of(after), is_new=not before)
            except (OSError, ValueError) as error:
                raise NotWatchable(
                    f"fd {fd} cannot be watched ({error}): a notifier takes an open socket, pipe, "
                    "terminal or the like, not a regular file"
                ) from error
        elif before:
            self._leave(fd)

    def _enter(self, fd: int, events: int, *, is_new: bool) -> None:
        if not is_new:
            try:
                self._epoll.modify(fd, events)
                return
            except FileNotFoundError:
                pass  # The number belongs to another file by now, which the kernel's set does not hold yet.
        self._epoll.register(fd, events)
        self.added.add(fd)

    def _leave(self, fd: int) -> None:
        try:
            self._epoll.unregister(fd)
        except OSError:
            # It was closed before. If a duplicate keeps the file open, the kernel goes on reporting it under
            # a number that no longer names it, so it cannot be taken out: only a new set is rid of it.
            self._epoll.close()
            self._use(self._make_epoll(without=fd))

    def _use(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        #: poll(seconds, most): the (fd, events) that are ready. The system's own, for each turn passes here.
        self.poll = epoll.poll

    def _make_epoll(self, without: int = -1) -> select.epoll:
        epoll = select.epoll()
        epoll.register(self.wake_fd, READABLE)
        for fd, watchers in self.watchers.items():
            if fd != without:
                with contextlib.suppress(OSError):  # Closed under its watcher, who is deaf already.
                    epoll.register(fd, _events_of(watchers))
        return epoll


def wait_for(fds: dict[int, int], timeout: float) -> list[tuple[int, int]]:
    """The (fd, events) among these that are ready, after at most `timeout` seconds. For a
    wait that serves nothing else: on a set of its own, made in one go."""
    # poll() and epoll have the same bits for READABLE and WRITABLE.
    poll = select.poll()
    for fd, events in fds.items():
        poll.register(fd, events)
    return poll.poll(math.ceil(min(timeout, LONGEST_SLEEP) * 1000))


def _events_of(watchers: tuple[Watcher, ...]) -> int:
    events = 0
    for watcher in watchers:
        events |= watcher.interest
    return events
