"""Owns the contestant bare epoll: the floor's frames in an epoll loop at both ends, which sleeps when nothing
is ready.
Must not know the other contestants, nor how it is measured."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

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

_MOST_WAITING = 1024 * 1024


class Loop:
    """Calls the callbacks of ready descriptors."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], None]] = {}

    def watch(self, fd: int, callback: Callable[[int], None]) -> None:
        self._callbacks[fd] = callback
        self._epoll.register(fd, select.EPOLLIN)

    def watch_writable(self, fd: int, writable: bool) -> None:
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if writable else 0))

    def forget(self, fd: int) -> None:
        self._epoll.unregister(fd)
        del self._callbacks[fd]

    def turn(self) -> None:
        for fd, events in self._epoll.poll():
            self._callbacks[fd](events)


class Connection:
    """A nonblocking socket; bytes that it does not take are sent when it is writable."""

    def __init__(self, loop: Loop, connected: socket.socket, on_frame: Callable[[int, bytes], None]) -> None:
        connected.setblocking(False)
        self._loop = loop
        self._socket = connected
        self._on_frame = on_frame
        self._frames = Frames()
        self.waiting = bytearray()
        loop.watch(connected.fileno(), self._on_ready)

    def send(self, data: bytes) -> None:
        if self.waiting:
            self.waiting += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.waiting += memoryview(data)[sent:]
            self._loop.watch_writable(self._socket.fileno(), True)

    def _on_ready(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send_waiting()
        if events & ~select.EPOLLOUT:
            self._receive()

    def _receive(self) -> None:
        data = self._socket.recv(RECEIVED_AT_ONCE)
        if not data:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            return
        for kind, payload in self._frames.cut(data):
            self._on_frame(kind, payload)

    def _send_waiting(self) -> None:
        del self.waiting[: self._socket.send(self.waiting)]
        if not self.waiting:
            self._loop.watch_writable(self._socket.fileno(), False)


def serve(address: str, ready: Ready) -> None:
    loop = Loop()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(4096)
    loop.watch(listening.fileno(), lambda _events: _serve_client(loop, listening.accept()[0]))
    ready()
    while True:
        loop.turn()


def _serve_client(loop: Loop, client: socket.socket) -> None:
    service = Service()

    def on_frame(kind: int, payload: bytes) -> None:
        answer = service.answer(kind, payload)
        if answer:
            connection.send(answer)

    connection = Connection(loop, client, on_frame)


class Client(BlockingCalls):
    def __init__(self, address: str) -> None:
        super().__init__(self._call_add, self._call_echo, self._call_echo_bytes)
        self._address = address
        self._loop = Loop()
        self._answers: list[bytes] = []
        self._connections: list[Connection] = []
        self.connect(1)
        self._send = self._connections[0].send

    def _call_add(self, a: int, b: int) -> int:
        self._send(add_frame(a, b))
        return number_in(self._answer())

    def _call_echo(self, text: str) -> str:
        self._send(frame(ECHO, text.encode()))
        return self._answer().decode()

    def _call_echo_bytes(self, data: bytes) -> bytes:
        self._send(frame(ECHO_BYTES, data))
        return self._answer()

    def posts(self, count: int, size: int) -> None:
        text = "x" * size
        connection = self._connections[0]
        for number in range(count):
            connection.send(log_frame(number, text))
            while len(connection.waiting) > _MOST_WAITING:
                self._loop.turn()
        connection.send(frame(LOGGED))
        check(number_in(self._answer()), count)

    def connect(self, count: int) -> None:
        while len(self._connections) < count:
            connected = socket.socket(socket.AF_UNIX)
            connected.connect(self._address)
            self._connections.append(Connection(self._loop, connected, self._on_frame))

    def adds_of_all(self, rounds: int) -> None:
        for turn in range(rounds):
            for place, connection in enumerate(self._connections):
                connection.send(add_frame(turn, place))
            while len(self._answers) < len(self._connections):
                self._loop.turn()
            check(sorted(map(number_in, self._answers)), list(range(turn, turn + len(self._connections))))
            self._answers.clear()

    def _answer(self) -> bytes:
        while not self._answers:
            self._loop.turn()
        return self._answers.pop()

    def _on_frame(self, _kind: int, payload: bytes) -> None:
        self._answers.append(payload)
