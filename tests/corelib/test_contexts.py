"""Owns the tests of contextvars: a coroutine and a job have their own, and a turn sees no coroutine's.
Must not know what the variables are for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from corelib import EventLoop, Notifier, Promise, Timer, asyncio_bridge, run_async, sleep_ms

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


class Callbacks:
    """One callback of each kind, which note the variable that they see; begin() adds what must be posted."""

    def __init__(self, loop: EventLoop) -> None:
        self.seen: dict[str, str] = {}
        self._loop = loop
        self._reader, self._writer = os.pipe()
        os.write(self._writer, b"x")
        self._promise: Promise[None] = Promise()
        self._promise.when_resolved(lambda _: self._note("promise"))
        self._notifier = Notifier(self._reader, Notifier.Type.READ, self._on_ready)
        self._timer = Timer.create_single_shot(0, lambda: self._note("timer"))
        self._timer.start()
        self._other = run_async(self._another())

    def begin(self) -> None:
        self._loop.deferred_invoke(lambda: self._note("deferred"))
        self._loop.deferred_invoke(lambda: self._promise.resolve(None))

    def are_called(self) -> bool:
        return len(self.seen) == 5

    def check(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
        assert self.seen == dict.fromkeys(("promise", "notifier", "timer", "deferred", "coroutine"), "nobody")

    def _note(self, kind: str) -> None:
        self.seen[kind] = user.get()

    def _on_ready(self) -> None:
        self._notifier.close()
        self._note("notifier")

    async def _another(self) -> None:
        await sleep_ms(0)
        self._note("coroutine")


def by_await(loop: EventLoop, callbacks: Callbacks) -> None:
    done: Promise[None] = Promise()
    look = Timer.create_repeating(0, lambda: callbacks.are_called() and done.resolve(None))
    look.start()
    done.await_(GUARD)
    look.stop()


def by_spin_until(loop: EventLoop, callbacks: Callbacks) -> None:
    assert loop.spin_until(callbacks.are_called, timeout=GUARD)


def by_pump(loop: EventLoop, callbacks: Callbacks) -> None:
    while not callbacks.are_called():
        loop.pump()


def by_an_inner_loop(loop: EventLoop, callbacks: Callbacks) -> None:
    with EventLoop() as inner:
        inner.deferred_invoke(lambda: [by_spin_until(loop, callbacks), inner.quit()])
        inner.exec()


def by_asyncio(loop: EventLoop, callbacks: Callbacks) -> None:
    async def waits() -> None:
        while not callbacks.are_called():
            await asyncio.sleep(0)

    asyncio_bridge.run(waits())


WAITS: list[Callable[[EventLoop, Callbacks], None]] = [
    by_await,
    by_spin_until,
    by_pump,
    by_an_inner_loop,
    by_asyncio,
]


@pytest.mark.parametrize("wait", WAITS)
def test_callbacks_of_a_turn_inside_a_coroutine_do_not_see_its_variables(
    loop: EventLoop, wait: Callable[[EventLoop, Callbacks], None]
) -> None:
    async def waits() -> str:
        user.set("ada")
        callbacks.begin()
        wait(loop, callbacks)
        return user.get()

    callbacks = Callbacks(loop)
    assert run_async(waits()).await_(GUARD) == "ada"
    callbacks.check()


@pytest.mark.parametrize("wait", WAITS[:-1])
@pytest.mark.parametrize("hosting", ["host", "guest"])
def test_callbacks_of_a_turn_inside_a_task_of_asyncio_do_not_see_its_variables(
    loop: EventLoop, wait: Callable[[EventLoop, Callbacks], None], hosting: str
) -> None:
    async def waits() -> str:
        user.set("ada")
        callbacks.begin()
        wait(loop, callbacks)
        await sleep_ms(0)
        return user.get()

    callbacks = Callbacks(loop)
    if hosting == "host":
        assert asyncio_bridge.run(waits()) == "ada"
    else:
        with asyncio_bridge.hosted() as hosted:
            task = hosted.create_task(waits())
            assert loop.spin_until(task.done, timeout=GUARD)
            assert task.result() == "ada"
    callbacks.check()


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
