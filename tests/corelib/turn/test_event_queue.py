"""Owns the tests of posts from anywhere, taken one at a time, and of sleepers woken.
Must not know loops.
"""

from __future__ import annotations

import threading
from functools import partial

from corelib.turn.event_queue import EventQueue


def take(queue: EventQueue) -> None:
    """Take the first callback as the turn does."""
    callback = queue.items.popleft()
    queue.taken += 1
    callback()


def test_the_queue_is_first_in_first_out_and_counts_what_it_takes() -> None:
    queue = EventQueue(lambda: None)
    seen: list[str] = []
    for name in "abc":
        queue.post(partial(seen.append, name))
    assert queue.taken + len(queue.items) == 3
    take(queue)
    assert (queue.taken, queue.taken + len(queue.items)) == (1, 3)
    take(queue)
    assert seen == ["a", "b"]


def test_only_a_sleeper_is_woken() -> None:
    wakes: list[int] = []
    queue = EventQueue(lambda: wakes.append(len(queue.items)))
    queue.post(print)
    assert wakes == []
    queue.sleeping = True
    queue.post(print)
    assert wakes == [2], "appended first, then woken"


def test_closing_counts_dropped_callbacks_as_taken() -> None:
    queue = EventQueue(lambda: None)
    queue.post(print)
    mark = queue.taken + len(queue.items)
    queue.close()
    assert queue.taken == mark
    assert not queue.items


def test_posts_of_threads_are_neither_lost_nor_reordered() -> None:
    queue = EventQueue(lambda: None)
    seen: list[tuple[int, int]] = []

    def post(poster: int) -> None:
        for number in range(2000):
            queue.post(partial(seen.append, (poster, number)))

    posters = [threading.Thread(target=post, args=(poster,)) for poster in range(4)]
    for thread in posters:
        thread.start()
    while len(seen) < 8000:
        while queue.items:
            take(queue)
    for thread in posters:
        thread.join()
    for poster in range(4):
        assert [number for who, number in seen if who == poster] == list(range(2000))
