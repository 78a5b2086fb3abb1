"""Owns the tests of depth: rows of promises and coroutines that are longer than the stack.
Must not know anything else about promises.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from corelib import Cancelled, EventLoop, Promise, run_async, sleep_ms

LENGTH = 2000
GUARD = 30  # seconds, against a hang
Derive = Callable[[Promise[int]], Promise[int]]


def by_resolving(source: Promise[int]) -> Promise[int]:
    derived: Promise[int] = Promise()
    source.when_resolved(derived.resolve).when_rejected(derived.reject)
    return derived


def by_a_function(source: Promise[int]) -> Promise[int]:
    derived: Promise[int] = Promise()
    source.when_resolved(lambda value: derived.resolve(value)).when_rejected(
        lambda error: derived.reject(error)
    )
    return derived


WAYS: dict[str, Derive] = {
    "map": lambda source: source.map(lambda value: value),
    "chain to a settled one": lambda source: source.chain(Promise.resolved),
    "chain to another": lambda source: source.chain(lambda value: Promise.resolved(value).map(int)),
    "after": lambda source: Promise.after([source]).map(lambda values: values[0]),
    "within": lambda source: source.within(60),
    "resolve": by_resolving,
    "function": by_a_function,
}


def row_of(first: Promise[int], derive: Derive) -> list[Promise[int]]:
    row = [first]
    for _ in range(LENGTH):
        row.append(derive(row[-1]))
    return row


@pytest.mark.parametrize("way", WAYS)
def test_a_long_row_of_promises_resolves_when_the_first_does(
    loop: EventLoop, failures: list[Exception], way: str
) -> None:
    row = row_of(Promise(), WAYS[way])
    row[0].resolve(3)
    assert row[-1].is_resolved, "as soon as resolve() has returned"
    assert row[-1].await_() == 3
    assert failures == []


@pytest.mark.parametrize("way", WAYS)
def test_a_long_row_of_promises_is_rejected_when_the_first_is(
    loop: EventLoop, failures: list[Exception], way: str
) -> None:
    row = row_of(Promise(), WAYS[way])
    row[0].reject(OSError("no"))
    with pytest.raises(OSError, match="no"):
        row[-1].await_(GUARD)
    for promise in row:
        promise.when_rejected(lambda error: None)
    assert failures == []


@pytest.mark.parametrize("way", ["map", "chain to a settled one", "after", "within"])
def test_cancelling_the_last_of_a_long_row_cancels_the_first(
    loop: EventLoop, failures: list[Exception], way: str
) -> None:
    row = row_of(Promise(), WAYS[way])
    assert row[-1].cancel()
    assert all(promise.is_cancelled for promise in row)
    assert failures == []


def test_a_row_needs_no_loop() -> None:
    row = row_of(Promise(), WAYS["map"])
    row[0].resolve(3)
    assert row[-1].is_resolved


def test_steps_that_follow_at_once_on_settled_promises_do_not_grow_the_stack(loop: EventLoop) -> None:
    depths: list[int] = []

    def step(left: int) -> Promise[int]:
        depths.append(stack_depth())
        return Promise.resolved(left - 1).chain(step) if left else Promise.resolved(-1)

    assert step(LENGTH).await_(GUARD) == -1
    assert max(depths) - depths[0] < 24 * 2 * 7 + 20


def test_a_callback_deep_down_may_await_a_promise_that_is_settled_deeper(loop: EventLoop) -> None:
    got: list[int] = []
    row = row_of(Promise(), by_resolving)
    row[40].when_resolved(lambda value: got.append(row[100].await_(GUARD)))
    loop.deferred_invoke(partial(row[0].resolve, 5))
    assert loop.spin_until(lambda: got, timeout=GUARD)
    assert got == [5]


def test_a_callback_that_is_added_deep_down_to_a_settled_promise_may_be_withdrawn(loop: EventLoop) -> None:
    at_withdrawal: list[tuple[list[object], list[object]]] = []
    row = row_of(Promise(), by_resolving)

    def adds_and_withdraws(_value: int) -> None:
        called: list[object] = []
        withdraw = Promise.resolved(1).listen(called.append, called.append)
        assert withdraw()
        at_withdrawal.append((called, called[:]))

    for promise in row:
        promise.when_resolved(adds_and_withdraws)
    row[0].resolve(1)
    assert all(called == before for called, before in at_withdrawal)
    assert {len(before) for _, before in at_withdrawal} == {0, 1}, "both were reached"


def test_callbacks_nest_as_before_in_a_short_row(loop: EventLoop) -> None:
    order: list[str] = []
    row = row_of(Promise(), by_resolving)[:10]
    for number, promise in enumerate(row):
        promise.when_resolved(lambda value, number=number: order.append(f"after {number}"))  # type: ignore[misc]
    row[0].resolve(1)
    assert order == [f"after {number}" for number in reversed(range(10))]


def test_an_interrupt_in_a_long_row_loses_no_callback(loop: EventLoop) -> None:
    row = row_of(Promise(), by_resolving)

    def interrupt(value: int) -> None:
        raise KeyboardInterrupt

    row[500].when_resolved(interrupt)
    with pytest.raises(KeyboardInterrupt):
        row[0].resolve(1)
    assert loop.spin_until(lambda: row[-1].is_resolved, timeout=GUARD)


def test_rows_of_several_threads_do_not_disturb_one_another() -> None:
    last: list[Promise[int]] = []

    def settle_a_row() -> None:
        row = row_of(Promise(), WAYS["map"])
        row[0].resolve(1)
        assert row[-1].is_resolved
        last.append(row[-1])

    threads = [threading.Thread(target=settle_a_row) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert len(last) == 4


async def passes_on(awaited: Any, ended: list[int], number: int) -> Any:
    try:
        return await awaited
    finally:
        ended.append(number)


def test_cancelling_a_long_row_of_coroutines_ends_them_inside_out(loop: EventLoop) -> None:
    ended: list[int] = []
    task: Promise[Any] = run_async(passes_on(sleep_ms(60_000), ended, 0))
    for number in range(1, LENGTH):
        task = run_async(passes_on(task, ended, number))
    assert task.cancel()
    with pytest.raises(Cancelled):
        task.await_(GUARD)
    assert ended == list(range(LENGTH))


def test_cancelling_a_row_of_coroutines_and_maps_ends_all(loop: EventLoop) -> None:
    ended: list[int] = []
    task: Promise[Any] = run_async(passes_on(sleep_ms(60_000), ended, 0))
    for number in range(1, LENGTH):
        task = run_async(passes_on(task.map(lambda value: value), ended, number))
    assert task.cancel()
    assert loop.spin_until(lambda: len(ended) == LENGTH, timeout=GUARD)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("of_maps", [False, True])
def test_coroutines_that_await_each_other_in_a_circle_can_be_cancelled(
    loop: EventLoop, size: int, of_maps: bool
) -> None:
    ended: list[int] = []
    tasks: list[Promise[Any]] = []

    async def waits_for_the_next(number: int) -> None:
        await sleep_ms(0)  # Until all are made.
        following = tasks[(number + 1) % size]
        await passes_on(following.map(lambda value: value) if of_maps else following, ended, number)

    tasks.extend(run_async(waits_for_the_next(number)) for number in range(size))
    loop.spin_until(lambda: False, timeout=0.05)
    assert tasks[0].cancel()
    assert loop.spin_until(lambda: all(task.is_cancelled for task in tasks), timeout=GUARD)
    assert sorted(ended) == list(range(size)), "each has ended once"


def test_closing_a_loop_with_a_long_row_of_coroutines_ends_all() -> None:
    ended: list[int] = []
    with EventLoop():
        task: Promise[Any] = run_async(passes_on(sleep_ms(60_000), ended, 0))
        for number in range(1, LENGTH):
            task = run_async(passes_on(task, ended, number))
    assert sorted(ended) == list(range(LENGTH))


def stack_depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth
