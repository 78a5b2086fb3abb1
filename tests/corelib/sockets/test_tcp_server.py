"""Owns the tests of listening at a TCP address, and of clients.
Must not know what clients send.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import socket

import pytest

from corelib import AddressInUse, EventLoop, NoEventLoop, UsageError
from corelib.sockets.tcp_server import TCPServer
from corelib.sockets.tcp_socket import SocketAddress, TCPSocket

GUARD = 30  # seconds, against a hang


def serve(host: str = "127.0.0.1") -> tuple[TCPServer, list[TCPSocket]]:
    accepted: list[TCPSocket] = []
    server = TCPServer(accepted.append)
    server.listen(host, 0)
    return server, accepted


def connect(server: TCPServer) -> TCPSocket:
    assert server.address is not None
    return TCPSocket.connect(server.address.host, server.address.port).await_(GUARD)


def close_all(*things: TCPSocket | TCPServer) -> None:
    for thing in things:
        thing.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_passes_clients_to_on_accept(loop: EventLoop, host: str) -> None:
    server, accepted = serve(host)
    assert server.address == SocketAddress(host, server.port or 0)
    client = connect(server)
    assert loop.spin_until(lambda: accepted, timeout=GUARD)
    assert accepted[0].peer_address == client.local_address
    assert accepted[0].local_address == client.peer_address == server.address
    client.send(b"hello")
    assert accepted[0].wait_readable(GUARD)
    assert accepted[0].receive() == b"hello"
    assert not os.get_inheritable(accepted[0].fileno())
    assert not os.get_blocking(accepted[0].fileno())
    close_all(client, accepted[0], server, server)
    assert server.address is None
    assert server.port is None


def test_a_server_listens_at_addresses_of_either_family(loop: EventLoop) -> None:
    server, accepted = serve("::")
    clients = [TCPSocket.connect(host, server.port or 0).await_(GUARD) for host in ("127.0.0.1", "::1")]
    assert loop.spin_until(lambda: len(accepted) == 2, timeout=GUARD)
    assert accepted[0].peer_address.host == "::ffff:127.0.0.1"
    close_all(*clients, *accepted, server)


def test_a_server_listens_at_the_address_of_a_name(loop: EventLoop) -> None:
    server, accepted = serve("localhost")
    client = connect(server)
    assert loop.spin_until(lambda: accepted, timeout=GUARD)
    close_all(client, *accepted, server)


def test_an_address_in_use_is_refused(loop: EventLoop) -> None:
    server, _ = serve()
    with pytest.raises(AddressInUse, match=rf"127\.0\.0\.1:{server.port} is served already: .*another port"):
        TCPServer().listen("127.0.0.1", server.port or 0)
    with pytest.raises(UsageError, match=f"listens at {server.address} already"):
        server.listen("127.0.0.1", 0)
    server.close()


def test_a_port_is_free_again_although_its_connections_linger(loop: EventLoop) -> None:
    server, accepted = serve()
    port = server.port or 0
    client = connect(server)
    assert loop.spin_until(lambda: accepted, timeout=GUARD)
    close_all(*accepted, server)  # The end that closes first is the one that lingers.
    assert client.wait_readable(GUARD)
    client.close()
    server.listen("127.0.0.1", port)
    assert server.port == port
    server.close()


def test_unusable_addresses_are_refused(loop: EventLoop) -> None:
    gc.collect()  # What other tests left.
    before = len(os.listdir("/proc/self/fd"))
    server = TCPServer()
    with pytest.raises(OSError, match=r"cannot listen at 192\.0\.2\.1:0: ") as failed:
        server.listen("192.0.2.1", 0)  # An address for documentation (RFC 5737), which nobody has.
    assert failed.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(socket.gaierror, match="cannot look up 'no name'"):
        server.listen("no name", 0)
    for port in (-1, 65536):
        with pytest.raises(ValueError, match=f"not {port}"):
            server.listen("127.0.0.1", port)
    assert len(os.listdir("/proc/self/fd")) == before
    assert server.address is None


def test_a_server_needs_a_loop() -> None:
    with pytest.raises(NoEventLoop):
        TCPServer().listen("127.0.0.1", 0)


def test_an_on_accept_that_raises_costs_only_its_client(loop: EventLoop, failures: list[Exception]) -> None:
    server, accepted = serve()

    def refuse_the_first(client: TCPSocket) -> None:
        if not failures:
            raise LookupError
        accepted.append(client)

    server.on_accept = refuse_the_first
    clients = [connect(server) for _ in range(2)]
    assert loop.spin_until(lambda: accepted, timeout=GUARD)
    assert clients[0].wait_readable(GUARD)
    assert clients[0].receive() == b""
    assert clients[1].receive() is None
    assert [type(failure) for failure in failures] == [LookupError]
    close_all(*clients, *accepted, server)


def test_clients_wait_while_nobody_accepts(loop: EventLoop) -> None:
    server, accepted = serve()
    server.on_accept = None
    client = connect(server)
    loop.spin_until(lambda: False, timeout=0)
    assert accepted == []
    server.on_accept = accepted.append
    assert loop.spin_until(lambda: accepted, timeout=GUARD)
    close_all(client, *accepted, server)


def test_a_client_may_be_gone_before_it_is_accepted(loop: EventLoop) -> None:
    server, accepted = serve()
    server.on_accept = None
    client = connect(server)
    address = client.local_address
    # Closing resets the connection.
    client.system.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    server.on_accept = accepted.append
    assert loop.spin_until(lambda: accepted, timeout=GUARD)
    assert accepted[0].peer_address == address
    with pytest.raises(ConnectionResetError):
        accepted[0].receive()
    close_all(*accepted, server)


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EHOSTUNREACH])
def test_an_error_of_a_clients_network_does_not_end_the_server(
    loop: EventLoop, failures: list[Exception], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    server, accepted = serve()
    errors = [OSError(code, os.strerror(code))]
    accept = socket.socket.accept

    def accept_after_errors(listening: socket.socket) -> object:
        if errors:
            raise errors.pop()
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", accept_after_errors)
    client = connect(server)
    assert loop.spin_until(lambda: accepted, timeout=GUARD)
    assert failures == []
    close_all(client, *accepted, server)


def test_a_server_out_of_fds_pauses_and_resumes(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    server, accepted = serve()
    server.on_accept = None
    clients = [connect(server) for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    fillers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        server.on_accept = accepted.append
        assert loop.spin_until(lambda: caplog.records, timeout=GUARD)
        assert accepted == []
        assert f"{server.address}: accepting pauses" in caplog.text
    finally:
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert loop.spin_until(lambda: len(accepted) == 3, timeout=GUARD)
    close_all(*clients, *accepted, server)


def test_a_forked_child_does_not_listen(loop: EventLoop) -> None:
    server, accepted = serve()
    host, port = "127.0.0.1", server.port or 0
    up, tell = os.pipe()
    stop, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        os.write(tell, b"x")
        os.read(stop, 1)
        server.close()
        os._exit(0)
    os.read(up, 1)
    client = connect(server)
    assert loop.spin_until(lambda: accepted, timeout=GUARD)
    close_all(client, *accepted, server)
    with pytest.raises(ConnectionRefusedError):
        TCPSocket.connect(host, port).await_(GUARD)
    os.close(go)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for fd in (up, tell, stop):
        os.close(fd)
