"""Owns the tests of signal handlers as ordinary callbacks.
Must not know how a signal ends a sleep.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial

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


# Ignored by default, so that a test in which our handler is gone fails and does not end pytest.
HARMLESS = signal.SIGURG
GUARD = 30  # seconds, against a hang


@pytest.fixture
def press(loop: EventLoop) -> Iterator[Callable[[int], None]]:
    """A function that has another thread send a signal as soon as the loop makes a turn."""
    threads: list[threading.Thread] = []

    def in_a_turn(signo: int) -> None:
        threads.append(threading.Thread(target=os.kill, args=(os.getpid(), signo)))
        loop.deferred_invoke(threads[-1].start)

    yield in_a_turn
    for thread in threads:
        thread.join(GUARD)


def run_a_stock_asyncio_with_handlers() -> None:
    async def main() -> None:
        for signo in (signal.SIGINT, HARMLESS):
            asyncio.get_running_loop().add_signal_handler(signo, lambda: None)

    asyncio.run(main())


def run_a_stock_asyncio_in_a_callback(loop: EventLoop) -> None:
    loop.deferred_invoke(run_a_stock_asyncio_with_handlers)
    loop.pump()


STOCK_LOOPS: list[Callable[[EventLoop], object]] = [
    lambda loop: run_a_stock_asyncio_with_handlers(),
    run_a_stock_asyncio_in_a_callback,
]


@pytest.mark.parametrize("begin", ["exec", "long sleep"])
@pytest.mark.parametrize("run", STOCK_LOOPS, ids=["before", "inside"])
def test_our_handlers_work_after_a_stock_asyncio(
    loop: EventLoop, press: Callable[[int], None], run: Callable[[EventLoop], object], begin: str
) -> None:
    seen: list[int] = []
    loop.register_signal(HARMLESS, seen.append)
    run(loop)
    assert signal.getsignal(HARMLESS) is signal.SIG_DFL
    if begin == "exec":
        loop.quit()
        loop.exec()
    else:
        loop.pump(timeout=0.06)  # Longer than a loop is quiet before it looks.
    press(HARMLESS)
    assert loop.spin_until(lambda: seen, timeout=GUARD)
    press(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loop.spin_until(lambda: False, timeout=GUARD)


def test_our_handlers_work_while_a_stock_asyncio_has_the_wakeup_fd(
    loop: EventLoop, press: Callable[[int], None]
) -> None:
    theirs: list[str] = []
    with contextlib.closing(asyncio.new_event_loop()) as stock:
        stock.add_signal_handler(signal.SIGUSR1, theirs.append, "asyncio")
        seen: list[int] = []
        loop.register_signal(HARMLESS, seen.append)
        press(HARMLESS)
        assert loop.spin_until(lambda: seen, timeout=GUARD)
        press(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            loop.spin_until(lambda: False, timeout=GUARD)
        signal.raise_signal(signal.SIGUSR1)
        stock.call_later(GUARD, stock.stop).cancel()
        while not theirs:
            stock.run_until_complete(asyncio.sleep(0))
    assert theirs == ["asyncio"]


def test_a_busy_loop_takes_its_handlers_back_within_about_a_second(loop: EventLoop) -> None:
    seen: list[int] = []
    loop.register_signal(HARMLESS, seen.append)
    run_a_stock_asyncio_with_handlers()

    def goes_on() -> None:
        loop.deferred_invoke(goes_on)

    goes_on()
    assert loop.spin_until(lambda: signal.getsignal(HARMLESS) is not signal.SIG_DFL, timeout=GUARD)
    signal.raise_signal(HARMLESS)
    assert loop.spin_until(lambda: seen, timeout=GUARD)


def test_a_handler_that_the_program_sets_later_stays() -> None:
    def mine(signo: int, frame: object) -> None: ...

    before = signal.getsignal(HARMLESS)
    try:
        with EventLoop() as loop:
            loop.register_signal(HARMLESS, print)
            signal.signal(HARMLESS, mine)
            loop.pump(timeout=0.06)
            assert signal.getsignal(HARMLESS) is mine
        assert signal.getsignal(HARMLESS) is mine
    finally:
        signal.signal(HARMLESS, before)


@pytest.mark.parametrize(
    ("handler", "arguments"),
    [
        (lambda seen: seen.append(()), ()),
        (lambda seen, signo: seen.append((signo,)), (signal.SIGUSR1,)),
        (lambda seen, signo=None: seen.append((signo,)), (signal.SIGUSR1,)),
        (lambda seen, *arguments: seen.append(arguments), (signal.SIGUSR1,)),
        (lambda seen, **names: seen.append(()), ()),
    ],
)
def test_a_handler_takes_the_number_or_nothing(
    loop: EventLoop, handler: Callable[..., object], arguments: tuple[int, ...]
) -> None:
    seen: list[tuple[int, ...]] = []
    loop.register_signal(signal.SIGUSR1, partial(handler, seen))
    signal.raise_signal(signal.SIGUSR1)
    loop.pump()
    assert seen == [arguments]


def test_quit_itself_may_be_a_handler(loop: EventLoop) -> None:
    loop.register_signal(signal.SIGUSR1, loop.quit)
    loop.deferred_invoke(partial(signal.raise_signal, signal.SIGUSR1))
    assert loop.exec() == signal.SIGUSR1


def test_handlers_that_cannot_be_called_are_refused_at_once(loop: EventLoop) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    for handler in (lambda signo, frame: None, "no function", None):
        with pytest.raises(UsageError, match="a signal handler"):
            loop.register_signal(signal.SIGUSR1, handler)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot be handled"):
        loop.register_signal("SIGUSR1", print)  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGUSR1) is before
