"""Owns the floor: blocking sockets and hand-packed frames, as one writes them without a library.
Must not know the other contestants. The server has a thread for each client."""

from __future__ import annotations

import socket
import threading

from benchmarks.contest.contestants import Ready
from benchmarks.contest.frames import (
    ECHO,
    ECHO_BYTES,
    LOGGED,
    RECEIVED_AT_ONCE,
    Frames,
    Service,
    add_frame,
    frame,
    log_frame,
    number_in,
)
from benchmarks.contest.works import BlockingCalls, check


def serve(address: str, ready: Ready) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(4096)
    ready()
    while True:
        client, _address = listening.accept()
        threading.Thread(target=_serve_client, args=(client,), daemon=True).start()


def _serve_client(client: socket.socket) -> None:
    service = Service()
    frames = Frames()
    while data := client.recv(RECEIVED_AT_ONCE):
        for kind, payload in frames.cut(data):
            answer = service.answer(kind, payload)
            if answer:
                client.sendall(answer)


class Connection:
    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        self._frames = Frames()
        self.send = self._socket.sendall

    def receive(self) -> bytes:
        """Return the payload of the one expected frame."""
        while not (frames := self._frames.cut(self._socket.recv(RECEIVED_AT_ONCE) or _end())):
            pass
        [(_kind, payload)] = frames
        return payload


class Client(BlockingCalls):
    def __init__(self, address: str) -> None:
        super().__init__(self._call_add, self._call_echo, self._call_echo_bytes)
        self._address = address
        self._connections = [Connection(address)]
        self._send = self._connections[0].send
        self._receive = self._connections[0].receive

    def _call_add(self, a: int, b: int) -> int:
        self._send(add_frame(a, b))
        return number_in(self._receive())

    def _call_echo(self, text: str) -> str:
        self._send(frame(ECHO, text.encode()))
        return self._receive().decode()

    def _call_echo_bytes(self, data: bytes) -> bytes:
        self._send(frame(ECHO_BYTES, data))
        return self._receive()

    def posts(self, count: int, size: int) -> None:
        text = "x" * size
        for number in range(count):
            self._send(log_frame(number, text))
        self._send(frame(LOGGED))
        check(number_in(self._receive()), count)

    def connect(self, count: int) -> None:
        while len(self._connections) < count:
            self._connections.append(Connection(self._address))

    def adds_of_all(self, rounds: int) -> None:
        for turn in range(rounds):
            for place, connection in enumerate(self._connections):
                connection.send(add_frame(turn, place))
            for place, connection in enumerate(self._connections):
                check(number_in(connection.receive()), turn + place)


def _end() -> bytes:
    raise EOFError("the server is gone")
