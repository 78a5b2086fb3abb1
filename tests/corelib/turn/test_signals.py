"""Owns the tests of signal handlers as ordinary callbacks.
Must not know how a signal ends a sleep.
"""

from __future__ import annotations

import signal
import threading

import pytest

from corelib import EventLoop, UsageError, WaitMode, WrongThread


def test_a_handler_runs_in_a_turn_and_not_in_the_signal_handler(loop: EventLoop) -> None:
    seen: list[tuple[int, bool]] = []
    loop.register_signal(signal.SIGUSR1, lambda signo: seen.append((signo, loop.in_turn)))
    signal.raise_signal(signal.SIGUSR1)
    assert seen == []
    loop.pump()
    assert seen == [(signal.SIGUSR1, True)]


def test_signals_before_the_handler_has_run_are_one(loop: EventLoop) -> None:
    seen: list[int] = []
    loop.register_signal(signal.SIGUSR1, seen.append)
    for _ in range(1000):
        signal.raise_signal(signal.SIGUSR1)
    assert len(loop.snapshot().pending) == 1
    loop.pump()
    assert seen == [signal.SIGUSR1]
    signal.raise_signal(signal.SIGUSR1)
    loop.pump()
    assert seen == [signal.SIGUSR1] * 2


def test_all_handlers_of_a_signal_run_in_order(loop: EventLoop) -> None:
    seen: list[str] = []
    loop.register_signal(signal.SIGUSR1, lambda signo: seen.append("a"))
    loop.register_signal(signal.SIGUSR1, lambda signo: seen.append("b"))
    signal.raise_signal(signal.SIGUSR1)
    loop.pump()
    assert seen == ["a", "b"]


def test_the_last_handler_restores_the_one_before(loop: EventLoop) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    seen: list[str] = []
    first = loop.register_signal(signal.SIGUSR1, lambda signo: seen.append("first"))
    second = loop.register_signal(signal.SIGUSR1, lambda signo: seen.append("second"))
    signal.raise_signal(signal.SIGUSR1)
    loop.unregister_signal(first)
    loop.pump(WaitMode.POLL_FOR_EVENTS)
    assert seen == ["second"], "a call that is queued is not made either"
    loop.unregister_signal(second)
    assert signal.getsignal(signal.SIGUSR1) is before
    with pytest.raises(UsageError, match="no signal handler has the id"):
        loop.unregister_signal(second)


def test_closing_the_loop_restores_the_handlers_before() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with EventLoop() as loop:
        loop.register_signal(signal.SIGUSR1, print)
        assert signal.getsignal(signal.SIGUSR1) is not before
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_registered_sigint_does_not_interrupt(loop: EventLoop) -> None:
    loop.register_signal(signal.SIGINT, lambda signo: loop.quit(signo))
    loop.deferred_invoke(lambda: signal.raise_signal(signal.SIGINT))
    assert loop.exec() == signal.SIGINT


def test_signals_that_cannot_be_caught_are_refused(loop: EventLoop) -> None:
    with pytest.raises(UsageError, match="cannot be handled"):
        loop.register_signal(signal.SIGKILL, print)


def test_only_loops_of_the_main_thread_have_signals(loop: EventLoop) -> None:
    errors: list[BaseException] = []

    def elsewhere() -> None:
        for register in (loop.register_signal, EventLoop().register_signal):
            try:
                register(signal.SIGUSR1, print)
            except WrongThread as error:
                errors.append(error)
        EventLoop.current().close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(errors) == 2
