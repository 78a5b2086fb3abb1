"""Owns the handlers of POSIX signals that run as ordinary callbacks of a loop, never inside a signal handler.
Must not know the loop: a function that posts callbacks is passed in.
"""

from __future__ import annotations

import inspect
import itertools
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from corelib.errors import UsageError
from corelib.turn import interrupts
from corelib.turn.interrupts import calls_user_code

SignalHandler = Callable[[int], object] | Callable[[], object]

_DEFAULT_ACTIONS = (signal.SIG_DFL, signal.default_int_handler)


class SignalHandlers:
    """The registered handlers of the main thread.

    A process has one handler of each signal, and whoever sets it last has it. Another loop in the thread, a
    stock asyncio one for example, replaces ours and later leaves the default action. So take_back() is called
    when exec() begins, before each long sleep, and about once a second in a loop that has none.

    When the last handler of a signal is unregistered, the handler that Python had before is restored."""

    __slots__ = ("_handlers", "_ids", "_pending", "_post", "_previous")

    def __init__(self, post: Callable[[Callable[[], object]], None]) -> None:
        self._post = post
        self._handlers: dict[int, dict[int, Callable[[int], object]]] = {}
        self._previous: dict[int, Any] = {}
        self._pending: set[int] = set()
        """The ids of handlers whose call is queued: as with the kernel's pending signals, two of a kind are
        one."""
        self._ids = itertools.count(1)

    def register(self, signo: int, handler: SignalHandler) -> int:
        """Call `handler(signo)` in a turn after the signal has arrived; return an id for unregister().

        A handler that takes no argument is called without. It is called once for all arrivals before the
        call.

        Raises:
            UsageError: the signal cannot be caught, or the handler needs other arguments.
        """
        call = _with_number(handler)
        if signo not in self._previous:
            try:
                self._previous[signo] = signal.signal(signo, self._on_signal)
            except (OSError, ValueError, TypeError) as error:
                raise UsageError(f"signal {signo!r} cannot be handled: {error}") from error
        handler_id = next(self._ids)
        self._handlers.setdefault(signo, {})[handler_id] = call
        return handler_id

    def unregister(self, handler_id: int) -> None:
        """Remove a handler; it is not called any more, even if its call is queued.

        Raises:
            UsageError: the id is not registered.
        """
        for signo, handlers in self._handlers.items():
            if handlers.pop(handler_id, None) is not None:
                if not handlers:
                    self._restore(signo)
                return
        raise UsageError(
            f"no signal handler has the id {handler_id!r}: it was unregistered before, or never registered"
        )

    def close(self) -> None:
        """Remove all handlers."""
        for signo in list(self._handlers):
            self._restore(signo)

    def take_back(self) -> None:
        """Set our handlers again for signals that somebody has reset to the default action; no others."""
        for signo in self._handlers:
            if signal.getsignal(signo) in _DEFAULT_ACTIONS:
                signal.signal(signo, self._on_signal)
        interrupts.install()

    def _restore(self, signo: int) -> None:
        del self._handlers[signo]
        previous = self._previous.pop(signo)
        # Any other handler is one that the program has set since.
        if signal.getsignal(signo) in (self._on_signal, *_DEFAULT_ACTIONS):
            # None: installed by C code, which Python cannot put back.
            signal.signal(signo, signal.SIG_DFL if previous is None else previous)

    def _on_signal(self, signo: int, _frame: FrameType | None) -> None:
        for handler_id in self._handlers.get(signo, ()):
            if handler_id not in self._pending:
                self._pending.add(handler_id)
                self._post(partial(self._deliver, signo, handler_id))

    @calls_user_code
    def _deliver(self, signo: int, handler_id: int) -> None:
        self._pending.discard(handler_id)
        handler = self._handlers.get(signo, {}).get(handler_id)
        if handler is not None:
            handler(signo)


def _with_number(handler: SignalHandler) -> Callable[[int], object]:
    """A function that calls a handler with the signal's number, or without it if the handler takes none."""
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # Not callable, or written in C.
        if not callable(handler):
            raise UsageError(f"a signal handler is a function, not {handler!r}") from None
        return handler  # type: ignore[return-value]
    for arguments in ((0,), ()):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return handler if arguments else lambda _signo: handler()  # type: ignore[call-arg, return-value]
    raise UsageError(f"a signal handler takes the signal's number or nothing: {handler!r} takes {signature}")
