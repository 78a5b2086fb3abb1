"""Owns Notifier: the callback of a ready fd, and that it never runs inside itself.
Must not know how the loop waits; it uses the thread's poller alone.
"""

from __future__ import annotations

import enum
import logging
import os
import stat
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Protocol

from corelib.errors import NotWatchable
from corelib.promise import Promise
from corelib.turn import thread_loop
from corelib.turn.instruments import describe
from corelib.turn.interrupts import calls_user_code
from corelib.turn.not_copied import NotCopied
from corelib.turn.poller import READABLE, WRITABLE
from corelib.turn.reports import raise_if_it_leaves

logger = logging.getLogger("corelib")


class HasFileno(Protocol):
    """A socket, a file, the end of a pipe."""

    def fileno(self) -> int: ...


def _nothing() -> None:
    """The callback of a notifier that has none."""


def _unknown() -> int:
    """The fileno() of a file that is known by its number alone."""
    return -1


class Notifier(NotCopied):
    """Calls `on_activation` in each turn in which its fd is ready, or has an error or hang-up.

    It is enabled when made, and watches as soon as it has a callback or is awaited: a coroutine may await
    each activation. While it watches, the loop of the thread that made it keeps it alive. Readiness is
    level-triggered: data that the callback leaves unread are reported again.

    It does not own the fd: close the notifier first, then the file. If the file is closed first, the notifier
    is disabled and logged, and never called for the next file with the same number. (A file is known by its
    inode while the kernel does not watch it. Eventfds, timerfds and the like share one: give them as objects
    whose fileno() is -1, or raises, when they are closed.)

    Nested turns do not activate it while its callback is on the stack. With `reentrant` they do: for callers
    that keep their own state consistent and their fd open."""

    class Type(enum.Flag):
        """The directions to wait for."""

        READ = READABLE
        WRITE = WRITABLE

    __slots__ = (
        "_enabled",
        "_fd",
        "_file",
        "_fileno",
        "_muted",
        "_on_activation",
        "_running",
        "_thread",
        "_type",
        "_waiting",
        "callback",
        "interest",
        "reentrant",
    )

    callback: Callable[[], object]

    def __init__(
        self,
        fd: int | HasFileno,
        type: Type,
        on_activation: Callable[[], object] | None = None,
        *,
        reentrant: bool = False,
    ) -> None:
        """Make an enabled notifier for the calling thread's loop.

        Raises:
            NoEventLoop: the thread has no loop.
            NotWatchable: a closed fd, or a regular file.
        """
        self._thread = thread_loop.current()
        self._fileno = _unknown if isinstance(fd, int) else fd.fileno
        """fileno() of the file object, used to check the fd without a system call."""
        self._fd = fd if isinstance(fd, int) else _fd_of(fd)
        self._file = _identity(self._fd)
        """Which file it is, checked when the kernel is to watch it again; None after that was closed."""
        if self._file is None:
            raise NotWatchable(f"{f'fd {fd}' if isinstance(fd, int) else repr(fd)} cannot be watched: closed")
        self._type = type
        self._enabled = True
        self._running = False
        self._muted = False
        """Whether it is not watching because it became ready again while its callback runs."""
        self._waiting: Promise[None] | None = None
        """The promise of the next activation, if anybody awaits it."""
        self.reentrant = reentrant
        self.interest = 0
        self._on_activation = on_activation
        self._choose_callback()
        if on_activation is not None:
            self._thread.poller.watch(self._fd, self, type.value)

    @property
    def fd(self) -> int:
        """The fd that it watches."""
        return self._fd

    @property
    def type(self) -> Type:
        """The directions that it waits for."""
        return self._type

    @property
    def is_enabled(self) -> bool:
        """Whether it is enabled; it watches if it has a callback too."""
        return self._enabled

    @property
    def on_activation(self) -> Callable[[], object] | None:
        """Called when the fd is ready. While it is None, nothing is watched: nobody would read or write."""
        return self._on_activation

    @on_activation.setter
    def on_activation(self, callback: Callable[[], object] | None) -> None:
        self._on_activation = callback
        self._choose_callback()
        self._watch(self._enabled, self._type)

    def activation(self) -> Promise[None]:
        """A promise of the next activation; `await notifier` awaits it.

        It is rejected with `NotWatchable` if the fd is closed meanwhile, and cancelled by close().

        Raises:
            NotWatchable: the fd was closed.
            WrongThread: called from a thread other than the loop's.
        """
        waiting = self._waiting
        if waiting is None:
            if self._file is None:
                raise self._was_closed()
            self._thread.require_own_thread()
            wanted = self._enabled and not self._muted
            if wanted:
                self._require_same_file()
            self._waiting = waiting = Promise()
            waiting.on_cancel = self._stop_waiting
            self._choose_callback()
            self._thread.poller.watch(self._fd, self, self._type.value if wanted else 0)
        return waiting

    @property
    def user_code(self) -> object:
        """The callback, for instruments."""
        return self._on_activation

    def __await__(self) -> Generator[Any, Any, None]:
        return self.activation().__await__()

    def set_enabled(self, enabled: bool) -> None:
        """Watch, or stop watching.

        Raises:
            EventLoopClosed: the loop is closed.
            NotWatchable: the fd was closed.
            WrongThread: called from a thread other than the loop's.
        """
        if enabled != self._enabled:
            self._watch(enabled, self._type)
            self._enabled = enabled

    def set_type(self, type: Type) -> None:
        """Change the directions that it waits for.

        Raises:
            NotWatchable: the fd was closed.
            WrongThread: called from a thread other than the loop's.
        """
        if type != self._type:
            self._watch(self._enabled, type)
            self._type = type

    def close(self) -> None:
        """Stop watching, before the fd itself is closed; twice is fine.

        Raises:
            WrongThread: called from a thread other than the loop's.
        """
        self.set_enabled(False)
        if self._waiting is not None:
            self._waiting.cancel()

    def orphan(self) -> None:
        """Become disabled, and log it. Called by the poller when the fd names another file, or none."""
        self._enabled = False
        self._file = None
        logger.error("%s: close the notifier before the file", describe(self))
        waiting, self._waiting = self._waiting, None
        self._choose_callback()
        if waiting is not None:
            waiting.reject(NotWatchable(f"fd {self._fd} was closed while its activation was awaited"))

    @calls_user_code
    def activate(self) -> None:
        """Call the callback. Called by the turn.

        If the callback is running already, stop watching until it has returned, so that turns inside it can
        sleep although the fd is ready."""
        if self._running:
            self._muted = True
            self._watch(self._enabled, self._type)
            return
        if not self._is_still_open():
            return
        self._running = True
        try:
            self.callback()
        finally:
            self._running = False
            if self._muted:
                self._muted = False
                with suppress(NotWatchable):  # It is disabled and logged.
                    self._watch(self._enabled, self._type)

    def _is_still_open(self) -> bool:
        try:
            if self._fileno() == self._fd:
                return True
        except BaseException as error:
            raise_if_it_leaves(error)  # Any other: a closed file's raises ValueError or OSError.
        return self._thread.poller.still_holds(self._fd)

    def _require_same_file(self) -> None:
        """Refuse to watch again if the fd names another file by now, or none.

        Raises:
            NotWatchable: so it is; the notifier is disabled and logged.
        """
        if self.interest or self._thread.closed:
            return  # While the kernel watches the file, the poller finds out.
        if self._file is None:
            self._file = _identity(self._fd)  # The program enables it again: for the next file.
        elif _identity(self._fd) != self._file or (_has_no_inode(self._file) and _is_closed(self._fileno)):
            self._thread.require_own_thread()
            self.orphan()
            raise self._was_closed()

    def _was_closed(self) -> NotWatchable:
        return NotWatchable(f"fd {self._fd} was closed, and may be another file's: make a new notifier")

    def _watch(self, enabled: bool, type: Type) -> None:
        self._thread.require_own_thread()
        wanted = enabled and not self._muted and self.callback is not _nothing
        if wanted:
            self._require_same_file()
        self._thread.poller.watch(self._fd, self, type.value if wanted else 0)

    def _choose_callback(self) -> None:
        """Bind `callback`: the user's own, with no function of ours between, unless it is awaited."""
        if self._waiting is not None:
            self.callback = self._resolve_waiting
        else:
            self.callback = self._on_activation or _nothing

    def _resolve_waiting(self) -> None:
        waiting = self._waiting
        self._stop_waiting()
        if waiting is not None:
            waiting.resolve(None)
        self.callback()

    def _stop_waiting(self) -> None:
        self._waiting = None
        self._choose_callback()
        self._watch(self._enabled, self._type)

    def __repr__(self) -> str:
        return f"<Notifier fd {self._fd}, {self._type}, {self._state}, on_activation={self.on_activation!r}>"

    @property
    def _state(self) -> str:
        if self._file is None:
            return "disabled because its fd was closed"
        if not self._enabled:
            return "disabled"
        if self._waiting is not None:
            return "awaited"
        return "watching" if self.interest else "in its callback" if self._running else "without a callback"


def _fd_of(file: HasFileno) -> int:
    try:
        return file.fileno()
    except (OSError, ValueError) as error:
        raise NotWatchable(f"{file!r} cannot be watched: {error}") from error


def _identity(fd: int) -> tuple[int, int, int] | None:
    """The kind, device and inode of an open file; None if it is closed."""
    try:
        status = os.fstat(fd)
    except (OSError, OverflowError):
        return None
    return stat.S_IFMT(status.st_mode), status.st_dev, status.st_ino


def _has_no_inode(identity: tuple[int, int, int] | None) -> bool:
    """Whether all files of this kind have one inode: eventfds and the like have no type in their mode."""
    return identity is not None and not identity[0]


def _is_closed(fileno: Callable[[], int]) -> bool:
    if fileno is _unknown:
        return False
    try:
        return fileno() < 0
    except BaseException as error:
        raise_if_it_leaves(error)
        return True
