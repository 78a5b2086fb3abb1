"""Owns the contestant that is this library, used as its README shows.
Must not know the other contestants, nor how it is measured."""

from __future__ import annotations

import itertools

from benchmarks.contest.bench_ipc import ConnectionFromClient, ConnectionToServer
from benchmarks.contest.contestants import Ready
from benchmarks.contest.works import BlockingCalls, check
from corelib import AnonymousBuffer, EventLoop
from ipclib import Limits, MultiServer

POSTED_IN_A_TURN = 1000


class Service(ConnectionFromClient):
    count = 0

    def add(self, a: int, b: int) -> int:
        return a + b

    def echo(self, text: str) -> str:
        return text

    def echo_bytes(self, data: bytes) -> bytes:
        return data

    def log(self, number: int, text: str) -> None:
        if number == self.count:
            self.count += 1

    def logged(self) -> int:
        count, self.count = self.count, 0
        return count

    def hand_over(self, buffer: AnonymousBuffer) -> int:
        with buffer:
            data = buffer.data
            return buffer.size + data[0] + data[-1]


def serve(address: str, ready: Ready) -> None:
    with EventLoop() as loop:
        server = MultiServer(Service, address, limits=Limits(max_connections=4096))
        ready()
        loop.exec()
        server.close()


class Client(BlockingCalls):
    def __init__(self, address: str) -> None:
        self._address = address
        self._loop = EventLoop()
        self._service = ConnectionToServer.connect(address)
        self._services = [self._service]
        super().__init__(self._service.add, self._service.echo, self._service.echo_bytes)

    def posts(self, count: int, size: int) -> None:
        text = "x" * size
        log = self._service.async_log
        numbers = iter(range(count))
        left = count

        def post_some() -> None:
            nonlocal left
            for number in itertools.islice(numbers, POSTED_IN_A_TURN):
                log(number, text)
                left -= 1
            if left:
                self._loop.deferred_invoke(post_some)

        self._loop.deferred_invoke(post_some)
        self._loop.spin_until(lambda: not left)
        check(self._service.logged(), count)

    def hand_overs(self, count: int, size: int) -> None:
        with AnonymousBuffer.create(size) as buffer:
            data = buffer.data
            for number in range(count):
                data[0] = data[-1] = number & 0xFF
                check(self._service.hand_over(buffer), size + 2 * data[0])

    def connect(self, count: int) -> None:
        while len(self._services) < count:
            self._services.append(ConnectionToServer.connect(self._address))

    def adds_of_all(self, rounds: int) -> None:
        for turn in range(rounds):
            promises = [service.async_add(turn, place) for place, service in enumerate(self._services)]
            for place, promise in enumerate(promises):
                check(promise.await_(), turn + place)
