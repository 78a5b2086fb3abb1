"""Owns the contestant asyncio: the floor's frames in Protocol classes written by hand.
Must not know the other contestants, nor how it is measured."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

from benchmarks.contest.contestants import Ready
from benchmarks.contest.frames import (
    ECHO,
    ECHO_BYTES,
    LOGGED,
    Frames,
    Service,
    add_frame,
    frame,
    log_frame,
    number_in,
)
from benchmarks.contest.works import AwaitedCalls, check

MakeLoop = Callable[[], asyncio.AbstractEventLoop]


class ServerProtocol(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write
        self._frames = Frames()
        self._service = Service()

    def data_received(self, data: bytes) -> None:
        for kind, payload in self._frames.cut(data):
            answer = self._service.answer(kind, payload)
            if answer:
                self._write(answer)


class ClientProtocol(asyncio.Protocol):
    """A client whose answers come in the order of the calls."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._awaited: deque[asyncio.Future[bytes]] = deque()
        self.may_write = asyncio.Event()
        self.may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast(asyncio.Transport, transport).write

    def connection_lost(self, error: Exception | None) -> None:
        for answer in self._awaited:
            answer.set_exception(error or EOFError("the server is gone"))

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    def call(self, request: bytes) -> asyncio.Future[bytes]:
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._awaited.append(answer)
        self.write(request)
        return answer

    def data_received(self, data: bytes) -> None:
        for _kind, payload in self._frames.cut(data):
            self._awaited.popleft().set_result(payload)


def serve(address: str, ready: Ready, make_loop: MakeLoop = asyncio.new_event_loop) -> None:
    loop = make_loop()
    loop.run_until_complete(loop.create_unix_server(ServerProtocol, address, backlog=4096))
    ready()
    loop.run_forever()


class Client(AwaitedCalls):
    def __init__(self, address: str, make_loop: MakeLoop = asyncio.new_event_loop) -> None:
        loop = make_loop()
        super().__init__(loop.run_until_complete, self._call_add, self._call_echo, self._call_echo_bytes)
        self._loop = loop
        self._address = address
        self._connections: list[ClientProtocol] = []
        self.connect(1)
        self._connection = self._connections[0]

    async def _call_add(self, a: int, b: int) -> int:
        return number_in(await self._connection.call(add_frame(a, b)))

    async def _call_echo(self, text: str) -> str:
        return (await self._connection.call(frame(ECHO, text.encode()))).decode()

    def _call_echo_bytes(self, data: bytes) -> asyncio.Future[bytes]:
        return self._connection.call(frame(ECHO_BYTES, data))

    def posts(self, count: int, size: int) -> None:
        self._loop.run_until_complete(self._posts(count, "x" * size))

    async def _posts(self, count: int, text: str) -> None:
        connection = self._connection
        for number in range(count):
            connection.write(log_frame(number, text))
            if not connection.may_write.is_set():
                await connection.may_write.wait()
        check(number_in(await connection.call(frame(LOGGED))), count)

    def connect(self, count: int) -> None:
        while len(self._connections) < count:
            connecting: Coroutine[Any, Any, tuple[asyncio.Transport, ClientProtocol]]
            connecting = self._loop.create_unix_connection(ClientProtocol, self._address)
            self._connections.append(self._loop.run_until_complete(connecting)[1])

    def adds_of_all(self, rounds: int) -> None:
        self._loop.run_until_complete(self._adds_of_all(rounds))

    async def _adds_of_all(self, rounds: int) -> None:
        for turn in range(rounds):
            answers = await asyncio.gather(
                *(one.call(add_frame(turn, place)) for place, one in enumerate(self._connections))
            )
            for place, answer in enumerate(answers):
                check(number_in(answer), turn + place)
