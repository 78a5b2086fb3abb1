"""Owns observation of the loop: instruments and their calls, which callback was slow, where its source is.
Must not know the loop: the turn calls, and only while there is an instrument.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from corelib.turn.interrupts import calls_user_code

logger = logging.getLogger("corelib")

T = TypeVar("T")

_NS_PER_MS = 1_000_000
_LONGEST_REPR = 100
# More layers than this around user code, each with a `user_code`, are taken for a circle.
_MOST_LAYERS = 100


class Instrument:
    """Observes each turn and each callback of a thread's loops. Override the methods of interest.

    Turns nest, so the methods for turns may be called between the two for a callback. `kind` is "notifier",
    "timer", "deferred callback" or "callback at the end of the turn"; `callback` is the Notifier, the Timer,
    or the function. A package whose callback calls several functions of the user's has each observed inside
    it by call_observed(), under a `kind` of its own. An instrument that raises is logged and removed."""

    def turn_started(self) -> None:
        """Called when a turn begins; it may sleep first."""

    def turn_ended(self, handled: int) -> None:
        """Called when a turn ends, after `handled` callbacks."""

    def callback_started(self, kind: str, callback: object) -> None:
        """Called before a callback."""

    def callback_ended(self, kind: str, callback: object) -> None:
        """Called when a callback has returned or raised."""


class Instruments:
    """The instruments of one thread, in the order in which they were added."""

    __slots__ = ("_instruments",)

    def __init__(self) -> None:
        self._instruments: list[Instrument] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is no instrument."""
        return not self._instruments

    def add(self, instrument: Instrument) -> None:
        """Add an instrument; it observes from the next turn or callback on."""
        self._instruments.append(instrument)

    def remove(self, instrument: Instrument) -> None:
        """Remove an instrument; no error if it was not added."""
        if instrument in self._instruments:
            self._instruments.remove(instrument)

    def turn_started(self) -> None:
        """Tell all instruments that a turn begins. Called by the turn."""
        for instrument in list(self._instruments):
            self._call(instrument, instrument.turn_started)

    def turn_ended(self, handled: int) -> None:
        """Tell all instruments that a turn ends. Called by the turn."""
        for instrument in list(self._instruments):
            self._call(instrument, instrument.turn_ended, handled)

    @calls_user_code
    def call(self, kind: str, callback: object, function: Callable[[], T]) -> T:
        """Call `function`, and all instruments before and after it; return its result."""
        observers = list(self._instruments)
        for instrument in observers:
            self._call(instrument, instrument.callback_started, kind, callback)
        try:
            return function()
        finally:
            for instrument in reversed(observers):
                self._call(instrument, instrument.callback_ended, kind, callback)

    @calls_user_code
    def _call(self, instrument: Instrument, method: Callable[..., None], *arguments: object) -> None:
        try:
            method(*arguments)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            self.remove(instrument)
            logger.exception("%s raised, and is removed", describe(instrument))


class Observed(Protocol):
    """A thread's loop: it keeps its instruments, None while there is no instrument."""

    instruments: Instruments | None


@calls_user_code
def call_observed(observed: Observed, kind: str, user_code: object, function: Callable[[], T]) -> T:
    """Call `function`, observed if a thread's loop has instruments; return its result.

    For packages whose callbacks call user code: SlowCallbacks names it, and not the callback around it. Look
    first whether `ThreadLoop.instruments` is None where this call would cost too much. `kind` says what the
    function does, and for whom; source_of(user_code) where it is."""
    if observed.instruments is None:
        return function()
    return observed.instruments.call(kind, user_code, function)


def add_to(observed: Observed, instrument: Instrument) -> None:
    """Add an instrument to a thread's loop."""
    if observed.instruments is None:
        observed.instruments = Instruments()
    observed.instruments.add(instrument)


def remove_from(observed: Observed, instrument: Instrument) -> None:
    """Remove an instrument from a thread's loop; no error if it was not added."""
    if observed.instruments is not None:
        observed.instruments.remove(instrument)
        if observed.instruments.is_empty:
            observed.instruments = None


class SlowCallbacks(Instrument):
    """Logs each callback that held up the loop for longer than `threshold` seconds, with its source.

    Turns made inside a callback do not count: meanwhile the loop went on. Nor does a slow callback inside
    another one, which is logged itself."""

    def __init__(self, threshold: float, now_ns: Callable[[], int]) -> None:
        """Log callbacks that take more than `threshold` seconds.

        Raises:
            ValueError: the threshold is negative or NaN.
        """
        if not threshold >= 0:
            raise ValueError(f"slow_callback is a number of seconds from 0 on, or None, not {threshold!r}")
        self._threshold_ms = threshold * 1000
        self._now_ns = now_ns
        self._callbacks: list[_Measured] = []
        """The callbacks on the stack, innermost last."""
        self._turns_began: list[int] = []

    def turn_started(self) -> None:
        self._turns_began.append(self._now_ns())

    def turn_ended(self, handled: int) -> None:
        if self._turns_began:
            self._leave_out(self._now_ns() - self._turns_began.pop())

    def callback_started(self, kind: str, callback: object) -> None:
        self._callbacks.append(_Measured(self._now_ns(), len(self._turns_began)))

    def callback_ended(self, kind: str, callback: object) -> None:
        if not self._callbacks:
            return  # The callback was on the stack already when this instrument was added.
        took_ns = self._now_ns() - self._callbacks.pop().began_ns
        if took_ns / _NS_PER_MS > self._threshold_ms:
            logger.warning("%s took %.1f ms: %s", kind, took_ns / _NS_PER_MS, source_of(callback))
            self._leave_out(took_ns)

    def _leave_out(self, took_ns: int) -> None:
        """Do not count this time for the callbacks of the present turn that are on the stack."""
        for callback in reversed(self._callbacks):
            if callback.turns != len(self._turns_began):
                return
            callback.began_ns += took_ns


class _Measured:
    """A callback on the stack: when it began, plus what does not count, and the turns around it."""

    __slots__ = ("began_ns", "turns")

    def __init__(self, began_ns: int, turns: int) -> None:
        self.began_ns = began_ns
        self.turns = turns


def source_of(callback: object) -> str:
    """The user code behind a callback, as `name at file:line`.

    Looks through partials, bound methods, and objects around user code, which give it by a property
    `user_code`."""
    seen = callback
    for _ in range(_MOST_LAYERS):
        inner = _inside(seen)
        if inner is None:
            break
        seen = inner
    if inspect.iscoroutine(seen):
        line = seen.cr_frame.f_lineno if seen.cr_frame is not None else seen.cr_code.co_firstlineno
        return f"{seen.__qualname__} at {seen.cr_code.co_filename}:{line}"
    code = getattr(seen, "__code__", None)
    if code is None:
        return describe(seen)
    return f"{getattr(seen, '__qualname__', code.co_name)} at {code.co_filename}:{code.co_firstlineno}"


def describe(thing: object) -> str:
    """The repr of a thing, or object's if its own raises: a broken __repr__ must not hide the report."""
    try:
        return repr(thing)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return object.__repr__(thing)


def brief(value: object) -> str:
    """The repr of a value, cut to about 100 characters."""
    if isinstance(value, (str, bytes, bytearray)) and len(value) > _LONGEST_REPR:
        return f"{value[:_LONGEST_REPR]!r}..."
    text = describe(value)
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}..."


def _inside(callback: object) -> object | None:
    if isinstance(callback, functools.partial):
        return callback.func
    owner = getattr(callback, "__self__", callback)
    if hasattr(type(owner), "user_code"):
        return getattr(owner, "user_code", None)
    return getattr(callback, "__func__", None)
