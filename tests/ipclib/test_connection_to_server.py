"""Getting to a service: what is no service, and the patience with one that is not there yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import clock_service
import pytest

from corelib import EventLoop, SocketPathError, Timer
from ipclib import MultiServer, ServiceUnavailable


def test_nobody_and_nothing(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
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


def test_patience_is_for_the_service_that_comes(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    servers: list[MultiServer[Any]] = []

    def serve() -> None:
        servers.append(MultiServer(clock_service.handlers(clock), path))

    Timer.create_single_shot(30, serve).start()
    client = clock.ConnectionToServer.connect(path, patience=30.0)
    assert client.add(1, 2) == 3
    client.shutdown()
    servers[0].close()


def test_the_session_is_the_same_at_both_ends(
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
