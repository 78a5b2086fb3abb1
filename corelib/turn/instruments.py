"""Owns looking into the loop: who is told of turns and callbacks, which was slow, and where its source is.
Knows no loop; the turn calls it, and only while somebody looks.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Protocol

from corelib.turn.interrupts import calls_user_code

logger = logging.getLogger("corelib")

_NS_PER_MS = 1_000_000


class Instrument:
    """Told of each turn and each callback of a thread's loops. Override what is of interest.

    Turns nest, so a turn's methods may be called between the two of a callback. `kind` is "notifier",
    "timer", "deferred callback" or "callback at the end of the turn"; `callback` is the Notifier, the Timer,
    or what is called. An instrument that raises is logged and told nothing more."""

    def turn_started(self) -> None:
        """A turn begins; it may sleep first."""

    def turn_ended(self, handled: int) -> None:
        """It has made `handled` callbacks."""

    def callback_started(self, kind: str, callback: object) -> None:
        """A callback is about to be made."""

    def callback_ended(self, kind: str, callback: object) -> None:
        """It has returned or raised."""


class Instruments:
    """Those of one thread, in the order in which they were added."""

    __slots__ = ("_instruments",)

    def __init__(self) -> None:
        self._instruments: list[Instrument] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is no instrument."""
        return not self._instruments

    def add(self, instrument: Instrument) -> None:
        """Tell it too, from the next turn or callback on."""
        self._instruments.append(instrument)

    def remove(self, instrument: Instrument) -> None:
        """Tell it no more; fine if it is not there."""
        if instrument in self._instruments:
            self._instruments.remove(instrument)

    def turn_started(self) -> None:
        """For the turn."""
        for instrument in list(self._instruments):
            self._tell(instrument, instrument.turn_started)

    def turn_ended(self, handled: int) -> None:
        """For the turn."""
        for instrument in list(self._instruments):
            self._tell(instrument, instrument.turn_ended, handled)

    @calls_user_code
    def call(self, kind: str, callback: object, function: Callable[[], object]) -> None:
        """For the turn: make a callback, between telling that it starts and that it has ended."""
        told = list(self._instruments)
        for instrument in told:
            self._tell(instrument, instrument.callback_started, kind, callback)
        try:
            function()
        finally:
            for instrument in reversed(told):
                self._tell(instrument, instrument.callback_ended, kind, callback)

    @calls_user_code
    def _tell(self, instrument: Instrument, method: Callable[..., None], *arguments: object) -> None:
        try:
            method(*arguments)
        except Exception:
            self.remove(instrument)
            logger.exception("%r raised, and is not told of anything more", instrument)


class Observed(Protocol):
    """A thread's loop: it keeps its instruments, None while there is no instrument."""

    instruments: Instruments | None


def add_to(observed: Observed, instrument: Instrument) -> None:
    """Report the turns and callbacks of a thread to an instrument, from the next one on."""
    if observed.instruments is None:
        observed.instruments = Instruments()
    observed.instruments.add(instrument)


def remove_from(observed: Observed, instrument: Instrument) -> None:
    """Stop reporting to an instrument; no error if it was not added."""
    if observed.instruments is not None:
        observed.instruments.remove(instrument)
        if observed.instruments.is_empty:
            observed.instruments = None


class SlowCallbacks(Instrument):
    """Logs each callback that held up the loop for longer than `threshold` seconds, with its source.

    Turns made inside a callback do not count: meanwhile the loop went on."""

    def __init__(self, threshold: float, now_ns: Callable[[], int]) -> None:
        self._threshold_ms = threshold * 1000
        self._now_ns = now_ns
        #: For each callback on the stack, when it began, later by what turns inside it took.
        self._began: list[int] = []
        self._turns_began: list[int] = []

    def turn_started(self) -> None:
        self._turns_began.append(self._now_ns())

    def turn_ended(self, handled: int) -> None:
        if self._turns_began:
            took = self._now_ns() - self._turns_began.pop()
            if self._began:
                self._began[-1] += took

    def callback_started(self, kind: str, callback: object) -> None:
        self._began.append(self._now_ns())

    def callback_ended(self, kind: str, callback: object) -> None:
        if not self._began:
            return  # It was on the stack already when this began to look.
        took_ms = (self._now_ns() - self._began.pop()) / _NS_PER_MS
        if took_ms > self._threshold_ms:
            logger.warning("%s took %.1f ms: %s", kind, took_ms, source_of(callback))


def source_of(callback: object) -> str:
    """What user code a callback is, and where: `name at file:line`. Looks behind wrappers and into what
    corelib has around user code (which tells by `user_code`), as far as can be seen."""
    seen = callback
    while (inner := _inside(seen)) is not None:
        seen = inner
    if inspect.iscoroutine(seen):
        line = seen.cr_frame.f_lineno if seen.cr_frame is not None else seen.cr_code.co_firstlineno
        return f"{seen.__qualname__} at {seen.cr_code.co_filename}:{line}"
    code = getattr(seen, "__code__", None)
    if code is None:
        return describe(seen)
    return f"{getattr(seen, '__qualname__', code.co_name)} at {code.co_filename}:{code.co_firstlineno}"


def describe(thing: object) -> str:
    """Its repr, also where that raises: the program's own __repr__ must not hide what is being told."""
    try:
        return repr(thing)
    except Exception:
        return object.__repr__(thing)


def _inside(callback: object) -> object | None:
    if isinstance(callback, functools.partial):
        return callback.func
    owner = getattr(callback, "__self__", callback)
    if hasattr(type(owner), "user_code"):
        return getattr(owner, "user_code", None)
    return getattr(callback, "__func__", None)
