"""Owns the tests of contextvars: a coroutine and a job have their own, and a turn sees no coroutine's.
Must not know what the variables are for.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Any

import pytest

from corelib import EventLoop, Notifier, Promise, Timer, run_async, sleep_ms

GUARD = 30  # seconds, against a hang

user: ContextVar[str] = ContextVar("user", default="nobody")


def test_coroutines_do_not_see_one_another_s_variables(loop: EventLoop) -> None:
    seen: list[tuple[str, str]] = []

    async def serves(name: str) -> None:
        user.set(name)
        for _ in range(3):
            await sleep_ms(0)
            seen.append((name, user.get()))

    tasks = [run_async(serves(name)) for name in ("ada", "bob")]
    assert loop.spin_until(lambda: all(task.is_settled for task in tasks), timeout=GUARD)
    assert len(seen) == 6
    assert all(name == value for name, value in seen)
    assert user.get() == "nobody"


def test_a_coroutine_and_a_job_begin_with_the_variables_of_their_caller(loop: EventLoop) -> None:
    async def asks() -> tuple[str, str]:
        return user.get(), await loop.run_in_thread(user.get)

    token = user.set("ada")
    try:
        task = run_async(asks())
    finally:
        user.reset(token)
    assert task.await_(GUARD) == ("ada", "ada")
    assert loop.run_in_thread(user.get).await_(GUARD) == "nobody"


def test_a_job_does_not_change_its_caller_s_variables(loop: EventLoop) -> None:
    loop.run_in_thread(user.set, "eve").await_(GUARD)
    assert user.get() == "nobody"


@pytest.mark.parametrize("wait", ["await_", "spin_until", "pump", "exec", "call in a call"])
def test_callbacks_of_a_turn_inside_a_coroutine_do_not_see_its_variables(loop: EventLoop, wait: str) -> None:
    seen: dict[str, str] = {}
    reader, writer = os.pipe()
    os.write(writer, b"x")
    promise: Promise[None] = Promise()
    promise.when_resolved(lambda _: note("promise"))

    def note(kind: str) -> None:
        seen[kind] = user.get()

    def on_ready() -> None:
        notifier.close()
        note("notifier")

    notifier = Notifier(reader, Notifier.Type.READ, on_ready)
    timer = Timer.create_single_shot(0, lambda: note("timer"))
    timer.start()

    async def another() -> None:
        await sleep_ms(0)
        note("coroutine")

    def is_done() -> bool:
        return len(seen) == 5

    async def waits() -> str:
        user.set("ada")
        run_other()
        if wait == "pump":
            while not is_done():
                loop.pump()
        elif wait == "exec":
            inner = EventLoop()
            inner.deferred_invoke(lambda: [loop.spin_until(is_done, timeout=GUARD), inner.quit()])
            inner.exec()
            inner.close()
        elif wait == "await_":
            done: Promise[None] = Promise()
            poll = Timer.create_repeating(0, lambda: is_done() and done.resolve(None))
            poll.start()
            done.await_(GUARD)
            poll.stop()
        else:
            assert loop.spin_until(is_done, timeout=GUARD)
        return user.get()

    def run_other() -> None:
        loop.deferred_invoke(lambda: note("deferred"))
        loop.deferred_invoke(lambda: promise.resolve(None))

    other = run_async(another())
    try:
        assert run_async(waits()).await_(GUARD) == "ada"
    finally:
        os.close(reader)
        os.close(writer)
    assert other.is_resolved
    assert seen == dict.fromkeys(("promise", "notifier", "timer", "deferred", "coroutine"), "nobody")


def test_a_turn_inside_a_coroutine_may_end_with_an_interrupt(loop: EventLoop) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    async def waits() -> Any:
        user.set("ada")
        loop.deferred_invoke(interrupt)
        with pytest.raises(KeyboardInterrupt):
            loop.pump()
        await sleep_ms(0)
        return user.get()

    assert run_async(waits()).await_(GUARD) == "ada"
