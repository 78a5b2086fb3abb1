"""Getting to a service: what is no service, and the patience with one that is not there yet."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket, SocketPathError, Timer
from ipclib import MultiServer, ServiceUnavailable
from tests.ipclib import clock_service


def test_connecting_to_nobody_says_what_is_there(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    connect = clock.ConnectionToServer.connect
    with pytest.raises(ServiceUnavailable, match=r"nobody listens.*patience"):
        connect(str(tmp_path / "clock"))
    (tmp_path / "file").touch()
    with pytest.raises(ServiceUnavailable, match="nobody listens"):
        connect(str(tmp_path / "file"))
    with pytest.raises(SocketPathError, match="107 bytes"):
        connect("/" + "x" * 107)
    with pytest.raises(SocketPathError, match="NUL"):
        connect("\0abstract")


def test_patience_waits_for_a_service_that_comes(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    servers: list[MultiServer[Any]] = []

    def serve() -> None:
        servers.append(MultiServer(clock_service.handlers(clock), path))

    Timer.create_single_shot(30, serve).start()
    client = clock.ConnectionToServer.connect(path, patience=30.0)
    assert client.add(1, 2) == 3
    client.shutdown()
    servers[0].close()


def test_both_ends_use_the_same_session(
    loop: EventLoop, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPC_SESSION_ID", "evening")
    path = f"{tmp_path}/session/%sid/portal/clock"
    server = MultiServer(clock_service.handlers(clock), path)
    client = clock.ConnectionToServer.connect(path)
    assert client.add(1, 2) == 3
    assert os.path.exists(f"{tmp_path}/session/evening/portal/clock")
    client.shutdown()
    server.close()


def test_a_path_where_nobody_listens_is_an_unavailable_service(
    loop: EventLoop, app: Any, tmp_path: Path
) -> None:
    with pytest.raises(ServiceUnavailable, match="patience"):
        app.connect(str(tmp_path / "nothing"))


def test_a_path_that_cannot_be_used_is_not_waited_for(loop: EventLoop, app: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceUnavailable, match="Not a directory"):
        app.connect(str(tmp_path / "file" / "socket"), patience=1000)


def test_a_full_queue_of_clients_is_waited_out(loop: EventLoop, app: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as stack:
        listening.bind(path)
        listening.listen(1)
        with contextlib.suppress(BlockingIOError):
            while True:
                stack.callback(LocalSocket.connect(path).close)
        Timer.create_single_shot(30, lambda: stack.enter_context(listening.accept()[0])).start()
        app.connect(path).shutdown()


@pytest.mark.slow
def test_patience_waits_for_a_process_that_is_started(loop: EventLoop, app: Any, processes: Any) -> None:
    waited: list[int] = []
    Timer.create_single_shot(50, lambda: waited.append(processes.clock_service() is not None)).start()
    client = app.connect(str(processes.folder / "clock0"), patience=30)
    assert (client.add(1, 2), waited) == (3, [True])
