"""Owns Watch, the loop of one test, with what went wrong on it and what the test left open.
Must not know pytest, nor what is tested.
"""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

import attrs

from corelib import Clock, EventLoop, Snapshot
from corelib.turn import NotCopied, WaitMode

# Turns after the test, in which connections whose peers have closed end, and callbacks run.
_MOST_TURNS = 1000
_LOGGERS = ("corelib", "ipclib")


@attrs.frozen
class Unhandled:
    """An error that was not handled: of a callback, a handler, a hook, or of a promise that was dropped."""

    text: str
    """What was logged of it."""
    error: BaseException | None = None

    def __str__(self) -> str:
        return self.text if self.error is None else f"{self.text}: {self.error!r}"


class TestFailed(AssertionError):
    """Something went wrong on a test's loop, or the test has left something open; the text names each."""

    __test__ = False
    """No test for pytest to collect."""


class Watch(NotCopied):
    """An event loop for one test: `with Watch() as watch: ... watch.loop ...`.

    The end of the block closes the loop, and raises TestFailed if an error was not handled in the test, or if
    the test has left open what was not open before: a connection, timer, notifier, coroutine, callback or fd.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        """Make the loop, on this clock."""
        self._fds = _open_fds()
        self.loop = EventLoop(clock=clock)
        self._before = self.loop.snapshot()
        self._errors: list[Unhandled] = []
        self._handler = _Collector(self._errors)
        self._logged = self.loop.on_exception
        self.loop.on_exception = self._note
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self._handler)

    def take_errors(self) -> list[Unhandled]:
        """The errors that were not handled so far, which from now on do not fail the test."""
        taken = self._errors.copy()
        self._errors.clear()
        return taken

    def require_no_errors(self) -> None:
        """Check that every error was handled, or taken.

        Raises:
            TestFailed: one was not. It is raised once.
        """
        if errors := self.take_errors():
            raise TestFailed(_listed("nobody handled", errors)) from errors[0].error

    def close(self, *, may_leave: Iterable[str] = (), failed: bool = False) -> None:
        """Close the loop.

        What is left open is not looked for after a test that `failed`, nor if its kind, such as "fds", is
        among `may_leave`.

        Raises:
            TestFailed: an error was not handled, or something is left open.
        """
        try:
            self._settle()
            left = [] if failed else self._left_on_loop()
        finally:
            for name in _LOGGERS:
                logging.getLogger(name).removeHandler(self._handler)
            self.loop.close()
        if not failed:
            left += [("fds", text) for text in self._left_fds()]
        self.require_no_errors()
        texts = [f"{text} ({kind}: {_REMEDIES[kind]})" for kind, text in left if kind not in set(may_leave)]
        if texts:
            raise TestFailed(_listed("the test left open", texts))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(failed=error is not None)

    def _note(self, error: BaseException, context: str) -> None:
        self._errors.append(Unhandled(f"{context} raised", error))
        self._logged(error, context)

    def _settle(self) -> None:
        """Make turns without sleeping, until nothing happens in one."""
        for _ in range(_MOST_TURNS):
            if not self.loop.pump(WaitMode.POLL_FOR_EVENTS) and not self.loop.snapshot().pending:
                return

    def _left_on_loop(self) -> list[tuple[str, str]]:
        after = self.loop.snapshot()
        return [
            (kind, text)
            for kind, entries in _KINDS.items()
            for text in (Counter(entries(after)) - Counter(entries(self._before))).elements()
        ]

    def _left_fds(self) -> list[str]:
        if not _open_fds() - self._fds:
            return []
        gc.collect()  # Objects in cycles may hold some.
        return sorted(f"fd {fd}, {target}" for fd, target in _open_fds() - self._fds)


_KINDS: dict[str, Callable[[Snapshot], list[str]]] = {
    "connections": lambda snapshot: list(snapshot.sections.get("connections", ())),
    "timers": lambda snapshot: [timer.source for timer in snapshot.timers],
    "notifiers": lambda snapshot: [f"fd {one.fd}, {one.source}" for one in snapshot.notifiers],
    "coroutines": lambda snapshot: list(snapshot.tasks),
    "callbacks": lambda snapshot: list(snapshot.pending),
}
_REMEDIES = {
    "connections": "shutdown() it",
    "timers": "stop() it",
    "notifiers": "close() it, or what uses it",
    "coroutines": "await or cancel() its promise",
    "callbacks": "it asks for another turn in each turn",
    "fds": "close() what owns it",
}
KINDS_LEFT = tuple(_REMEDIES)
"""The kinds of what a test may leave open, for `may_leave`."""


class _Collector(logging.Handler):
    """Collects the errors that corelib and ipclib log, beside those that the loop has passed on."""

    def __init__(self, errors: list[Unhandled]) -> None:
        super().__init__(logging.ERROR)
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or all(known.error is not error for known in self._errors):
            self._errors.append(Unhandled(record.getMessage(), error))


def _open_fds() -> set[tuple[int, str]]:
    """The fds of this process, each with what it is."""
    found: set[tuple[int, str]] = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:  # The one of listdir() itself, or another thread's.
            continue
    return found


def _listed(title: str, what: Iterable[object]) -> str:
    return "\n".join([f"{title}:", *(f"  {one}" for one in what)])
