"""Owns the tests of asyncio as a guest of EventLoop.exec().
Must not know how an iteration is scheduled.
"""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from corelib import EventLoop, NoEventLoop, asyncio_bridge
from corelib.asyncio_bridge import AsyncioEventLoop


def test_a_guest_costs_no_turn_while_it_has_nothing_to_do() -> None:
    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        assert isinstance(guest, AsyncioEventLoop)
        task = guest.create_task(asyncio.sleep(60))
        turns = 0
        deadline = time.monotonic_ns() + 50_000_000
        while time.monotonic_ns() < deadline:
            loop.pump(timeout=(deadline - time.monotonic_ns()) / 1e9)
            turns += 1
        assert turns < 10
    assert task.cancelled()


def test_a_guest_may_run_until_complete() -> None:
    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        assert guest.run_until_complete(asyncio.sleep(0.001, 5)) == 5
        seen: list[int] = []
        guest.call_soon(seen.append, 1)
        assert loop.spin_until(lambda: seen, 10)


def test_a_guest_waits_for_another_loop_and_goes_on() -> None:
    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        seen: list[str] = []
        guest.call_soon(seen.append, "guest")
        asyncio_bridge.run(asyncio.sleep(0.03))
        assert seen == []
        assert loop.spin_until(lambda: seen, 10)


def test_a_guest_needs_a_loop() -> None:
    with pytest.raises(NoEventLoop), asyncio_bridge.hosted():
        pass


def test_an_exit_in_a_guests_task_leaves_exec() -> None:
    async def main() -> None:
        raise SystemExit(3)

    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        task = guest.create_task(main())
        with pytest.raises(SystemExit):
            loop.exec()
        with pytest.raises(SystemExit):
            task.result()


def test_ctrl_c_in_a_guests_task_leaves_exec() -> None:
    async def main() -> None:
        signal.raise_signal(signal.SIGINT)

    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        task = guest.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.exec()
        with pytest.raises(KeyboardInterrupt):
            task.result()
