"""Owns the wait for room in the kernel: for descriptors that peers have not read, and for memory.
Must not know frames or links: it says when to try again, and when that is given up.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import math
import resource
import threading
from collections.abc import Callable
from typing import Protocol

from corelib import Timer

logger = logging.getLogger("ipclib")

NO_ROOM = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})
"""The errors of sendmsg(2) that say that the kernel has no room, and nothing about the peer.

ETOOMANYREFS means that more descriptors of this user are in flight than RLIMIT_NOFILE allows (unix(7)). It
strikes every connection of the user, so each thread bounds the descriptors that its peers leave unread.
"""
# Milliseconds between two tries.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 32.0
# Nanoseconds.
_GIVE_UP_AFTER = 10_000_000_000
_READ_WITHIN = 5_000_000_000
_LOGGED_EVERY = 1_000_000_000
# Of <linux/sockios.h>: the bytes that the peer has not read.
_SIOCOUTQ = 0x5411
# More unread descriptors help nobody, whatever RLIMIT_NOFILE is.
_MOST_UNREAD = 4096
# A peer that has unread ones gets more while it has at most an eighth, and all have at most half.
_PEER_SHIFT = 3
_BUSY_PEERS_SHIFT = 1
# Whatever RLIMIT_NOFILE is, so few may be unread, and need no system call each time.
_FEW = 7


class TooManyUnread(OSError):
    """The peer has more unread descriptors than InFlight.require() allows."""

    def __init__(self) -> None:
        super().__init__(errno.ETOOMANYREFS, "the peer has not read the descriptors that it was sent")


class _Thread(threading.local):
    """The descriptors in flight to all peers of a thread, and when a lack of room was logged."""

    def __init__(self) -> None:
        self.peers: set[InFlight] = set()
        self.total = 0
        self.logged_at = -_LOGGED_EVERY


_thread = _Thread()


class InFlight:
    """The descriptors that one peer was sent, and may not have read."""

    __slots__ = ("_all", "_fileno", "count")

    def __init__(self, fileno: Callable[[], int]) -> None:
        """`fileno` returns the fd of the connected socket."""
        self._fileno = fileno
        self._all = _thread
        self.count = 0

    def require(self, more: int) -> None:
        """Check that the peer may be sent `more` descriptors now.

        A peer that has read all of its descriptors may, until the thread's peers together have as many unread
        ones as this process may have open. So peers that do not read keep nothing from those that do.

        Raises:
            TooManyUnread: it may not.
        """
        if self._all.total + more <= _FEW:
            return
        self.look()
        if self._all.total + more <= _FEW:
            return
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _MOST_UNREAD if soft == resource.RLIM_INFINITY else min(soft, _MOST_UNREAD)
        if self._is_within(most, more):
            return
        for peer in list(self._all.peers):
            peer.look()
        if not self._is_within(most, more):
            raise TooManyUnread

    def _is_within(self, most: int, more: int) -> bool:
        total = self._all.total + more
        if not self.count:
            return total <= most
        return total <= most >> _BUSY_PEERS_SHIFT and self.count + more <= most >> _PEER_SHIFT

    def add(self, sent: int) -> None:
        """Note that `sent` descriptors were sent."""
        self.count += sent
        self._all.total += sent
        self._all.peers.add(self)

    def look(self) -> None:
        """Forget the descriptors if the peer has read everything, or if that cannot be found out.

        The socket may be closed, by a finaliser that ran within add().
        """
        fd = self._fileno()
        try:
            unread = b"" if fd < 0 else fcntl.ioctl(fd, _SIOCOUTQ, bytes(4))
        except OSError:  # Refused by a sandbox. RLIMIT_NOFILE still bounds what is in flight.
            unread = b""
        if not any(unread):
            self.clear()

    def clear(self) -> None:
        """Forget the descriptors: they were read, or the socket is closed."""
        self._all.total -= self.count
        self.count = 0
        self._all.peers.discard(self)


class Waiting(Protocol):
    """A Sender, as its Room sees it."""

    size: int
    sent: int
    takes_frames: bool

    def flush(self) -> None:
        """Try again."""


class WaitingOwner(Protocol):
    """What the Sender of a link reports to, as its Room sees it."""

    @property
    def waits_for_slow_peer(self) -> bool:
        """Whether the program waits for a peer that does not read."""

    def did_lack_room(self) -> None:
        """Note that the kernel has no room for what waits, or the peer has too many unread descriptors."""

    def did_find_room(self) -> None:
        """Note that there is room again, and that what waited has left or waits for the socket."""


class Room:
    """Tries again to send, after 1 ms at first and every 32 ms later, until there is room."""

    __slots__ = (
        "_delay",
        "_failed_at",
        "_now_ns",
        "_owner",
        "_progress",
        "_sender",
        "_timer",
        "in_flight",
        "is_waiting",
    )

    def __init__(
        self, sender: Waiting, owner: WaitingOwner, now_ns: Callable[[], int], fileno: Callable[[], int]
    ) -> None:
        self.in_flight = InFlight(fileno)
        self._sender = sender
        self._owner = owner
        self._now_ns = now_ns
        self._timer: Timer | None = None
        self._delay = _FIRST_DELAY
        self._progress = -1
        """How many bytes had been sent when the last try failed."""
        self._failed_at: int | None = None
        """When the first of the tries failed that have all failed since."""
        self.is_waiting = False

    def wait(self, error: OSError) -> bool:
        """Try again later; False if that has been in vain for too long.

        That is 10 seconds if the kernel has no room, and 5 seconds if a client does not read the descriptors
        that it was sent. A service that does not read them may be busy: its client goes on waiting.
        """
        now = self._now_ns()
        if self._sender.sent != self._progress:
            self._progress = self._sender.sent
            self._delay = _FIRST_DELAY
            self._failed_at = None
        if self._failed_at is None:
            self._failed_at = now
            if not isinstance(error, TooManyUnread):
                _log(error, now)
        elif now - self._failed_at >= self._longest_wait(error):
            return False
        if self._timer is None:
            self._timer = Timer.create_single_shot(_FIRST_DELAY, self._try_again)
        if not self._timer.is_active:
            self._timer.start(self._delay)
            self._delay = min(2 * self._delay, _LONGEST_DELAY)
        if not self.is_waiting:
            self.is_waiting = True
            self._owner.did_lack_room()
        return True

    def _longest_wait(self, error: OSError) -> float:
        if not isinstance(error, TooManyUnread):
            return _GIVE_UP_AFTER
        return math.inf if self._owner.waits_for_slow_peer else _READ_WITHIN

    def close(self) -> None:
        """Try no more."""
        self.is_waiting = False
        if self._timer is not None:
            self._timer.stop()

    def _try_again(self) -> None:
        self.is_waiting = False
        self._sender.flush()
        if not self.is_waiting and self._sender.takes_frames:
            self._progress = -1
            self._owner.did_find_room()


def _log(error: OSError, now: int) -> None:
    """Log a lack of room, at most once a second in a thread: all of its connections meet it together."""
    if not 0 <= now - _thread.logged_at < _LOGGED_EVERY:
        _thread.logged_at = now
        logger.warning("the system has no room to send, which waits and is tried again: %s", error.strerror)
