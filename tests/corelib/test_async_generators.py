"""Owns the tests of finally blocks: of asynchronous generators left early, of coroutines at a program's end.
Must not know anything else about coroutines.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from typing import Any

import pytest

from corelib import EventLoop, Promise, asyncio_bridge, run_async, sleep_ms

GUARD = 30  # seconds, against a hang


async def rows(ended: list[str], name: str = "ended") -> AsyncIterator[int]:
    try:
        while True:
            yield 1
    finally:
        await sleep_ms(0)
        ended.append(name)


async def take_one(generator: AsyncIterator[int]) -> int:
    async for row in generator:
        return row
    raise AssertionError


@pytest.fixture(autouse=True)
def no_hooks_are_left() -> Any:
    assert sys.get_asyncgen_hooks() == (None, None)
    yield
    assert sys.get_asyncgen_hooks() == (None, None)


def test_a_generator_that_is_left_early_runs_its_finally_block_to_the_end() -> None:
    ended: list[str] = []
    with EventLoop() as loop:
        assert loop.run_until_complete(take_one(rows(ended))) == 1
        assert loop.spin_until(lambda: ended, timeout=GUARD)
    assert ended == ["ended"]


def test_generators_that_are_left_in_an_inner_coroutine_end_too() -> None:
    ended: list[str] = []

    async def inner(name: str) -> None:
        async for _ in rows(ended, name):
            async for _ in rows(ended, f"inside {name}"):
                await run_async(take_one(rows(ended, f"task of {name}")))
                return

    with EventLoop() as loop:
        run_async(inner("a"))
        run_async(inner("b"))
        assert loop.spin_until(lambda: len(ended) == 6, timeout=GUARD)


def test_a_generator_that_another_thread_drops_ends_in_its_own_loop() -> None:
    ended: list[str] = []
    with EventLoop() as loop:
        held = [rows(ended)]
        loop.run_until_complete(take_one(held[0]))
        loop.run_in_thread(held.clear).await_(GUARD)
        assert loop.spin_until(lambda: ended, timeout=GUARD)


def test_a_finally_block_that_raises_is_reported() -> None:
    async def fails() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await sleep_ms(0)
            raise OSError("no")

    with EventLoop() as loop:
        loop.run_until_complete(take_one(fails()))
        assert loop.spin_until(lambda: not loop.snapshot().tasks, timeout=GUARD)


def test_closing_the_loop_runs_finally_blocks_as_far_as_their_first_await() -> None:
    reported: list[str] = []
    ended: list[str] = []

    async def at_once() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("at once")

    held = [rows(ended), at_once()]
    with EventLoop() as loop:
        loop.on_exception = lambda error, context: reported.append(str(error))
        for generator in held:
            loop.run_until_complete(take_one(generator))
    assert ended == ["at once"]
    assert len(reported) == 1
    assert "its event loop is closed" in reported[0]
    held.clear()
    gc.collect()


def test_the_hooks_of_a_stock_asyncio_are_left_alone() -> None:
    ended: list[str] = []

    async def of_asyncio() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            ended.append("asyncio's")

    async def main() -> None:
        with EventLoop() as loop:
            hooks = sys.get_asyncgen_hooks()
            loop.run_until_complete(take_one(rows(ended, "ours")))
            assert sys.get_asyncgen_hooks() == hooks
            await take_one(of_asyncio())
            assert loop.spin_until(lambda: "ours" in ended, timeout=GUARD)
        while len(ended) < 2:
            await asyncio.sleep(0)

    asyncio.run(main())
    assert sorted(ended) == ["asyncio's", "ours"]


def test_a_coroutine_keeps_its_generators_when_asyncio_ends_on_the_bridge() -> None:
    ended: list[str] = []
    going_on: Promise[None] = Promise()
    seen: list[int] = []

    async def counts() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def ours(begun: Promise[None]) -> None:
        async for number in counts():
            seen.append(number)
            begun.resolve(None)
            await going_on
        await take_one(rows(ended))

    async def main() -> None:
        before: Promise[None] = Promise()
        run_async(ours(before))
        await before

    with EventLoop() as loop:
        earlier = run_async(ours(Promise()))
        asyncio_bridge.run(main())
        going_on.resolve(None)
        assert loop.spin_until(lambda: len(ended) == 2, timeout=GUARD)
        assert earlier.is_resolved
    assert sorted(seen) == [1, 1, 2, 2]


PROGRAM = """
    import sys, threading
    from corelib import EventLoop, run_async, sleep_ms

    async def works():
        try:
            await sleep_ms(60_000)
        finally:
            print("finally")

    def begin():
        loop = EventLoop()
        run_async(works())
        loop.pump(timeout=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "end",
    [
        "begin()",
        "begin(); raise SystemExit",
        "begin(); 1 / 0",
        "thread = threading.Thread(target=begin); thread.start(); thread.join()",
        "threading.Thread(target=begin).start()",
    ],
)
def test_finally_blocks_of_coroutines_run_at_the_end_of_a_program_or_thread(end: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM) + end], capture_output=True, text=True, timeout=GUARD
    )
    assert ended.stdout == "finally\n"
    assert "never" not in ended.stderr
    assert ("ZeroDivisionError" in ended.stderr) == ("/ 0" in end)
