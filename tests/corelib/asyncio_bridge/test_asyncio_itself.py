"""Owns the tests of asyncio's own things on the bridge: callbacks, fds, streams, subprocesses, timeouts.
Must not know corelib's timers, notifiers and promises.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncIterator

import pytest

from corelib.asyncio_bridge import AsyncioEventLoop
from corelib.coroutine import sleep_ms
from tests.corelib.asyncio_bridge.conftest import Run


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


def test_other_threads_call_into_asyncio(run: Run) -> None:
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
            # Level-triggered: data that came before are reported too.
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


def test_asyncio_streams_work(run: Run) -> None:
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


def test_asyncio_subprocesses_work(run: Run) -> None:
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


def test_timeouts_task_groups_and_cancellation_work(run: Run) -> None:
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


def test_tasks_that_still_run_at_the_end_are_ended(run: Run) -> None:
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
