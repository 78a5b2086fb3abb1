"""Owns Notifier: who is told when an fd is ready, and that its callback never runs inside itself.
Knows the thread's poller, not how the loop waits.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

from corelib import thread_data
from corelib.errors import NotWatchable
from corelib.interrupts import calls_user_code
from corelib.poller import READABLE, WRITABLE


class HasFileno(Protocol):
    """A socket, a file, a pipe's end."""

    def fileno(self) -> int: ...


def _nothing() -> None:
    """What a notifier without a callback would call."""


class Notifier:
    """Calls `on_activation` in each turn in which its fd is ready to read or write, or has an error or
    hang-up.

    It is enabled when made, watches as soon as it has a callback, and is kept alive by the loop of the thread
    that made it while it watches. It does not own the fd: close the notifier first, then the file. Readiness
    is level-triggered: what the callback leaves unread is reported again.

    While its callback is on the stack it is not activated by nested turns; with `reentrant` it is, for
    callers that keep their own state consistent."""

    class Type(enum.Flag):
        """What to wait for."""

        READ = READABLE
        WRITE = WRITABLE

    __slots__ = (
        "_enabled",
        "_fd",
        "_has_callback",
        "_muted",
        "_running",
        "_thread",
        "_type",
        "callback",
        "interest",
        "reentrant",
    )

    def __init__(
        self,
        fd: int | HasFileno,
        type: Type,
        on_activation: Callable[[], object] | None = None,
        *,
        reentrant: bool = False,
    ) -> None:
        """NoEventLoop; NotWatchable for a closed fd or a regular file."""
        self._thread = thread_data.current()
        self._fd = fd if isinstance(fd, int) else fd.fileno()
        if self._fd < 0:
            raise NotWatchable(f"{fd!r} cannot be watched: it is closed")
        self._type = type
        self._enabled = True
        self._running = False
        self._muted = False
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
        return self.callback if self._has_callback else None

    @on_activation.setter
    def on_activation(self, callback: Callable[[], object] | None) -> None:
        self._has_callback = callback is not None
        self.callback = callback if callback is not None else _nothing
        self._watch(self._enabled, self._type)

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

    @calls_user_code
    def activate(self) -> None:
        """For the turn: call `on_activation`. If that is what runs already, be deaf until it has returned, so
        that turns inside it can sleep although the fd is ready."""
        if self._running:
            self._muted = True
            self._watch(self._enabled, self._type)
            return
        self._running = True
        try:
            self.callback()
        finally:
            self._running = False
            if self._muted:
                self._muted = False
                self._watch(self._enabled, self._type)

    def _watch(self, enabled: bool, type: Type) -> None:
        self._thread.require_own_thread()
        wanted = enabled and self._has_callback and not self._muted
        self._thread.poller.watch(self._fd, self, type.value if wanted else 0)

    def __repr__(self) -> str:
        return f"<Notifier fd {self._fd}, {self._type}, on_activation={self.on_activation!r}>"
