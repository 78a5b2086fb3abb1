"""Owns the tests of which corelib loop the bridge runs on, and of loops that are closed, nested or forked.
Must not know what runs on them.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from corelib import EventLoop, NoEventLoop, UsageError, asyncio_bridge
from corelib.asyncio_bridge import AsyncioEventLoop
from corelib.coroutine import sleep_ms
from corelib.errors import EventLoopClosed
from corelib.turn import thread_loop
from tests.corelib.asyncio_bridge.conftest import after

ROOT = Path(__file__).parents[3]


def test_the_bridge_runs_on_the_threads_loop_and_leaves_it_open() -> None:
    with EventLoop() as loop:
        fired: list[int] = []
        after(1, lambda: fired.append(1))

        async def main() -> EventLoop:
            await asyncio.sleep(0.01)
            return EventLoop.current()

        assert asyncio_bridge.run(main()) is loop
        assert fired == [1]
        loop.deferred_invoke(lambda: fired.append(2))
        loop.pump()
        assert fired == [1, 2]


def test_the_bridge_makes_a_loop_and_keeps_it_from_run_to_run() -> None:
    async def current() -> EventLoop:
        return EventLoop.current()

    loop = AsyncioEventLoop()
    with pytest.raises(NoEventLoop):
        EventLoop.current()
    first = loop.run_until_complete(current())
    assert loop.run_until_complete(current()) is first is EventLoop.current()
    loop.close()
    loop.close()
    with pytest.raises(NoEventLoop):
        EventLoop.current()


def test_the_bridge_runs_in_another_thread_than_its_makers() -> None:
    loop = AsyncioEventLoop()

    async def main() -> int:
        await sleep_ms(1)
        return threading.get_ident()

    ran: list[int] = []
    left: list[object] = []

    def elsewhere() -> None:
        ran.append(loop.run_until_complete(main()))
        left.append(thread_loop.current_or_none())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    loop.close()
    assert ran == [thread.ident]
    assert left == [None]


def test_a_callback_of_exec_may_run_asyncio() -> None:
    with EventLoop() as loop:
        seen: list[str] = []

        async def main() -> None:
            await asyncio.sleep(0.01)
            seen.append("asyncio")

        loop.deferred_invoke(lambda: (asyncio_bridge.run(main()), loop.quit(4)))
        after(1, lambda: seen.append("timer"))
        assert loop.exec() == 4
        assert seen == ["timer", "asyncio"]


def test_asyncio_loops_do_not_nest() -> None:
    async def main() -> None:
        coroutine = asyncio.sleep(0)
        with pytest.raises(UsageError, match="await the coroutine instead"):
            asyncio_bridge.run(coroutine)
        coroutine.close()
        with pytest.raises(RuntimeError, match="already running"):
            asyncio.get_running_loop().run_forever()
        await asyncio.sleep(0)

    asyncio_bridge.run(main())
    with pytest.raises(ValueError, match="a coroutine was expected"):
        asyncio_bridge.run(5)  # type: ignore[arg-type]


def test_a_closed_asyncio_loop_raises() -> None:
    loop = AsyncioEventLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_forever()


def test_closing_the_corelib_loop_ends_the_asyncio_run() -> None:
    corelib_loop = EventLoop()
    loop = AsyncioEventLoop()
    loop.call_soon(corelib_loop.close)
    with pytest.raises(EventLoopClosed):
        loop.run_forever()
    assert loop.run_until_complete(asyncio.sleep(0.001, 5)) == 5
    loop.close()


def test_a_forked_child_runs_a_loop_of_its_own(forked: Callable[[Callable[[], object]], int]) -> None:
    async def main() -> int:
        await sleep_ms(1)
        return await asyncio.sleep(0.001, 5)

    async def parent() -> None:
        def child() -> None:
            # CPython forgets the parent's running loop in a forked child from 3.12 on.
            asyncio._set_running_loop(None)
            assert asyncio_bridge.run(main()) == 5

        fired: list[int] = []
        after(1, lambda: fired.append(1))
        assert forked(child) == 0
        await asyncio.sleep(0.01)
        assert fired == [1]

    asyncio_bridge.run(parent())


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies are deprecated")
def test_the_policy_makes_an_asyncio_event_loop() -> None:
    asyncio.set_event_loop_policy(asyncio_bridge.EventLoopPolicy())
    try:

        async def main() -> asyncio.AbstractEventLoop:
            return asyncio.get_running_loop()

        assert isinstance(asyncio.run(main()), AsyncioEventLoop)
    finally:
        asyncio.set_event_loop_policy(None)


def test_importing_corelib_does_not_import_asyncio() -> None:
    source = "import sys, corelib; sys.exit('asyncio' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", source], env=environment, check=False).returncode == 0


@pytest.mark.slow
def test_cpythons_own_tests_of_sockets_pass() -> None:
    """Run one of its files here; all of them by `python tests/corelib/asyncio_suite.py`."""
    script = Path(__file__).parents[1] / "asyncio_suite.py"
    command = [sys.executable, script, "test.test_asyncio.test_sock_lowlevel"]
    compared = subprocess.run(command, capture_output=True, text=True, check=False)
    if "has no test.test_asyncio" in compared.stderr:
        pytest.skip(compared.stderr)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert re.search(r" [1-9]\d* of them ran on a bridge loop, and 0 on a stock", compared.stdout)
