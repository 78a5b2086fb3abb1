"""Owns the contestant Pyro5: a daemon at a Unix socket, with its default serializer; methods are looked up
once.
Must not know the other contestants, nor how it is measured."""

from __future__ import annotations

import Pyro5.api

from benchmarks.contest.contestants import Ready
from benchmarks.contest.works import BlockingCalls

# Bytes as Python literals are shorter and faster than its base64.
Pyro5.config.SERPENT_BYTES_REPR = True


@Pyro5.api.expose
class Service:
    def add(self, a: int, b: int) -> int:
        return a + b

    def echo(self, text: str) -> str:
        return text

    def echo_bytes(self, data: bytes) -> bytes:
        return data


def serve(address: str, ready: Ready) -> None:
    with Pyro5.api.Daemon(unixsocket=address) as daemon:
        daemon.register(Service(), "bench")
        ready()
        daemon.requestLoop()


class Client(BlockingCalls):
    def __init__(self, address: str) -> None:
        proxy = Pyro5.api.Proxy(f"PYRO:bench@./u:{address}")
        super().__init__(proxy.add, proxy.echo, proxy.echo_bytes)
