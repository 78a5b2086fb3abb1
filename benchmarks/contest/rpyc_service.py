"""Owns the contestant RPyC: a service at a Unix socket, a thread for each client; methods are looked up once.
Must not know the other contestants, nor how it is measured."""

from __future__ import annotations

import logging
import sys
from typing import Any

import rpyc
from rpyc.core.channel import Channel
from rpyc.utils.factory import unix_connect
from rpyc.utils.server import ThreadedServer

from benchmarks.contest.contestants import Ready
from benchmarks.contest.works import BlockingCalls, check

# RPyC compresses everything longer than 3,000 bytes; here it must not.
Channel.COMPRESSION_THRESHOLD = sys.maxsize


class Service(rpyc.Service):  # type: ignore[misc]
    def exposed_add(self, a: int, b: int) -> int:
        return a + b

    def exposed_echo(self, text: str) -> str:
        return text

    def exposed_echo_bytes(self, data: bytes) -> bytes:
        return data


def serve(address: str, ready: Ready) -> None:
    quiet = logging.getLogger("quiet")
    quiet.setLevel(logging.ERROR)
    server = ThreadedServer(Service, socket_path=address, backlog=4096, logger=quiet)
    server.listener.listen(4096)  # Otherwise only start() listens, which does not return.
    ready()
    server.start()


class Client(BlockingCalls):
    def __init__(self, address: str) -> None:
        self._address = address
        self._roots: list[Any] = []
        self._async_adds: list[Any] = []
        self.connect(1)
        root = self._roots[0]
        super().__init__(root.add, root.echo, root.echo_bytes)

    def connect(self, count: int) -> None:
        while len(self._roots) < count:
            root = unix_connect(self._address).root
            self._roots.append(root)
            self._async_adds.append(rpyc.async_(root.add))

    def adds_of_all(self, rounds: int) -> None:
        for turn in range(rounds):
            answers = [add(turn, place) for place, add in enumerate(self._async_adds)]
            for place, answer in enumerate(answers):
                check(answer.value, turn + place)
