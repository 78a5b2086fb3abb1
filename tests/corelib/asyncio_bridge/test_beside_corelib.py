"""Owns the tests of asyncio beside corelib's callbacks, blocking calls and promises, and of awaiting across.
Must not know how the bridge makes turns.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time

import pytest

from corelib import EventLoop, Notifier, Promise, UsageError, asyncio_bridge
from corelib.asyncio_bridge import AsyncioEventLoop
from corelib.coroutine import run_async, sleep_ms
from tests.corelib.asyncio_bridge.conftest import Run, after


def test_timers_notifiers_and_deferred_callbacks_go_on_beside_asyncio(run: Run) -> None:
    async def main() -> None:
        seen: list[str] = []
        ours, theirs = socket.socketpair()
        with ours, theirs:
            done = asyncio.Event()

            def on_readable() -> None:
                seen.append(ours.recv(10).decode())
                # Work that corelib's callbacks give to asyncio ends its wait.
                asyncio_loop.call_soon(done.set)

            asyncio_loop = asyncio.get_running_loop()
            notifier = Notifier(ours, Notifier.Type.READ, on_readable)
            EventLoop.current().deferred_invoke(lambda: seen.append("deferred"))
            after(5, lambda: theirs.send(b"read"))
            await done.wait()
            notifier.close()
        assert seen == ["deferred", "read"]

    run(main())


def test_exceptions_of_corelib_callbacks_go_to_the_corelib_loop(run: Run) -> None:
    failures: list[Exception] = []

    async def main() -> str:
        EventLoop.current().on_exception = lambda error, context: failures.append(error)
        for _ in range(3):
            after(1, lambda: [][0])
        await asyncio.sleep(0.02)
        return "alive"

    assert run(main()) == "alive"
    assert [type(failure) for failure in failures] == [IndexError] * 3


def test_asyncio_waits_while_a_task_makes_a_blocking_call(run: Run) -> None:
    async def main() -> None:
        seen: list[str] = []
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop.add_reader(ours, lambda: (seen.append("asyncio reads"), ours.recv(10)))
            loop.call_soon(seen.append, "asyncio's callback")
            loop.call_later(0, seen.append, "asyncio's timer")
            theirs.send(b"x")
            answer: Promise[int] = Promise()
            after(5, lambda: seen.append("corelib's timer"))
            after(30, lambda: answer.resolve(5))

            assert answer.await_(10) == 5
            assert seen == ["corelib's timer"]
            seen.clear()
            await asyncio.sleep(0.02)
            assert sorted(seen) == ["asyncio reads", "asyncio's callback", "asyncio's timer"]
            loop.remove_reader(ours)

    run(main())


def test_a_ready_asyncio_fd_does_not_keep_a_blocking_call_awake(run: Run) -> None:
    async def main() -> None:
        corelib_loop = EventLoop.current()
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            read: asyncio.Future[bytes] = loop.create_future()
            loop.add_reader(ours, lambda: read.done() or read.set_result(ours.recv(10)))
            theirs.send(b"x")
            for _ in range(2):
                turns = 0
                deadline = time.monotonic_ns() + 50_000_000
                while time.monotonic_ns() < deadline:
                    corelib_loop.pump(timeout=(deadline - time.monotonic_ns()) / 1e9)
                    turns += 1
                # One turn finds the fd, the next one sleeps; it may wake a little early.
                assert turns < 10
            assert await read == b"x"
            loop.remove_reader(ours)

    run(main())


def test_a_corelib_callback_may_make_blocking_calls_while_asyncio_waits(run: Run) -> None:
    async def main() -> None:
        answer: Promise[int] = Promise()
        got: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        theirs, ours = socket.socketpair()
        with theirs, ours:
            ours.setblocking(False)
            after(1, lambda: got.set_result(answer.await_(10)))
            after(5, lambda: theirs.send(b"x"))
            after(10, lambda: answer.resolve(5))
            assert await asyncio.get_running_loop().sock_recv(ours, 10) == b"x"
            assert await got == 5

    run(main())


def test_a_callback_may_remove_an_fd_that_is_ready(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pairs = [socket.socketpair() for _ in range(2)]
        seen: list[int] = []

        def on_readable(number: int) -> None:
            seen.append(number)
            for ours, _ in pairs:
                loop.remove_reader(ours)

        for number, (ours, theirs) in enumerate(pairs):
            loop.add_reader(ours, on_readable, number)
            theirs.send(b"x")
        await asyncio.sleep(0.01)
        assert len(seen) == 1
        for pair in pairs:
            for end in pair:
                end.close()

    run(main())


def test_a_task_awaits_a_promise(run: Run) -> None:
    async def main() -> None:
        assert await Promise.resolved(1) == 1
        later: Promise[int] = Promise()
        after(1, lambda: later.resolve(2))
        assert await asyncio.gather(later, later.map(lambda value: value + 1), sleep_ms(1)) == [2, 3, None]
        with pytest.raises(KeyError):
            await Promise.rejected(KeyError("no"))
        failing: Promise[int] = Promise()
        after(1, lambda: failing.reject(StopIteration("an error like others")))
        with pytest.raises(RuntimeError, match="StopIteration"):
            await failing

    run(main())


def test_a_cancelled_task_withdraws_from_its_promise(run: Run) -> None:
    async def main() -> None:
        stopped: list[str] = []
        promise: Promise[int] = Promise()
        promise.on_cancel = lambda: stopped.append("work")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await promise
        assert stopped == ["work"]
        assert promise.is_cancelled

        shared: Promise[int] = Promise()
        waiting = [asyncio.ensure_future(shared) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        assert not shared.is_settled
        shared.resolve(5)
        assert await waiting[1] == 5
        assert waiting[0].cancelled()

    run(main())


def test_a_cancelled_promise_cancels_the_task_that_awaits_it(run: Run) -> None:
    async def main() -> None:
        promise: Promise[int] = Promise()
        after(1, promise.cancel)
        with pytest.raises(asyncio.CancelledError):
            await promise
        settled: Promise[int] = Promise()
        settled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settled

    run(main())


def test_a_coroutine_of_corelib_awaits_asyncio(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def corelibs() -> list[object]:
            seen: list[object] = []
            await sleep_ms(1)
            future = loop.create_future()
            loop.call_later(0.001, future.set_result, 1)
            seen.append(await future)
            seen.append(await loop.create_task(asyncio.sleep(0.001, 2)))
            with pytest.raises(ZeroDivisionError):
                await loop.create_task(asyncio.to_thread(divmod, 1, 0))
            return seen

        assert await run_async(corelibs()) == [1, 2]

    run(main())


def test_cancelling_a_coroutine_of_corelib_cancels_the_future_that_it_awaits(run: Run) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()

        async def corelibs() -> None:
            await future

        promise = run_async(corelibs())
        promise.cancel()
        with pytest.raises(asyncio.CancelledError):
            await promise
        assert future.cancelled()

    run(main())


def test_a_coroutine_of_corelib_on_the_stack_does_not_take_asyncios_awaits() -> None:
    async def asyncios() -> int:
        await sleep_ms(1)
        await asyncio.sleep(0.001)
        return 5

    async def corelibs(guest: AsyncioEventLoop) -> list[int]:
        seen: Promise[int] = Promise()
        guest.create_task(asyncios()).add_done_callback(lambda task: seen.resolve(task.result()))
        return [asyncio_bridge.run(asyncios()), seen.await_(10), await sleep_ms(1).map(lambda _: 6)]

    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        assert loop.run_until_complete(corelibs(guest)) == [5, 5, 6]


def test_a_promise_is_refused_in_a_coroutine_of_another_framework() -> None:
    async def main() -> None:
        with EventLoop(), pytest.raises(UsageError, match=r"asyncio_bridge\.run"):
            await Promise()

    asyncio.run(main())


def test_debug_mode_warns_of_blocking_calls_in_tasks(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        def warnings() -> list[str]:
            return [record.getMessage() for record in caplog.records if record.name == "corelib"]

        def blocks() -> None:
            answer: Promise[int] = Promise()
            for ms in (1, 2, 3):
                after(ms, lambda: None)
            after(5, lambda: answer.resolve(5))
            answer.await_(10)

        loop = asyncio.get_running_loop()
        loop.set_debug(False)
        await asyncio.sleep(0)
        blocks()
        assert warnings() == []
        loop.set_debug(True)
        await asyncio.sleep(0)
        after(1, blocks)  # Not inside a callback of asyncio.
        await asyncio.sleep(0.02)
        assert warnings() == []
        blocks()
        (warning,) = warnings()
        assert "main()" in warning
        assert "await a promise instead" in warning
        await asyncio.sleep(0)
        loop.call_soon(blocks)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(warnings()) == 2
        assert "a callback of asyncio" in warnings()[1]

    caplog.set_level(logging.WARNING)
    run(main())
