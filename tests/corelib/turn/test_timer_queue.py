"""Owns the tests of the order of deadlines, with time passed in.
Must not know timers.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.turn.timer_queue import TimerQueue, deadline_after


def drain(queue: TimerQueue[str], now: int) -> list[str]:
    due = []
    while (item := queue.pop_due(now)) is not None:
        due.append(item)
    return due


def test_items_come_due_by_deadline_and_ties_in_order_of_arming() -> None:
    queue: TimerQueue[str] = TimerQueue()
    for deadline, item in [(30, "c"), (10, "a1"), (20, "b"), (10, "a2")]:
        queue.arm(deadline, item)
    assert queue.next_deadline() == 10
    assert drain(queue, 9) == []
    assert drain(queue, 20) == ["a1", "a2", "b"]
    assert queue.next_deadline() == 30


def test_a_cancelled_item_is_never_due() -> None:
    queue: TimerQueue[str] = TimerQueue()
    ticket = queue.arm(10, "a")
    queue.arm(20, "b")
    queue.cancel(ticket)
    queue.cancel(ticket)
    assert queue.next_deadline() == 20
    assert drain(queue, 100) == ["b"]
    assert queue.next_deadline() is None


def test_the_memory_of_cancelled_items_is_freed() -> None:
    queue: TimerQueue[str] = TimerQueue()
    kept = [queue.arm(deadline, "kept") for deadline in range(10)]
    for deadline in range(10_000):
        queue.cancel(queue.arm(deadline, "cancelled"))
        assert len(queue.heap) <= 100
    assert len(queue) == len(kept)
    assert len(drain(queue, 10)) == len(kept)


def test_clear_returns_the_items() -> None:
    queue: TimerQueue[str] = TimerQueue()
    queue.arm(10, "a")
    queue.arm(20, "b")
    assert queue.clear() == ["a", "b"]
    assert len(queue) == 0
    assert drain(queue, 100) == []


@given(
    st.lists(st.one_of(st.integers(0, 50), st.tuples(st.just("cancel"), st.integers(0, 300))), max_size=300)
)
def test_the_queue_behaves_like_a_sorted_list(steps: list[int | tuple[str, int]]) -> None:
    queue: TimerQueue[int] = TimerQueue()
    tickets: list[int] = []
    model: dict[int, tuple[int, int]] = {}
    for step in steps:
        if isinstance(step, int):
            tickets.append(queue.arm(step, len(tickets)))
            model[len(tickets) - 1] = (step, len(tickets) - 1)
        elif tickets:
            victim = step[1] % len(tickets)
            queue.cancel(tickets[victim])
            model.pop(victim, None)
    due = []
    for now in range(51):
        while (item := queue.pop_due(now)) is not None:
            due.append((now, item))
    assert due == sorted(model.values())


@pytest.mark.parametrize(
    ("seconds", "deadline"), [(None, None), (float("inf"), None), (0, 5), (-1.0, 5), (1.5, 1_500_000_005)]
)
def test_deadline_after_adds_seconds_and_none_stays_none(seconds: float | None, deadline: int | None) -> None:
    assert deadline_after(5, seconds) == deadline


def test_nan_is_refused_as_a_timeout() -> None:
    with pytest.raises(ValueError, match="NaN"):
        deadline_after(0, float("nan"))
