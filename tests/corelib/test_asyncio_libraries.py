"""Owns the tests of aiohttp and stock asyncio programs beside corelib timers and a connection, on one thread.
Must not know how the bridge works.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import EventLoop, Timer, asyncio_bridge
from ipclib import MultiServer

INTERFACE = """
endpoint SumServer
{
    add(i32 a, i32 b) => (i32 sum)
    watch() =|
}

endpoint SumClient
{
    changed(i32 sum) =|
}
"""

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def run_as_guest(main: Coroutine[Any, Any, Any]) -> Any:
    with EventLoop() as loop, asyncio_bridge.hosted() as guest:
        task = guest.create_task(main)
        task.add_done_callback(lambda _: loop.quit())
        loop.exec()
        return task.result()


@pytest.fixture(params=["host", "guest"])
def run(request: pytest.FixtureRequest) -> Run:
    return asyncio_bridge.run if request.param == "host" else run_as_guest


class Corelib:
    """A timer, a service and its client, all on the calling thread's loop; a context manager."""

    def __init__(self, folder: Path) -> None:
        source = folder / "Sum.ipc"
        source.write_text(INTERFACE)
        module = ipcc.load(source)
        threads = self.threads = {threading.get_ident()}
        ticks = self.ticks = [0]
        changes = self.changes = list[int]()

        class Sum(module.ConnectionFromClient):  # type: ignore[misc,name-defined]
            is_watched = False

            def add(self, a: int, b: int) -> int:
                threads.add(threading.get_ident())
                if self.is_watched:
                    self.async_changed(a + b)
                return a + b

            def watch(self) -> None:
                self.is_watched = True

        class Watcher(module.ConnectionToServer):  # type: ignore[misc,name-defined]
            def changed(self, sum: int) -> None:
                changes.append(sum)

        def tick() -> None:
            threads.add(threading.get_ident())
            ticks[0] += 1

        self.timer = Timer.create_repeating(1, tick)
        self.timer.start()
        path = str(folder / "sum")
        self.server = MultiServer(Sum, path)
        self.connection = Watcher.connect(path)
        self.connection.async_watch()

    def __enter__(self) -> Corelib:
        return self

    def __exit__(self, *_: object) -> None:
        self.timer.stop()
        self.connection.shutdown()
        self.server.close()

    async def tick_again(self) -> None:
        before = self.ticks[0]
        while self.ticks[0] == before:
            await asyncio.sleep(0.001)


async def stock_server(path: str) -> asyncio.AbstractServer:
    """Answer each line with its length, in stock asyncio."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(b"%d\n" % len(line))
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    return await asyncio.start_unix_server(answer, path)


async def stock_client(path: str, lines: int) -> list[int]:
    """Send lines and read the answers, in stock asyncio."""
    reader, writer = await asyncio.open_unix_connection(path)
    lengths = []
    for number in range(lines):
        writer.write(b"x" * number + b"\n")
        await writer.drain()
        lengths.append(int(await reader.readline()))
    writer.close()
    await writer.wait_closed()
    return lengths


def test_a_stock_program_with_unix_sockets(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with Corelib(tmp_path) as corelib:

            async def sums() -> list[int]:
                return [await corelib.connection.async_add(number, 1) for number in range(100)]

            path = str(tmp_path / "stock")
            async with await stock_server(path):
                lengths, others, together = await asyncio.gather(
                    stock_client(path, 100), stock_client(path, 100), sums()
                )
            assert lengths == others == together == list(range(1, 101))
            await corelib.tick_again()
            assert corelib.changes == together
            assert corelib.threads == {threading.get_ident()}

    run(main())


def test_a_blocking_call_in_a_task_is_answered(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with Corelib(tmp_path) as corelib:
            path = str(tmp_path / "stock")
            async with await stock_server(path):
                client = asyncio.create_task(stock_client(path, 100))
                for number in range(100):
                    assert corelib.connection.add(number, 1) == number + 1
                    await asyncio.sleep(0)
                assert await client == list(range(1, 101))

    run(main())


def test_aiohttp_serves_and_requests(run: Run, tmp_path: Path) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    from aiohttp import web

    async def main() -> None:
        with Corelib(tmp_path) as corelib:

            async def add(request: web.Request) -> web.Response:
                a, b = (int(request.query[name]) for name in ("a", "b"))
                return web.json_response({"sum": await corelib.connection.async_add(a, b)})

            async def echo(request: web.Request) -> web.WebSocketResponse:
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                async for message in socket:
                    await socket.send_str(message.data)
                return socket

            application = web.Application()
            application.add_routes([web.get("/add", add), web.get("/echo", echo)])
            runner = web.AppRunner(application)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            async with aiohttp.ClientSession(f"http://{host}:{port}") as session:

                async def ask(a: int) -> int:
                    async with session.get("/add", params={"a": a, "b": 1}) as response:
                        return int((await response.json())["sum"])

                sums = await asyncio.gather(*(ask(number) for number in range(50)))
                assert sums == list(range(1, 51))
                async with session.ws_connect("/echo") as socket:
                    for number in range(20):
                        await socket.send_str(str(number))
                        assert (await socket.receive()).data == str(number)
            await corelib.tick_again()
            await runner.cleanup()
            assert sorted(corelib.changes) == sums
            assert corelib.threads == {threading.get_ident()}

    run(main())
