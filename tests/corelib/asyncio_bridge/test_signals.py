"""Owns the tests of signals and Ctrl-C while asyncio runs on the bridge.
Must not know which handler gets them first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable

import pytest

from corelib import EventLoop, Notifier, Promise, asyncio_bridge
from corelib.asyncio_bridge import AsyncioEventLoop
from tests.corelib.asyncio_bridge.conftest import Run, after


def test_signals_reach_asyncio_and_corelib_before_during_and_after(run: Run) -> None:
    seen: list[str] = []

    async def main() -> None:
        corelib_loop = EventLoop.current()
        arrived: Promise[None]

        def on_corelib_signal(_signo: int) -> None:
            seen.append("corelib")
            arrived.resolve(None)

        handler = corelib_loop.register_signal(signal.SIGUSR1, on_corelib_signal)

        async def corelib_hears() -> None:
            nonlocal arrived
            arrived = Promise()
            sender = threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGUSR1])
            sender.start()
            await arrived
            sender.join()

        loop = asyncio.get_running_loop()
        await corelib_hears()
        wakeup_fd = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup_fd)
        here = asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR2, here.set)
        assert signal.set_wakeup_fd(wakeup_fd) == wakeup_fd
        os.kill(os.getpid(), signal.SIGUSR2)
        await here.wait()
        await corelib_hears()
        assert loop.remove_signal_handler(signal.SIGUSR2)
        assert not loop.remove_signal_handler(signal.SIGUSR2)
        assert signal.set_wakeup_fd(wakeup_fd) == wakeup_fd
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
        await corelib_hears()
        corelib_loop.unregister_signal(handler)

    run(main())
    assert seen == ["corelib"] * 3


def test_close_removes_asyncios_signal_handlers() -> None:
    loop = AsyncioEventLoop()
    seen: list[int] = []
    loop.add_signal_handler(signal.SIGUSR2, seen.append, 1)
    os.kill(os.getpid(), signal.SIGUSR2)
    loop.call_soon(loop.call_soon, loop.stop)
    loop.run_forever()
    assert seen == [1]
    loop.close()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


@pytest.mark.parametrize("wrong", [signal.SIGKILL, 10_000])
def test_signals_that_cannot_be_handled_are_refused_as_asyncio_does(wrong: int) -> None:
    with contextlib.closing(AsyncioEventLoop()) as loop, pytest.raises((RuntimeError, ValueError)):
        loop.add_signal_handler(wrong, print)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def interrupt_soon() -> None:
    threading.Timer(0.01, os.kill, [os.getpid(), signal.SIGINT]).start()


@pytest.mark.parametrize("with_loop", [False, True])
@pytest.mark.parametrize("arrange", [interrupt_soon, lambda: after(1, interrupt)])
def test_ctrl_c_cancels_the_main_task(arrange: Callable[[], object], with_loop: bool) -> None:
    seen: list[str] = []

    async def main() -> None:
        arrange()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with EventLoop() if with_loop else contextlib.nullcontext():
        with pytest.raises(KeyboardInterrupt):
            asyncio_bridge.run(main())
        if with_loop:
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert seen == ["cancelled"]


def test_a_second_ctrl_c_is_raised_at_once() -> None:
    async def main() -> None:
        after(1, interrupt)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        answer: Promise[int] = Promise()
        interrupt_soon()
        answer.await_(60)

    with pytest.raises(KeyboardInterrupt):
        asyncio_bridge.run(main())


@pytest.mark.parametrize("with_loop", [False, True])
def test_a_main_task_that_survives_the_first_ctrl_c_goes_on(with_loop: bool) -> None:
    async def main() -> int:
        interrupt_soon()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return await asyncio.sleep(0.001, 5)

    with EventLoop() if with_loop else contextlib.nullcontext():
        assert asyncio_bridge.run(main()) == 5


class Interrupting:
    """A file whose fileno() raises Ctrl-C, which corelib calls within its own code."""

    def fileno(self) -> int:
        interrupt()
        return 0


def test_a_second_ctrl_c_waits_for_a_safe_point_of_corelib() -> None:
    seen: list[str] = []

    async def main() -> None:
        interrupt()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        Notifier(Interrupting(), Notifier.Type.READ)
        seen.append("made")
        await asyncio.sleep(0)
        seen.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        asyncio_bridge.run(main())
    assert seen == ["made"]


def test_ctrl_c_ends_a_loop_without_a_main_task() -> None:
    seen: list[str] = []

    def at_once() -> None:
        interrupt()
        seen.append("not reached")

    def at_the_very_end() -> None:
        Notifier(Interrupting(), Notifier.Type.READ)
        loop.stop()

    with EventLoop(), contextlib.closing(AsyncioEventLoop()) as loop:
        for callback in (at_once, lambda: after(1, at_once), at_the_very_end):
            loop.call_soon(callback)
            with pytest.raises(KeyboardInterrupt):
                loop.run_forever()
    assert seen == []
