"""Owns the tests of connecting without blocking, and of bytes through TCP.
Must not know servers beyond an address to connect to.
"""

from __future__ import annotations

import errno
import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket, NoEventLoop, Promise, TimedOut, UsageError
from corelib.sockets import tcp_socket as module
from corelib.sockets.tcp_socket import SocketAddress, TCPSocket

GUARD = 30  # seconds, against a hang


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def deaf() -> Iterator[SocketAddress]:
    """An address that does not answer: its queue of clients is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
            waiting.append(client)
        yield SocketAddress(*listening.getsockname())
        for client in waiting:
            client.close()


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def free_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0)) as listening:
        return port_of(listening)


def open_fds() -> int:
    gc.collect()  # What other tests left.
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def look_up_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[tuple[int, tuple[str, int]]]], None]:
    """A function that makes every host have the given addresses."""

    def install(found: list[tuple[int, tuple[str, int]]]) -> None:
        monkeypatch.setattr(module, "look_up", lambda host, port, flags=0: found)

    return install


def test_bytes_cross_a_tcp_socket(loop: EventLoop, listening: socket.socket) -> None:
    promise = TCPSocket.connect("127.0.0.1", port_of(listening))
    assert not promise.is_settled, "it settles in a turn, even if the kernel connects at once"
    client = promise.await_(GUARD)
    accepted, address = listening.accept()
    assert client.local_address == SocketAddress(*address)
    assert client.peer_address == SocketAddress("127.0.0.1", port_of(listening))
    assert repr(client) == f"<TCPSocket fd {client.fileno()}, peer 127.0.0.1:{port_of(listening)}>"
    assert client.receive() is None
    assert client.send(b"hello") == 5
    assert accepted.recv(100) == b"hello"
    client.shutdown_write()
    assert accepted.recv(100) == b""
    accepted.send(b"still")
    assert client.wait_readable(GUARD)
    assert client.receive() == b"still"
    accepted.close()
    assert client.is_open
    client.close()
    client.close()
    assert not client.is_open


def test_a_tcp_socket_is_not_blocking_and_not_inherited(loop: EventLoop, listening: socket.socket) -> None:
    client = TCPSocket.connect("127.0.0.1", port_of(listening)).await_(GUARD)
    assert not os.get_blocking(client.fileno())
    assert not os.get_inheritable(client.fileno())
    client.close()


def test_a_tcp_socket_sets_its_options(loop: EventLoop, listening: socket.socket) -> None:
    client = TCPSocket.connect("127.0.0.1", port_of(listening)).await_(GUARD)

    def option(level: int, name: int) -> int:
        return client.system.getsockopt(level, name)

    client.set_no_delay(True)
    assert option(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    client.set_no_delay(False)
    assert not option(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    client.set_keepalive(True, idle=11, interval=12, count=13)
    assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 11
    assert option(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 12
    assert option(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 13
    client.set_keepalive(False)
    assert not option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    client.close()


def test_a_peer_that_has_reset_is_an_error_and_keeps_its_address(
    loop: EventLoop, listening: socket.socket
) -> None:
    client = TCPSocket.connect("127.0.0.1", port_of(listening)).await_(GUARD)
    accepted, _ = listening.accept()
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    accepted.close()
    assert client.wait_readable(GUARD)
    with pytest.raises(ConnectionResetError):
        client.receive()
    with pytest.raises(BrokenPipeError):
        client.send(b"x")
    assert client.peer_address.port == port_of(listening)
    client.close()


def test_connecting_without_a_server_is_refused(loop: EventLoop) -> None:
    before = open_fds()
    port = free_port()
    with pytest.raises(
        ConnectionRefusedError, match=rf"127\.0\.0\.1 port {port}: 127\.0\.0\.1: Connection ref"
    ):
        TCPSocket.connect("127.0.0.1", port).await_(GUARD)
    assert open_fds() <= before


def test_each_address_is_tried_in_turn(
    loop: EventLoop,
    listening: socket.socket,
    look_up_as: Callable[[list[tuple[int, tuple[str, int]]]], None],
) -> None:
    port = port_of(listening)
    look_up_as([(socket.AF_INET6, ("::1", port)), (socket.AF_INET, ("127.0.0.1", port))])
    client = TCPSocket.connect("somewhere", port).await_(GUARD)
    assert client.peer_address.host == "127.0.0.1"
    client.close()


def test_the_error_has_the_reason_of_each_address(
    loop: EventLoop, look_up_as: Callable[[list[tuple[int, tuple[str, int]]]], None]
) -> None:
    before = open_fds()
    port = free_port("127.0.0.1")
    look_up_as(
        [
            (socket.AF_INET, ("255.255.255.255", port)),
            (socket.AF_INET6, ("::1", port)),
            (socket.AF_INET, ("127.0.0.1", port)),
        ]
    )
    with pytest.raises(
        ConnectionRefusedError,
        match=rf"somewhere port {port}: 255\.255\.255\.255: .*; ::1: .*; 127\.0\.0\.1: Connection refused",
    ):
        TCPSocket.connect("somewhere", port).await_(GUARD)
    assert open_fds() <= before


def test_a_name_is_looked_up_in_a_thread(
    loop: EventLoop, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    answer = threading.Event()

    def look_up(host: str, *args: object, **options: object) -> object:
        if options.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        threads.append(threading.current_thread())
        loop.wake()
        assert answer.wait(GUARD)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port_of(listening)))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    promise = TCPSocket.connect("somewhere", port_of(listening))
    assert loop.spin_until(lambda: threads, timeout=GUARD)
    assert not promise.is_settled
    answer.set()
    promise.await_(GUARD).close()
    assert threads[0] is not threading.current_thread()


def test_names_are_looked_up_although_jobs_block_and_jobs_run_although_names_do(
    loop: EventLoop, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    getaddrinfo = socket.getaddrinfo

    def look_up(host: str, *args: Any, **options: Any) -> object:
        if host == "slow" and not options.get("flags"):
            assert go_on.wait(GUARD)
        return getaddrinfo("localhost" if host == "slow" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    most_threads = 32 + (os.cpu_count() or 1)  # More than a pool has by default.
    jobs = [loop.run_in_thread(go_on.wait, GUARD) for _ in range(most_threads)]
    TCPSocket.connect("localhost", port_of(listening)).await_(GUARD).close()
    assert not any(job.is_settled for job in jobs)
    go_on.set()
    for job in jobs:
        job.await_(GUARD)
    go_on.clear()
    slow = [TCPSocket.connect("slow", port_of(listening)) for _ in range(most_threads)]
    assert loop.run_in_thread(len, "job").await_(GUARD) == 3
    for attempt in slow:
        attempt.cancel()
    go_on.set()


def test_an_unknown_name_rejects_the_promise(loop: EventLoop) -> None:
    with pytest.raises(socket.gaierror, match="cannot look up 'no name'"):
        TCPSocket.connect("no name", 80).await_(GUARD)
    with pytest.raises(socket.gaierror, match="cannot look up"):
        TCPSocket.connect("x" * 64 + ".example", 80).await_(GUARD)


def test_a_name_that_is_looked_up_too_late_times_out(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()

    def look_up(host: str, *args: object, **options: object) -> object:
        if not options.get("flags"):
            assert answer.wait(GUARD)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(TimedOut, match=r"somewhere port 80: no answer from the name's addresses in 0\.0 s"):
        TCPSocket.connect("somewhere", 80, timeout=0.0).await_(GUARD)
    cancelled = TCPSocket.connect("somewhere", 80)
    assert cancelled.cancel()
    assert cancelled.is_cancelled
    answer.set()


def test_an_address_that_does_not_answer_times_out(loop: EventLoop, deaf: SocketAddress) -> None:
    before = open_fds()
    with pytest.raises(TimedOut, match=rf"port {deaf.port}: no answer from 127\.0\.0\.1 in 0\.01 s"):
        TCPSocket.connect(deaf.host, deaf.port, timeout=0.01).await_(GUARD)
    assert open_fds() <= before


def test_cancelling_ends_the_attempt(loop: EventLoop, deaf: SocketAddress) -> None:
    before = open_fds()
    promise: Promise[TCPSocket] = TCPSocket.connect(deaf.host, deaf.port, timeout=60)
    assert open_fds() <= before + 1
    assert promise.cancel()
    assert open_fds() <= before
    with pytest.raises(TimedOut):
        TCPSocket.connect(deaf.host, deaf.port).within(0.01).await_(GUARD)
    assert open_fds() <= before
    assert not loop.spin_until(lambda: False, timeout=0), "nothing is left to happen"


def test_a_socket_that_is_connected_to_itself_is_refused(
    loop: EventLoop, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = port_of(listening)
    monkeypatch.setattr(socket.socket, "getsockname", socket.socket.getpeername)
    with pytest.raises(ConnectionRefusedError):
        TCPSocket.connect("127.0.0.1", port).await_(GUARD)


def test_a_process_out_of_fds_gets_an_error(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", fail)
    with pytest.raises(OSError, match=r"127\.0\.0\.1: Too many open files"):
        TCPSocket.connect("127.0.0.1", 80).await_(GUARD)


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_ports_out_of_range_are_refused(loop: EventLoop, port: int) -> None:
    with pytest.raises(ValueError, match=f"not {port}"):
        TCPSocket.connect("127.0.0.1", port)


def test_connecting_needs_a_loop() -> None:
    with pytest.raises(NoEventLoop):
        TCPSocket.connect("127.0.0.1", 80)


def test_only_a_tcp_socket_is_adopted(loop: EventLoop, listening: socket.socket) -> None:
    plain = socket.create_connection(listening.getsockname())
    adopted = TCPSocket.adopt(plain.detach())
    assert adopted.peer_address.port == port_of(listening)
    assert not os.get_blocking(adopted.fileno())
    one, other = socket.socketpair()
    with pytest.raises(UsageError, match="not a TCP stream socket"):
        TCPSocket.adopt(one)
    with pytest.raises(UsageError, match="not a Unix stream socket"):
        LocalSocket.adopt(listening)
    for each in (adopted, one, other):
        each.close()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("fe80::1", 80, 0, 2), "[fe80::1%2]:80"),
    ],
)
def test_addresses_are_written_as_text(raw: tuple[str, int], text: str) -> None:
    assert str(SocketAddress.from_raw(raw)) == text
