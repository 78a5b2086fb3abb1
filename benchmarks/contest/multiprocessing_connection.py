"""Owns the contestant multiprocessing.connection: pickled tuples, a thread for each client on the server.
Must not know the other contestants, nor how it is measured."""

from __future__ import annotations

import threading
from multiprocessing.connection import Client as connect_to
from multiprocessing.connection import Connection, Listener
from typing import Any

from benchmarks.contest.contestants import Ready
from benchmarks.contest.works import BlockingCalls, check


def serve(address: str, ready: Ready) -> None:
    with Listener(address, "AF_UNIX", backlog=4096) as listener:
        ready()
        while True:
            threading.Thread(target=_serve_client, args=(listener.accept(),), daemon=True).start()


def _serve_client(client: Connection[Any, Any]) -> None:
    count = 0
    while True:
        try:
            what, *values = client.recv()
        except EOFError:
            return
        if what == "add":
            client.send(values[0] + values[1])
        elif what == "log":
            count += values[0] == count
        elif what in ("echo", "echo_bytes"):
            client.send(values[0])
        elif what == "logged":
            client.send(count)
            count = 0


class Client(BlockingCalls):
    def __init__(self, address: str) -> None:
        super().__init__(self._call_add, self._call_echo, self._call_echo_bytes)
        self._address = address
        self._connection = connect_to(address)
        self._connections = [self._connection]

    def _call_add(self, a: int, b: int) -> int:
        self._connection.send(("add", a, b))
        total: int = self._connection.recv()
        return total

    def _call_echo(self, text: str) -> str:
        self._connection.send(("echo", text))
        answer: str = self._connection.recv()
        return answer

    def _call_echo_bytes(self, data: bytes) -> bytes:
        self._connection.send(("echo_bytes", data))
        answer: bytes = self._connection.recv()
        return answer

    def posts(self, count: int, size: int) -> None:
        text = "x" * size
        for number in range(count):
            self._connection.send(("log", number, text))
        self._connection.send(("logged",))
        check(self._connection.recv(), count)

    def connect(self, count: int) -> None:
        while len(self._connections) < count:
            self._connections.append(connect_to(self._address))

    def adds_of_all(self, rounds: int) -> None:
        for turn in range(rounds):
            for place, connection in enumerate(self._connections):
                connection.send(("add", turn, place))
            for place, connection in enumerate(self._connections):
                check(connection.recv(), turn + place)
