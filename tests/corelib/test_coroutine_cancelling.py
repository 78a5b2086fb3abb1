"""Owns the tests of how coroutines are cancelled, and of the promises that they await.
Must not know how a coroutine goes on.
"""

from __future__ import annotations

import gc
import socket
from typing import Any

import pytest

from corelib import EventLoop, Notifier, Promise
from corelib.coroutine import run_async, sleep_ms
from corelib.errors import Cancelled
from corelib.turn.thread_loop import current


async def value_of(promise: Promise[Any]) -> Any:
    return await promise


def settle(loop: EventLoop, promise: Promise[Any]) -> None:
    assert loop.spin_until(lambda: promise.is_settled, timeout=30)


def test_closing_an_awaited_notifier_cancels_the_wait(loop: EventLoop) -> None:
    one, other = socket.socketpair()
    with one, other:
        notifier = Notifier(one, Notifier.Type.READ)
        result = run_async(value_of(notifier.activation()))
        notifier.close()
        with pytest.raises(Cancelled):
            result.await_()


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


def test_except_exception_does_not_catch_cancelled(loop: EventLoop) -> None:
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


def test_a_coroutine_that_cancels_itself_is_cancelled_at_its_next_await(loop: EventLoop) -> None:
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


def test_a_coroutine_whose_next_step_is_queued_is_still_cancelled(loop: EventLoop) -> None:
    promise: Promise[int] = Promise()
    result = run_async(value_of(promise))
    promise.resolve(1)
    result.cancel()
    settle(loop, result)
    assert result.is_cancelled


def test_a_promise_with_another_listener_is_not_cancelled(loop: EventLoop) -> None:
    promise: Promise[int] = Promise()
    stays, leaves = run_async(value_of(promise)), run_async(value_of(promise))
    leaves.cancel()
    settle(loop, leaves)
    assert not promise.is_settled
    promise.resolve(5)
    assert stays.await_() == 5


def test_a_promise_without_listeners_left_is_cancelled(loop: EventLoop) -> None:
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


def test_a_cancelled_coroutine_is_not_logged(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    result = run_async(value_of(sleep_ms(60_000)))
    result.cancel()
    settle(loop, result)
    del result
    gc.collect()
    assert not caplog.records


def test_quit_cancels_a_coroutine_that_runs_until_complete(loop: EventLoop) -> None:
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


def test_an_interrupt_cancels_a_coroutine_that_runs_until_complete(loop: EventLoop) -> None:
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
