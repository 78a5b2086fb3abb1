"""Owns the tests of coroutines on the loop: when they run, what they await, and how they end.
Must not know what settles a promise.
"""

from __future__ import annotations

import contextvars
import gc
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from corelib import EventLoop, Notifier, NotWatchable, Promise, Timer
from corelib.coroutine import run_async, sleep_ms
from corelib.errors import UsageError
from corelib.turn.thread_loop import current


async def value_of(promise: Promise[Any]) -> Any:
    return await promise


def settle(loop: EventLoop, promise: Promise[Any]) -> None:
    assert loop.spin_until(lambda: promise.is_settled, timeout=30)


def test_a_coroutine_runs_to_its_first_await_at_once_and_goes_on_in_a_turn(loop: EventLoop) -> None:
    steps: list[str] = []
    promise: Promise[int] = Promise()

    async def work() -> int:
        steps.append("begun")
        value = await promise
        steps.append("resumed")
        return value + 1

    result = run_async(work())
    assert steps == ["begun"]
    promise.resolve(41)
    assert steps == ["begun"], "never inside resolve()"
    loop.pump()
    assert steps == ["begun", "resumed"]
    assert result.await_() == 42


def test_awaiting_a_settled_promise_takes_no_turn(loop: EventLoop) -> None:
    assert run_async(value_of(Promise.resolved(3))).is_resolved


def test_a_rejection_is_raised_at_the_await(loop: EventLoop) -> None:
    promise: Promise[int] = Promise()

    async def work() -> str:
        try:
            await promise
        except KeyError as error:
            return f"caught {error}"
        return "nothing"

    result = run_async(work())
    promise.reject(KeyError("x"))
    assert result.await_() == "caught 'x'"


def test_an_exception_of_a_coroutine_rejects_its_promise(loop: EventLoop) -> None:
    async def work() -> None:
        await sleep_ms(0)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run_async(work()).await_()


def test_coroutines_nest(loop: EventLoop) -> None:
    async def inner(depth: int) -> int:
        if depth == 0:
            await sleep_ms(0)
            return 0
        return 1 + await inner(depth - 1)

    assert loop.run_until_complete(inner(50)) == 50


def test_a_long_row_of_waiting_coroutines_does_not_grow_the_stack(loop: EventLoop) -> None:
    first: Promise[int] = Promise()
    last: Promise[int] = first
    for _ in range(5000):
        last = run_async(value_of(last))
    first.resolve(7)
    assert last.await_() == 7


def test_sleep_ms_resolves_after_the_interval(loop: EventLoop, clock: Any) -> None:
    woken: list[int] = []

    async def work(ms: int) -> None:
        await sleep_ms(ms)
        woken.append(ms)

    for ms in (30, 10, 20):
        run_async(work(ms))
    began = clock.now
    loop.spin_until(lambda: len(woken) == 3)
    assert woken == [10, 20, 30]
    assert clock.now - began == 30_000_000


def test_a_coroutine_awaits_each_activation_of_a_notifier(loop: EventLoop) -> None:
    one, other = socket.socketpair()
    with one, other:
        notifier = Notifier(one, Notifier.Type.READ)

        async def read() -> bytes:
            received = b""
            while len(received) < 3:
                await notifier
                received += one.recv(1)
            return received

        result = run_async(read())
        other.send(b"abc")
        assert result.await_() == b"abc"
        notifier.close()


def test_nobody_is_called_for_an_awaited_notifier_between_awaits(
    loop: EventLoop, failures: list[Exception]
) -> None:
    one, other = socket.socketpair()
    with one, other:
        notifier = Notifier(one, Notifier.Type.READ)
        activation = notifier.activation()
        other.send(b"x")
        activation.await_()
        deferred: list[int] = []
        loop.deferred_invoke(lambda: deferred.append(1))
        assert loop.pump() == 1
        assert not failures
        notifier.close()


def test_a_notifier_with_a_callback_may_be_awaited_too(loop: EventLoop) -> None:
    one, other = socket.socketpair()
    with one, other:
        received: list[bytes] = []
        notifier = Notifier(one, Notifier.Type.READ, lambda: received.append(one.recv(9)))
        activation = notifier.activation()
        other.send(b"x")
        activation.await_()
        assert received == [b"x"]
        other.send(b"y")
        loop.pump()
        assert received == [b"x", b"y"]
        notifier.close()


def test_closing_the_fd_of_an_awaited_notifier_rejects_the_wait(loop: EventLoop) -> None:
    one, other = socket.socketpair()
    with other:
        notifier = Notifier(one, Notifier.Type.READ)
        activation = notifier.activation()
        one.close()
        with pytest.raises(NotWatchable, match="closed"):
            activation.await_(timeout=30)


def test_awaiting_an_unknown_object_raises_at_the_await(loop: EventLoop) -> None:
    class Strange:
        def __await__(self) -> Generator[Any, Any, None]:
            yield 17

    async def work() -> None:
        await Strange()

    with pytest.raises(UsageError, match="cannot await 17"):
        run_async(work()).await_()


def test_only_coroutines_are_run(loop: EventLoop) -> None:
    with pytest.raises(UsageError, match="takes a coroutine"):
        run_async(lambda: None)  # type: ignore[arg-type]


def test_each_coroutine_has_its_own_context(loop: EventLoop) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")

    async def work(mine: str) -> str:
        name.set(mine)
        await sleep_ms(0)
        return name.get()

    both = Promise.after([run_async(work("one")), run_async(work("other"))])
    assert both.await_() == ["one", "other"]
    assert name.get() == "nobody"


def test_the_loop_keeps_a_coroutine_alive_until_its_end(loop: EventLoop) -> None:
    ended: list[bool] = []

    async def work() -> None:
        await sleep_ms(1)
        gc.collect()
        ended.append(True)

    run_async(work())
    gc.collect()
    assert loop.spin_until(lambda: bool(ended), timeout=30)
    assert not current().tasks


def test_an_unhandled_failure_is_logged(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise ValueError("nobody hears")

    with caplog.at_level(logging.ERROR):
        run_async(work())
    assert "nobody hears" in caplog.text


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_interrupts_and_exits_of_a_coroutine_leave_exec(
    loop: EventLoop, leaving: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        await sleep_ms(0)
        raise leaving

    result = run_async(work())
    with pytest.raises(leaving):
        loop.exec()
    assert result.is_rejected
    del result
    gc.collect()
    assert not caplog.records


def test_run_until_complete_returns_or_raises_the_outcome(loop: EventLoop) -> None:
    async def work() -> int:
        await sleep_ms(1)
        assert EventLoop.current() is loop
        return 42

    assert loop.run_until_complete(work()) == 42


def test_a_blocking_wait_inside_a_coroutine_lets_others_go_on(loop: EventLoop) -> None:
    async def other() -> str:
        await sleep_ms(1)
        return "other"

    async def work() -> str:
        await sleep_ms(0)
        return run_async(other()).await_()

    assert loop.run_until_complete(work()) == "other"


def test_a_forked_child_neither_resumes_nor_finalises_a_coroutine(
    loop: EventLoop, forked: Callable[[Callable[[], object]], int], tmp_path: Any
) -> None:
    trace = tmp_path / "trace"

    async def work() -> None:
        try:
            await sleep_ms(60_000)
        finally:
            with open(trace, "a") as file:
                file.write(f"{os.getpid()}\n")

    def child() -> None:
        gc.collect()
        with EventLoop() as mine:
            assert mine.run_until_complete(value_of(sleep_ms(1))) is None

    result = run_async(work())
    assert forked(child) == 0
    result.cancel()
    settle(loop, result)
    assert trace.read_text() == f"{os.getpid()}\n"


def test_a_callback_may_await_a_coroutine_without_a_timer(loop: EventLoop) -> None:
    """A timer's callback starts a coroutine, and the end of that quits the loop."""
    done: list[str] = []

    async def work() -> None:
        await sleep_ms(1)
        done.append("coroutine")

    start: Callable[[], Coroutine[Any, Any, None]] = work
    timer = Timer.create_single_shot(0, lambda: run_async(start()).when_resolved(lambda _: loop.quit()))
    timer.start()
    loop.exec()
    assert done == ["coroutine"]
