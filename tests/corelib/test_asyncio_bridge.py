"""asyncio on the corelib loop, as its guest, and awaiting across."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, NoEventLoop, Notifier, Promise, Timer, UsageError, asyncio_bridge
from corelib.asyncio_bridge import AsyncioEventLoop
from corelib.coroutine import run_async, sleep_ms
from corelib.errors import EventLoopClosed
from corelib.turn import interrupts, thread_loop

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    fds = len(os.listdir("/proc/self/fd"))
    yield
    assert thread_loop.current_or_none() is None
    assert signal.set_wakeup_fd(-1) == -1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not interrupts.pending
    assert len(os.listdir("/proc/self/fd")) == fds


def run_as_guest(main: Coroutine[Any, Any, Any]) -> Any:
    """Like asyncio_bridge.run, where EventLoop.exec() makes the turns."""
    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        task = guest.create_task(main)
        task.add_done_callback(lambda _: loop.quit())
        loop.exec()
        return task.result()


@pytest.fixture(params=["host", "guest"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Both ways of running a coroutine; what works in one works in the other."""
    return asyncio_bridge.run if request.param == "host" else run_as_guest


Run = Callable[[Coroutine[Any, Any, Any]], Any]


def after(ms: float, callback: Callable[[], object]) -> Timer:
    timer = Timer.create_single_shot(ms, callback)
    timer.start()
    return timer


# asyncio's own things


def test_callbacks_run_in_order_and_timers_by_deadline(run: Run) -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        assert isinstance(loop, AsyncioEventLoop)
        for number in range(3):
            loop.call_soon(seen.append, number)
        loop.call_soon(seen.append, 99).cancel()
        loop.call_later(0.02, seen.append, 5)
        loop.call_later(0.01, seen.append, 4)
        loop.call_later(0.005, seen.append, 99).cancel()
        loop.call_at(loop.time(), seen.append, 3)
        await asyncio.sleep(0.04)
        return seen

    assert run(main()) == [0, 1, 2, 3, 4, 5]


def test_other_threads_call_in(run: Run) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        seen: list[int] = []
        done = asyncio.Event()

        def elsewhere() -> None:
            for number in range(100):
                loop.call_soon_threadsafe(seen.append, number)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)
            loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await done.wait()
        thread.join()
        assert await loop.run_in_executor(None, threading.get_ident) != threading.get_ident()
        assert await asyncio.to_thread(lambda: 5) == 5
        return seen

    assert run(main()) == list(range(100))


def test_one_fd_is_read_and_written(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            read: asyncio.Queue[bytes] = asyncio.Queue()
            writable = asyncio.Event()

            def on_writable() -> None:
                writable.set()
                loop.remove_writer(ours)

            loop.add_reader(ours, lambda: read.put_nowait(ours.recv(100)))
            loop.add_writer(ours, on_writable)
            theirs.send(b"one")
            assert await read.get() == b"one"
            await writable.wait()
            theirs.send(b"two")
            assert await read.get() == b"two"
            assert loop.remove_reader(ours)
            assert not loop.remove_reader(ours)
            theirs.send(b"three")
            await asyncio.sleep(0.01)
            assert read.empty()
            # Level-triggered: what was there before is told too.
            loop.add_reader(ours, lambda: read.put_nowait(ours.recv(100)))
            assert await read.get() == b"three"
            loop.remove_reader(ours)

    run(main())


def test_an_fd_that_was_closed_while_registered_can_be_removed(run: Run) -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        loop.add_reader(reader, lambda: None)
        os.close(reader)
        os.close(writer)
        assert loop.remove_reader(reader)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.send(b"x")
            return await loop.sock_recv(ours, 10)

    assert run(main()) == b"x"


def test_streams(run: Run) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for word in (b"one\n", b"two\n", b"x" * 50_000 + b"\n"):
                writer.write(word)
                assert await reader.readline() == word.upper()
            writer.close()
            await writer.wait_closed()

    run(main())


def test_subprocesses(run: Run) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            *("cat",), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert await process.communicate(b"hello") == (b"hello", None)
        process = await asyncio.create_subprocess_shell("exit 7")
        assert await process.wait() == 7
        process = await asyncio.create_subprocess_exec("sleep", "60")
        process.terminate()
        assert await process.wait() == -signal.SIGTERM

    run(main())


def test_timeouts_groups_and_cancellation(run: Run) -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def sleeper(name: str) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                seen.append(name)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await sleeper("timeout")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sleeper("wait_for"), 0.01)

        async def group_of_two() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(sleeper("group"))
                group.create_task(asyncio.to_thread(int, "no number"))

        with pytest.raises(ExceptionGroup) as raised:
            await group_of_two()
        assert raised.group_contains(ValueError)
        task = asyncio.create_task(sleeper("task"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    assert run(main()) == ["timeout", "wait_for", "group", "task"]


def test_what_still_runs_at_the_end_is_ended(run: Run) -> None:
    ended: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            ended.append("generator")

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await sleep_ms(1)
            ended.append("task")

    generators = []

    async def main() -> None:
        generators.append(numbers())
        assert await anext(generators[0]) == 1
        generators.append(asyncio.create_task(waits()))  # type: ignore[arg-type]
        await asyncio.sleep(0)

    run(main())
    assert sorted(ended) == ["generator", "task"]


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


def test_signal_handlers_of_asyncio_are_taken_back_by_close() -> None:
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
def test_signals_that_cannot_be_handled_are_refused_as_by_asyncio(wrong: int) -> None:
    with contextlib.closing(AsyncioEventLoop()) as loop, pytest.raises((RuntimeError, ValueError)):
        loop.add_signal_handler(wrong, print)


# One thread, one wait


def test_timers_notifiers_and_deferred_callbacks_go_on_beside_asyncio(run: Run) -> None:
    async def main() -> None:
        seen: list[str] = []
        ours, theirs = socket.socketpair()
        with ours, theirs:
            done = asyncio.Event()

            def on_readable() -> None:
                seen.append(ours.recv(10).decode())
                # What corelib's callbacks give to asyncio ends its wait.
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


def test_what_asyncio_cannot_take_does_not_keep_a_blocking_call_awake(run: Run) -> None:
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


def test_a_callback_may_remove_what_is_ready(run: Run) -> None:
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


# Awaiting across


def test_promises_are_awaited_by_tasks(run: Run) -> None:
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


def test_a_task_that_is_cancelled_gives_the_promise_up(run: Run) -> None:
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


def test_a_promise_that_is_cancelled_cancels_who_awaits_it(run: Run) -> None:
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


def test_coroutines_of_corelib_await_asyncio(run: Run) -> None:
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


def test_promises_in_coroutines_that_nobody_of_ours_runs_are_refused() -> None:
    async def main() -> None:
        with EventLoop(), pytest.raises(UsageError, match=r"asyncio_bridge\.run"):
            await Promise()

    asyncio.run(main())


# Whose loop it is


def test_it_runs_on_the_loop_that_is_there_and_leaves_it_open() -> None:
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


def test_it_makes_a_loop_and_keeps_it_from_run_to_run() -> None:
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


def test_it_runs_in_another_thread_than_its_makers() -> None:
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


def test_loops_do_not_nest() -> None:
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


def test_a_closed_loop_says_so() -> None:
    loop = AsyncioEventLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_forever()


def test_closing_the_corelib_loop_under_it_ends_the_run() -> None:
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
def test_the_policy_makes_it() -> None:
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


def test_cpythons_tests_of_sockets_pass() -> None:
    """All of them: `python tests/corelib/asyncio_suite.py`."""
    script = Path(__file__).with_name("asyncio_suite.py")
    command = [sys.executable, script, "test.test_asyncio.test_sock_lowlevel"]
    compared = subprocess.run(command, capture_output=True, text=True, check=False)
    if "has no test.test_asyncio" in compared.stderr:
        pytest.skip(compared.stderr)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert re.search(r" [1-9]\d* of them ran on a bridge loop, and 0 on a stock", compared.stdout)


# The guest


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


def test_a_guest_runs_to_an_end_of_its_own() -> None:
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


def test_what_a_guest_raises_to_the_top_leaves_exec() -> None:
    async def main() -> None:
        raise SystemExit(3)

    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        task = guest.create_task(main())
        with pytest.raises(SystemExit):
            loop.exec()
        with pytest.raises(SystemExit):
            task.result()


# Debugging


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


# Ctrl-C


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
def test_a_main_task_that_stands_the_first_ctrl_c_goes_on(with_loop: bool) -> None:
    async def main() -> int:
        interrupt_soon()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return await asyncio.sleep(0.001, 5)

    with EventLoop() if with_loop else contextlib.nullcontext():
        assert asyncio_bridge.run(main()) == 5


class Interrupting:
    """Where corelib asks for its number, Ctrl-C comes while corelib is at work."""

    def fileno(self) -> int:
        interrupt()
        return 0


def test_a_second_ctrl_c_waits_for_corelib_to_finish_what_it_does() -> None:
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


def test_ctrl_c_in_a_guests_task_leaves_exec() -> None:
    async def main() -> None:
        interrupt()

    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        task = guest.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.exec()
        with pytest.raises(KeyboardInterrupt):
            task.result()
