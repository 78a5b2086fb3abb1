"""Coroutines on the loop: when they run, what they await, and how they are cancelled."""

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
from corelib.errors import Cancelled, UsageError
from corelib.turn.thread_loop import current


async def value_of(promise: Promise[Any]) -> Any:
    return await promise


def settle(loop: EventLoop, promise: Promise[Any]) -> None:
    assert loop.spin_until(lambda: promise.is_settled, timeout=30)


def test_it_runs_to_its_first_await_at_once_and_goes_on_in_a_turn(loop: EventLoop) -> None:
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


def test_what_is_settled_already_is_not_waited_for(loop: EventLoop) -> None:
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


def test_what_leaves_it_rejects_its_promise(loop: EventLoop) -> None:
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


def test_sleeping(loop: EventLoop, clock: Any) -> None:
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


def test_awaiting_a_notifier(loop: EventLoop) -> None:
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


def test_closing_an_awaited_notifier_cancels_the_wait(loop: EventLoop) -> None:
    one, other = socket.socketpair()
    with one, other:
        notifier = Notifier(one, Notifier.Type.READ)
        result = run_async(value_of(notifier.activation()))
        notifier.close()
        with pytest.raises(Cancelled):
            result.await_()


def test_an_fd_that_is_closed_under_an_awaited_notifier(loop: EventLoop) -> None:
    one, other = socket.socketpair()
    with other:
        notifier = Notifier(one, Notifier.Type.READ)
        activation = notifier.activation()
        one.close()
        with pytest.raises(NotWatchable, match="closed"):
            activation.await_(timeout=30)


def test_what_cannot_be_awaited_is_told_where_it_is_awaited(loop: EventLoop) -> None:
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


def test_each_has_its_own_context(loop: EventLoop) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")

    async def work(mine: str) -> str:
        name.set(mine)
        await sleep_ms(0)
        return name.get()

    both = Promise.after([run_async(work("one")), run_async(work("other"))])
    assert both.await_() == ["one", "other"]
    assert name.get() == "nobody"


def test_cancelling_runs_finally_blocks_inside_out(loop: EventLoop) -> None:
    steps: list[str] = []

    async def inner() -> None:
        try:
            await sleep_ms(60_000)
        finally:
            await sleep_ms(1)
            steps.append("inner")

    async def outer() -> None:
        try:
            await run_async(inner())
        finally:
            steps.append("outer")

    result = run_async(outer())
    assert result.cancel()
    assert not result.is_settled, "its finally blocks come first"
    with pytest.raises(Cancelled):
        result.await_()
    assert steps == ["inner", "outer"]
    assert result.is_cancelled
    assert not result.cancel()


def test_a_cancelled_sleep_leaves_no_timer(loop: EventLoop) -> None:
    result = run_async(value_of(sleep_ms(60_000)))
    assert len(current().timers) == 1
    result.cancel()
    settle(loop, result)
    assert len(current().timers) == 0


def test_a_coroutine_may_refuse_to_be_cancelled(loop: EventLoop) -> None:
    async def stubborn() -> str:
        try:
            await sleep_ms(60_000)
        except Cancelled:
            await sleep_ms(0)
        return "all the same"

    result = run_async(stubborn())
    result.cancel()
    assert result.await_() == "all the same"


def test_except_exception_does_not_catch_it(loop: EventLoop) -> None:
    async def work() -> str:
        try:
            await sleep_ms(60_000)
        except Exception:
            return "swallowed"
        return "slept"

    result = run_async(work())
    result.cancel()
    settle(loop, result)
    assert result.is_cancelled


def test_one_that_cancels_itself_hears_of_it_at_its_next_await(loop: EventLoop) -> None:
    steps: list[str] = []
    results: list[Promise[None]] = []

    async def work() -> None:
        await sleep_ms(0)
        results[0].cancel()
        steps.append("goes on")
        await sleep_ms(60_000)
        steps.append("never")

    results.append(run_async(work()))
    settle(loop, results[0])
    assert results[0].is_cancelled
    assert steps == ["goes on"]


def test_one_that_is_about_to_go_on_is_cancelled_all_the_same(loop: EventLoop) -> None:
    promise: Promise[int] = Promise()
    result = run_async(value_of(promise))
    promise.resolve(1)
    result.cancel()
    settle(loop, result)
    assert result.is_cancelled


def test_a_promise_with_another_who_waits_is_not_cancelled(loop: EventLoop) -> None:
    promise: Promise[int] = Promise()
    stays, leaves = run_async(value_of(promise)), run_async(value_of(promise))
    leaves.cancel()
    settle(loop, leaves)
    assert not promise.is_settled
    promise.resolve(5)
    assert stays.await_() == 5


def test_a_promise_that_nobody_waits_for_any_more_is_cancelled(loop: EventLoop) -> None:
    stopped: list[bool] = []
    promise: Promise[int] = Promise()
    promise.on_cancel = lambda: stopped.append(True)
    result = run_async(value_of(promise))
    result.cancel()
    settle(loop, result)
    assert stopped == [True]
    assert promise.is_cancelled


def test_closing_the_loop_runs_finally_blocks(caplog: pytest.LogCaptureFixture) -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            await sleep_ms(60_000)
        finally:
            steps.append("finally")

    async def awaits_in_finally() -> None:
        try:
            await sleep_ms(60_000)
        finally:
            await sleep_ms(1)

    with EventLoop():
        results = [run_async(work()), run_async(awaits_in_finally())]
    assert steps == ["finally"]
    assert all(result.is_cancelled for result in results)
    assert "ignored GeneratorExit" in caplog.text


def test_the_loop_keeps_it_alive_and_lets_go_of_it(loop: EventLoop) -> None:
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


def test_a_cancelled_one_is_not_logged(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    result = run_async(value_of(sleep_ms(60_000)))
    result.cancel()
    settle(loop, result)
    del result
    gc.collect()
    assert not caplog.records


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_what_always_leaves_exec_leaves_it(
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


def test_run_until_complete(loop: EventLoop) -> None:
    async def work() -> int:
        await sleep_ms(1)
        assert EventLoop.current() is loop
        return 42

    assert loop.run_until_complete(work()) == 42


def test_quit_cancels_what_runs_until_complete(loop: EventLoop) -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            await sleep_ms(60_000)
        finally:
            await sleep_ms(1)
            steps.append("finally")

    loop.deferred_invoke(loop.quit)
    with pytest.raises(Cancelled):
        loop.run_until_complete(work())
    assert steps == ["finally"]
    assert not loop.was_exit_requested()


def test_an_interrupt_cancels_what_runs_until_complete(loop: EventLoop) -> None:
    steps: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def work() -> None:
        try:
            await sleep_ms(60_000)
        finally:
            await sleep_ms(1)
            steps.append("finally")

    loop.deferred_invoke(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(work())
    assert steps == ["finally"]


def test_a_blocking_wait_inside_a_coroutine_lets_others_go_on(loop: EventLoop) -> None:
    async def other() -> str:
        await sleep_ms(1)
        return "other"

    async def work() -> str:
        await sleep_ms(0)
        return run_async(other()).await_()

    assert loop.run_until_complete(work()) == "other"


def test_a_forked_child_neither_resumes_nor_finalises_it(
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


def test_it_needs_no_timer_of_ours_to_be_awaited_from_a_callback(loop: EventLoop) -> None:
    """A coroutine may start in any callback, and settle a promise that another callback waits for."""
    done: list[str] = []

    async def work() -> None:
        await sleep_ms(1)
        done.append("coroutine")

    start: Callable[[], Coroutine[Any, Any, None]] = work
    timer = Timer.create_single_shot(0, lambda: run_async(start()).when_resolved(lambda _: loop.quit()))
    timer.start()
    loop.exec()
    assert done == ["coroutine"]
