"""Owns the tests of reprs, which tell the state of an object. Must not know how it works."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from corelib import (
    AnonymousBuffer,
    EventLoop,
    LocalServer,
    LocalSocket,
    Notifier,
    NotWatchable,
    TCPServer,
    TCPSocket,
    WaitMode,
)

READ = Notifier.Type.READ


def nothing() -> None:
    pass


def test_a_notifier_tells_whether_it_watches(loop: EventLoop) -> None:
    mine, theirs = socket.socketpair()
    seen: list[str] = []

    def look_after_a_nested_turn() -> None:
        loop.pump(WaitMode.POLL_FOR_EVENTS)
        seen.append(repr(notifier))
        mine.recv(1)

    notifier = Notifier(mine, READ)
    start = f"<Notifier fd {mine.fileno()}, Type.READ, "
    assert repr(notifier) == f"{start}without a callback, on_activation=None>"
    notifier.on_activation = nothing
    assert repr(notifier) == f"{start}watching, on_activation={nothing!r}>"
    notifier.set_enabled(False)
    assert repr(notifier) == f"{start}disabled, on_activation={nothing!r}>"
    notifier.set_enabled(True)
    activation = notifier.activation()
    assert repr(notifier) == f"{start}awaited, on_activation={nothing!r}>"
    activation.cancel()
    notifier.on_activation = look_after_a_nested_turn
    theirs.send(b"x")
    loop.pump()
    assert seen == [f"{start}in its callback, on_activation={look_after_a_nested_turn!r}>"]
    notifier.set_enabled(False)
    mine.close()
    with pytest.raises(NotWatchable):
        notifier.set_enabled(True)
    assert f"{start}disabled because its fd was closed, " in repr(notifier)
    theirs.close()


def test_a_socket_tells_its_fd_and_whether_it_is_closed(loop: EventLoop) -> None:
    one, other = LocalSocket.pair()
    assert repr(one) == f"<LocalSocket fd {one.fileno()}>"
    other.close()
    assert repr(other) == "<LocalSocket closed>"
    one.close()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = f"127.0.0.1:{listening.getsockname()[1]}"
        client = TCPSocket.connect(*listening.getsockname()).await_(30)
        assert repr(client) == f"<TCPSocket fd {client.fileno()}, peer {peer}>"
        client.close()
        assert repr(client) == f"<TCPSocket closed, peer {peer}>"


def test_a_server_tells_where_it_listens_and_why_it_accepts_nobody(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = LocalServer()
    assert repr(server) == "<LocalServer not listening>"
    path = str(tmp_path / "clock")
    server.listen(path)
    assert repr(server) == f"<LocalServer at {path!r}, not accepting without an on_accept>"
    server.on_accept = lambda client: client.close()
    assert repr(server) == f"<LocalServer at {path!r}>"
    client = LocalSocket.connect(path)

    def fail(listening: socket.socket) -> object:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", fail)
    loop.pump()
    assert repr(server) == f"<LocalServer at {path!r}, pausing because the process is out of fds>"
    client.close()
    server.close()
    assert repr(server) == "<LocalServer not listening>"
    tcp_server = TCPServer(nothing)
    assert repr(tcp_server) == "<TCPServer not listening>"
    tcp_server.listen("127.0.0.1", 0)
    assert repr(tcp_server) == f"<TCPServer at 127.0.0.1:{tcp_server.port}>"
    tcp_server.close()


def test_a_buffer_tells_its_memory() -> None:
    assert repr(AnonymousBuffer()) == "<AnonymousBuffer invalid>"
    buffer = AnonymousBuffer.create(10)
    assert repr(buffer) == f"<AnonymousBuffer of 10 bytes, fd {buffer.fd}>"
    buffer.data[0] = 1
    assert repr(buffer) == f"<AnonymousBuffer of 10 bytes, fd {buffer.fd}, mapped>"
    buffer.close()
    assert repr(buffer) == "<AnonymousBuffer invalid>"
