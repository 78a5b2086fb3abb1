"""Owns the contestant multiprocessing.connection with bare bytes: no pickle, and nothing else than an echo.
Must not know the other contestants, nor how it is measured."""

from __future__ import annotations

import threading
from multiprocessing.connection import Client as connect_to
from multiprocessing.connection import Connection, Listener
from typing import Any

from benchmarks.contest.contestants import Ready
from benchmarks.contest.works import check, payloads


def serve(address: str, ready: Ready) -> None:
    with Listener(address, "AF_UNIX", backlog=4096) as listener:
        ready()
        while True:
            threading.Thread(target=_echo, args=(listener.accept(),), daemon=True).start()


def _echo(client: Connection[Any, Any]) -> None:
    while True:
        try:
            client.send_bytes(client.recv_bytes())
        except EOFError:
            return


class Client:
    def __init__(self, address: str) -> None:
        self._connection = connect_to(address)

    def echoes_bytes(self, count: int, size: int) -> None:
        connection = self._connection
        for data in payloads(count, size):
            connection.send_bytes(data)
            answer = connection.recv_bytes()
            if answer != data:
                check(answer, data)
