"""What makes connections: mistakes are told where they are made; a constructor that raises leaves nothing."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, UsageError
from ipclib import MultiServer, PeerDisconnected, take_over_accepted_client
from tests.ipclib import clock_service
from tests.ipclib.pairs import Pair

GUARD = 30.0

Serve = Callable[..., Any]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "clock")


@pytest.fixture
def serve(loop: EventLoop, clock: Any, path: str) -> Iterator[Serve]:
    servers: list[MultiServer[Any]] = []

    def serve(where: Any = path) -> MultiServer[Any]:
        servers.append(MultiServer(clock_service.handlers(clock), where))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def connect(clock: Any, path: str) -> Callable[[], Any]:
    return lambda: clock.ConnectionToServer.connect(path)


@pytest.mark.parametrize("when", ["before it connects", "after it has connected", "with a call open"])
def test_a_constructor_that_raises_is_the_program_s_fault_and_leaves_no_connection(
    loop: EventLoop, clock: Any, path: str, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[Exception] = []
    loop.on_exception = lambda error, context: failures.append(error)
    calls: list[Any] = []

    class Broken(clock_service.handlers(clock)):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            if when == "before it connects":
                raise LookupError
            super().__init__(*arguments, **options)
            if when == "with a call open":
                calls.append(self.async_ascend(1))
            raise LookupError

        def die(self) -> None:
            pytest.fail("it was never made")

    server: MultiServer[Any] = MultiServer(Broken, path)
    client = clock.ConnectionToServer.connect(path)
    with pytest.raises(PeerDisconnected):
        client.echo_bytes(bytes(1 << 20))
    assert [type(error) for error in failures] == [LookupError]
    assert (server.clients, caplog.text) == ([], "")
    for call in calls:
        with pytest.raises(PeerDisconnected, match="constructor"):
            call.await_(GUARD)
    server.close()
    assert not loop.snapshot().notifiers, "nothing watches a socket that was closed"


def test_a_client_s_constructor_that_raises_leaves_no_connection(
    loop: EventLoop, clock: Any, serve: Serve, path: str
) -> None:
    class Broken(clock.ConnectionToServer):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            raise LookupError

        def die(self) -> None:
            pytest.fail("it was never made")

    server = serve()
    with pytest.raises(LookupError):
        Broken.connect(path)
    with pytest.raises(LookupError):
        Broken.spawn([sys.executable, "-c", ""])
    server.close()
    assert loop.spin_until(lambda: not loop.snapshot().notifiers, GUARD)


def _returns_none(*_arguments: Any, **_options: Any) -> None:
    return None


def test_what_cannot_make_connections_is_refused_where_it_is_given(
    loop: EventLoop, clock: Any, path: str
) -> None:
    mistakes: list[tuple[Any, str]] = [
        (clock.ConnectionToServer, r"ConnectionToServer is a client's end.*ConnectionFromClient"),
        (clock.ClockServer, "ClockServer is no connection"),
        (str, "str is no connection"),
        (None, "not of None"),
        ("Clock", "not of 'Clock'"),
        (Pair(clock).service, "pass the class"),
    ]
    for mistake, words in mistakes:
        for use in (lambda mistake: MultiServer(mistake, path), take_over_accepted_client):
            with pytest.raises(UsageError, match=words):
                use(mistake)
    assert not os.path.exists(path)


def test_a_factory_that_returns_something_else_is_named(loop: EventLoop, clock: Any, path: str) -> None:
    failures: list[Exception] = []
    loop.on_exception = lambda error, context: failures.append(error)
    server: MultiServer[Any] = MultiServer(_returns_none, path)  # type: ignore[arg-type]
    client = clock.ConnectionToServer.connect(path)
    with pytest.raises(PeerDisconnected):
        client.nothing()
    assert [str(error) for error in failures] == [
        "_returns_none returned None: a factory returns the ConnectionFromClient that it makes"
    ]
    server.close()


def test_what_is_no_socket_is_refused_with_the_way_to_do_it(loop: EventLoop, clock: Any, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as plain:
        for mistake, words in (
            (path, r"call ConnectionToServer\.connect\("),
            (plain, r"LocalSocket\.adopt"),
            (3, "not 3"),
        ):
            with pytest.raises(UsageError, match=words):
                clock.ConnectionToServer(mistake)
            with pytest.raises(UsageError):
                clock_service.handlers(clock)(mistake, 1)


def test_a_repr_tells_the_state(loop: EventLoop, serve: Serve, connect: Any, path: str) -> None:
    server = serve(Path(path))
    assert repr(server) == f"<MultiServer of handlers.<locals>.Clock, at '{path}', 0 clients>"
    client = connect()
    call = client.async_held(1)
    client.nothing()
    assert repr(client) == f"<ConnectionToServer open, pid {os.getpid()}, 1 open calls>"
    assert repr(server).endswith("1 clients>")
    assert repr(server.clients[0]) == f"<handlers.<locals>.Clock open, pid {os.getpid()}, 0 open calls>"
    client.shutdown()
    with pytest.raises(PeerDisconnected):
        call.await_(GUARD)
    assert repr(client) == f"<ConnectionToServer closed, pid {os.getpid()}, 0 open calls>"
    server.close()
    assert repr(server) == "<MultiServer of handlers.<locals>.Clock, closed, 0 clients>"
