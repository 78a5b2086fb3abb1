"""Owns the contestant pyzmq with msgpack: DEALER sockets of clients, one ROUTER on the server.
Must not know the other contestants, nor how it is measured."""

from __future__ import annotations

from typing import Any

import msgpack
import zmq

from benchmarks.contest.contestants import Ready
from benchmarks.contest.works import BlockingCalls, check

_pack = msgpack.packb
_unpack = msgpack.unpackb


def serve(address: str, ready: Ready) -> None:
    router = zmq.Context().socket(zmq.ROUTER)
    router.bind(f"ipc://{address}")
    ready()
    counts: dict[bytes, int] = {}
    while True:
        client, request = router.recv_multipart()
        what, *values = _unpack(request)
        if what == "add":
            router.send_multipart((client, _pack(values[0] + values[1])))
        elif what == "log":
            counts[client] = counts.get(client, 0) + (values[0] == counts.get(client, 0))
        elif what in ("echo", "echo_bytes"):
            router.send_multipart((client, _pack(values[0])))
        elif what == "logged":
            router.send_multipart((client, _pack(counts.pop(client, 0))))


class Client(BlockingCalls):
    def __init__(self, address: str) -> None:
        self._address = address
        self._context = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, self._context.get(zmq.SOCKET_LIMIT))
        self._sockets: list[zmq.Socket[bytes]] = []
        self.connect(1)
        self._socket = self._sockets[0]
        super().__init__(self._call_add, self._call_echo, self._call_echo_bytes)

    def _call_add(self, a: int, b: int) -> int:
        self._socket.send(_pack(("add", a, b)))
        answer: int = _unpack(self._socket.recv())
        return answer

    def _call_echo(self, text: str) -> str:
        self._socket.send(_pack(("echo", text)))
        answer: str = _unpack(self._socket.recv())
        return answer

    def _call_echo_bytes(self, data: bytes) -> bytes:
        self._socket.send(_pack(("echo_bytes", data)))
        answer: bytes = _unpack(self._socket.recv())
        return answer

    def posts(self, count: int, size: int) -> None:
        text = "x" * size
        send = self._socket.send
        for number in range(count):
            send(_pack(("log", number, text)))
        send(_pack(("logged",)))
        check(_unpack(self._socket.recv()), count)

    def connect(self, count: int) -> None:
        while len(self._sockets) < count:
            dealer: Any = self._context.socket(zmq.DEALER)
            dealer.connect(f"ipc://{self._address}")
            self._sockets.append(dealer)

    def adds_of_all(self, rounds: int) -> None:
        for turn in range(rounds):
            for place, dealer in enumerate(self._sockets):
                dealer.send(_pack(("add", turn, place)))
            for place, dealer in enumerate(self._sockets):
                check(_unpack(dealer.recv()), turn + place)
