"""Owns Notifier: who is told when an fd is ready, and that its callback never runs inside itself.
Knows the thread's poller, not how the loop waits.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Generator
from typing import Any, Protocol

from corelib.errors import NotWatchable
from corelib.promise import Promise
from corelib.turn import thread_loop
from corelib.turn.interrupts import calls_user_code
from corelib.turn.poller import READABLE, WRITABLE

logger = logging.getLogger("corelib")


class HasFileno(Protocol):
    """A socket, a file, a pipe's end."""

    def fileno(self) -> int: ...


def _nothing() -> None:
    """What a notifier without a callback would call."""


def _unknown() -> int:
    """The fileno of a file that is known by its number alone."""
    return -1


class Notifier:
    """Calls `on_activation` in each turn in which its fd is ready to read or write, or has an error or
    hang-up. A coroutine may await it, once for each activation.

    It is enabled when made, watches as soon as it has a callback, and is kept alive by the loop of the thread
    that made it while it watches. Readiness is level-triggered: what the callback leaves unread is reported
    again.

    It does not own the fd: close the notifier first, then the file. One whose file was closed under it is
    never called for the file that has the number next; the log names it, and it is disabled.

    While its callback is on the stack it is not activated by nested turns. With `reentrant` it is, for
    callers that keep their own state consistent and their fd open."""

    class Type(enum.Flag):
        """What to wait for."""

        READ = READABLE
        WRITE = WRITABLE

    __slots__ = (
        "_enabled",
        "_fd",
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
        """NoEventLoop; NotWatchable for a closed fd or a regular file."""
        self._thread = thread_loop.current()
        #: What vouches for the number without a system call, where a file object was given.
        self._fileno = _unknown if isinstance(fd, int) else fd.fileno
        self._fd = fd if isinstance(fd, int) else fd.fileno()
        if self._fd < 0:
            raise NotWatchable(f"{fd!r} cannot be watched: it is closed")
        self._type = type
        self._enabled = True
        self._running = False
        self._muted = False
        #: Who awaits the next activation.
        self._waiting: Promise[None] | None = None
        self.reentrant = reentrant
        self.interest = 0
        self.on_activation = on_activation

    @property
    def fd(self) -> int:
        """The number of the file descriptor."""
        return self._fd

    @property
    def type(self) -> Type:
        """What it waits for."""
        return self._type

    @property
    def is_enabled(self) -> bool:
        """Whether it is enabled; it watches if it has a callback too."""
        return self._enabled

    @property
    def on_activation(self) -> Callable[[], object] | None:
        """Called when the fd is ready. Without one nothing is watched, for nobody would take away what is
        ready."""
        return self._on_activation

    @on_activation.setter
    def on_activation(self, callback: Callable[[], object] | None) -> None:
        self._on_activation = callback
        self._choose_callback()
        self._watch(self._enabled, self._type)

    def activation(self) -> Promise[None]:
        """A promise of the next activation; `await notifier` awaits it. Rejected with NotWatchable when the
        fd turns out to be closed, cancelled by close(). WrongThread."""
        waiting = self._waiting
        if waiting is None:
            self._waiting = waiting = Promise()
            waiting.on_cancel = self._stop_waiting
            self._choose_callback()
            self._watch(self._enabled, self._type)
        return waiting

    @property
    def user_code(self) -> object:
        """For instruments: whom it calls."""
        return self._on_activation

    def __await__(self) -> Generator[Any, Any, None]:
        return self.activation().__await__()

    def set_enabled(self, enabled: bool) -> None:
        """Watch, or stop watching. EventLoopClosed, NotWatchable, WrongThread."""
        if enabled != self._enabled:
            self._watch(enabled, self._type)
            self._enabled = enabled

    def set_type(self, type: Type) -> None:
        """Change what it waits for. WrongThread."""
        if type != self._type:
            self._watch(self._enabled, type)
            self._type = type

    def close(self) -> None:
        """Stop watching for good; before the fd itself is closed, and twice is fine. WrongThread."""
        self.set_enabled(False)
        if self._waiting is not None:
            self._waiting.cancel()

    def orphan(self) -> None:
        """For the poller, which found that the fd's number no longer names the file that was watched: be
        disabled, and say so."""
        self._enabled = False
        logger.error(
            "%r is disabled: its fd was closed while it watched; close the notifier before the file", self
        )
        waiting, self._waiting = self._waiting, None
        self._choose_callback()
        if waiting is not None:
            waiting.reject(NotWatchable(f"fd {self._fd} was closed while its activation was awaited"))

    @calls_user_code
    def activate(self) -> None:
        """For the turn: call `on_activation`. If that is what runs already, be deaf until it has returned, so
        that turns inside it can sleep although the fd is ready."""
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
                self._watch(self._enabled, self._type)

    def _is_still_open(self) -> bool:
        try:
            if self._fileno() == self._fd:
                return True
        except ValueError:
            pass  # So says a closed file.
        return self._thread.poller.still_holds(self._fd)

    def _watch(self, enabled: bool, type: Type) -> None:
        self._thread.require_own_thread()
        wanted = enabled and not self._muted and self.callback is not _nothing
        self._thread.poller.watch(self._fd, self, type.value if wanted else 0)

    def _choose_callback(self) -> None:
        """What the turn calls: nothing of this class stands in between, unless somebody awaits."""
        if self._waiting is not None:
            self.callback = self._tell_waiting
        else:
            self.callback = self._on_activation or _nothing

    def _tell_waiting(self) -> None:
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
        return f"<Notifier fd {self._fd}, {self._type}, on_activation={self.on_activation!r}>"
