"""A MultiServer's clients: who is let in, and what becomes of them when it closes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, Promise
from ipclib import (
    Limits,
    MultiServer,
    PeerDisconnected,
)
from tests.ipclib import clock_service


def test_a_multi_server_knows_its_clients(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    server = MultiServer(clock_service.handlers(clock), path)
    new: list[int] = []
    server.on_new_client = lambda client: new.append(client.client_id)
    clients = [clock.ConnectionToServer.connect(path) for _ in range(3)]
    assert [client.add(1, 1) for client in clients] == [2, 2, 2]
    assert new == [1, 2, 3] == [client.client_id for client in server.clients]
    clients[1].shutdown()
    loop.spin_until(lambda: len(server.clients) == 2, 5)
    assert {client.peer.pid for client in server.clients} == {os.getpid()}
    server.close()
    assert server.clients == []
    assert not os.path.exists(path)


def test_clients_over_the_limit_are_refused(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    server = MultiServer(clock_service.handlers(clock), path, limits=Limits(max_connections=1))
    first = clock.ConnectionToServer.connect(path)
    assert first.add(1, 1) == 2
    with pytest.raises(PeerDisconnected):
        clock.ConnectionToServer.connect(path).add(1, 1)
    assert first.add(1, 1) == 2
    server.close()


def test_clients_of_other_users_are_refused(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    server = MultiServer(clock_service.handlers(clock), path, allowed_uids=[os.geteuid() + 1])
    with pytest.raises(PeerDisconnected):
        clock.ConnectionToServer.connect(path).add(1, 1)
    server.close()


def test_draining_lets_running_handlers_finish(loop: EventLoop, clock: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "clock")
    server = MultiServer(clock_service.handlers(clock), path)
    client = clock.ConnectionToServer.connect(path)
    answer: Promise[int] = client.async_slow(50, 0)
    assert client.add(1, 1) == 2
    server.close(drain=10)
    assert answer.await_() == 50
