"""Owns the tests of listening at a Unix path: the path, living and dead servers there, and clients.
Must not know what clients send.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from corelib import (
    AddressInUse,
    EventLoop,
    LocalServer,
    LocalSocket,
    NoEventLoop,
    SocketPathError,
    UsageError,
    WaitMode,
)
from corelib.sockets.path_lock import PathLock

POLL = WaitMode.POLL_FOR_EVENTS


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "clock")


def connect_and_accept(loop: EventLoop, server: LocalServer) -> None:
    accepted: list[LocalSocket] = []
    server.on_accept = accepted.append
    assert server.path is not None
    client = LocalSocket.connect(server.path)
    assert loop.spin_until(lambda: accepted, timeout=30)
    client.send(b"hello")
    assert accepted[0].receive() == b"hello"
    client.close()
    accepted[0].close()


def serve_in_another_process(path: str) -> subprocess.Popen[str]:
    """Start a service, which lives until its standard input ends or it is killed; wait until it is up."""
    source = """
import sys
from corelib import *
loop = EventLoop()
server = LocalServer(lambda client: client.close())
server.listen(sys.argv[1])
Notifier(0, Notifier.Type.READ, loop.quit)
print("up", flush=True)
loop.exec()
server.close()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", source, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=30)


def test_a_server_passes_clients_to_on_accept(loop: EventLoop, path: str) -> None:
    server = LocalServer()
    assert server.path is None
    server.listen(path)
    assert server.path == path
    connect_and_accept(loop, server)
    server.close()
    server.close()
    assert server.path is None
    assert os.listdir(os.path.dirname(path)) == []


def test_a_server_listens_in_a_session(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPC_SESSION_ID", "evening")
    server = LocalServer()
    server.listen(f"{tmp_path}/session/%sid/portal/clock")
    assert server.path == f"{tmp_path}/session/evening/portal/clock"
    connect_and_accept(loop, server)
    server.close()


def test_paths_of_sockets_may_be_path_objects(loop: EventLoop, tmp_path: Path) -> None:
    clients: list[LocalSocket] = []
    with EventLoop():
        server = LocalServer(clients.append)
        server.listen(tmp_path / "clock")
        assert server.path == str(tmp_path / "clock")
        mine = LocalSocket.connect(tmp_path / "clock")
        loop.spin_until(lambda: clients, timeout=30)
        for each in (mine, *clients, server):
            each.close()
        with pytest.raises(FileNotFoundError, match="cannot connect") as failed:
            LocalSocket.connect(tmp_path / "clock")
        assert failed.value.filename == str(tmp_path / "clock")
        with pytest.raises(TypeError, match=r"os\.PathLike"):
            server.listen(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_socket_is_open_to_its_owner_alone(loop: EventLoop, path: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        server = LocalServer()
        server.listen(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o177 == 0
    server.close()


def test_a_second_server_fails_and_leaves_the_first_alone(loop: EventLoop, path: str) -> None:
    first = serve_in_another_process(path)
    with pytest.raises(AddressInUse, match=rf"served already \(pid {first.pid}\)"):
        LocalServer().listen(path)
    LocalSocket.connect(path).close()
    end(first)
    assert os.listdir(os.path.dirname(path)) == []


def test_two_servers_in_one_process_do_not_share_a_path(loop: EventLoop, path: str) -> None:
    server = LocalServer()
    server.listen(path)
    with pytest.raises(AddressInUse):
        LocalServer().listen(path)
    with pytest.raises(UsageError, match="listens at"):
        server.listen(path + "2")
    connect_and_accept(loop, server)
    server.close()
    server.listen(path)
    connect_and_accept(loop, server)
    server.close()


@pytest.mark.slow
def test_the_socket_of_a_killed_server_is_replaced(loop: EventLoop, path: str) -> None:
    for _ in range(3):
        killed = serve_in_another_process(path)
        killed.send_signal(signal.SIGKILL)
        end(killed)
        assert stat.S_ISSOCK(os.stat(path).st_mode)
        server = LocalServer()
        server.listen(path)
        connect_and_accept(loop, server)
        server.close()


def test_a_living_server_without_a_lock_is_left_alone_too(loop: EventLoop, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(path)
        foreign.listen()
        with pytest.raises(AddressInUse, match="served already"):
            LocalServer().listen(path)
        LocalSocket.connect(path).close()
    server = LocalServer()
    server.listen(path)
    server.close()


def test_a_server_does_not_remove_another_kind_of_file(loop: EventLoop, path: str) -> None:
    Path(path).write_text("precious")
    with pytest.raises(SocketPathError, match="not a socket"):
        LocalServer().listen(path)
    assert Path(path).read_text() == "precious"
    assert os.listdir(os.path.dirname(path)) == ["clock"], "no lock file is left either"


def test_a_server_does_not_follow_a_link_at_its_path(loop: EventLoop, path: str) -> None:
    target = Path(path + ".target")
    target.write_text("precious")
    os.symlink(target, path + ".lock")
    with pytest.raises(SocketPathError, match="lock file"):
        LocalServer().listen(path)
    os.unlink(path + ".lock")
    os.symlink(target, path)
    with pytest.raises(SocketPathError, match="not a socket"):
        LocalServer().listen(path)
    assert target.read_text() == "precious"


def test_closing_leaves_the_socket_of_another_server(loop: EventLoop, path: str) -> None:
    server = LocalServer()
    server.listen(path)
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        server.close()
        assert os.path.exists(path)


def test_a_path_of_107_bytes_works_and_a_longer_one_is_refused(loop: EventLoop, tmp_path: Path) -> None:
    with pytest.raises(SocketPathError, match="107 bytes"):
        LocalServer().listen(str(tmp_path / ("x" * 107)))


def test_a_socket_of_another_process_is_taken_over_and_left_at_its_path(loop: EventLoop, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as made_elsewhere:
        made_elsewhere.bind(path)
        made_elsewhere.listen()
        for _ in range(2):
            server = LocalServer()
            server.take_over(made_elsewhere.dup())
            assert server.path == path
            connect_and_accept(loop, server)
            with pytest.raises(UsageError, match="listens at"):
                server.take_over(made_elsewhere)
            server.close()
            assert os.listdir(os.path.dirname(path)) == ["clock"]
        LocalSocket.connect(path).close()


def test_a_socket_that_does_not_listen_is_not_taken_over(loop: EventLoop, path: str) -> None:
    with (
        socket.socket(socket.AF_INET) as inet,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as packets,
        socket.socket(socket.AF_UNIX) as idle,
    ):
        for each, reason in (
            (inet, "not a Unix stream"),
            (packets, "not a Unix stream"),
            (idle, "not listen"),
        ):
            server = LocalServer()
            with pytest.raises(UsageError, match=reason):
                server.take_over(each)
            assert each.fileno() >= 0, "it stays its owner's"
            assert server.path is None
    with pytest.raises(UsageError, match="closed"):
        LocalServer().take_over(idle)


def test_a_forked_child_leaves_the_socket_that_was_taken_over(
    loop: EventLoop, path: str, forked: Callable[[Callable[[], object]], object]
) -> None:
    with socket.socket(socket.AF_UNIX) as made_elsewhere:
        made_elsewhere.bind(path)
        made_elsewhere.listen()
        server = LocalServer()
        server.take_over(made_elsewhere.dup())
        assert forked(server.close) == 0
        connect_and_accept(loop, server)
        server.close()


def test_a_full_disk_leaves_nothing_behind(
    loop: EventLoop, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(SocketPathError, match="cannot be written: No space"):
            LocalServer().listen(path)
    assert os.listdir(os.path.dirname(path)) == []
    server = LocalServer()
    server.listen(path)
    server.close()


def test_clients_wait_while_nobody_accepts(loop: EventLoop, path: str) -> None:
    server = LocalServer()
    server.listen(path)
    client = LocalSocket.connect(path)
    assert loop.pump(POLL) == 0
    accepted: list[LocalSocket] = []
    server.on_accept = accepted.append
    assert loop.pump() == 1
    assert len(accepted) == 1
    for each in (*accepted, client):
        each.close()
    server.close()


def test_an_on_accept_that_raises_costs_only_its_client(
    loop: EventLoop, path: str, failures: list[Exception]
) -> None:
    accepted: list[LocalSocket] = []

    def refuse_the_first(client: LocalSocket) -> None:
        if not failures:
            raise LookupError
        accepted.append(client)

    server = LocalServer(refuse_the_first)
    server.listen(path)
    clients = [LocalSocket.connect(path) for _ in range(2)]
    assert loop.spin_until(lambda: accepted, timeout=30)
    assert clients[0].receive() == b""
    assert clients[1].receive() is None
    for each in (*clients, *accepted):
        each.close()
    server.close()


def test_a_flood_of_clients_does_not_starve_the_rest_of_a_turn(loop: EventLoop, path: str) -> None:
    accepted: list[LocalSocket] = []
    server = LocalServer(accepted.append)
    server.listen(path)
    clients = [LocalSocket.connect(path) for _ in range(150)]
    loop.pump()
    assert 0 < len(accepted) < 150
    assert loop.spin_until(lambda: len(accepted) == 150, timeout=30)
    for each in (*clients, *accepted):
        each.close()
    server.close()


def test_a_server_may_be_closed_in_on_accept(loop: EventLoop, path: str) -> None:
    server = LocalServer(lambda client: (client.close(), server.close()))
    server.listen(path)
    clients = [LocalSocket.connect(path) for _ in range(2)]
    loop.pump()
    assert server.path is None
    for client in clients:
        client.close()


def test_a_server_out_of_fds_pauses_and_resumes(
    loop: EventLoop, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    accepted: list[LocalSocket] = []
    server = LocalServer(accepted.append)
    server.listen(path)
    clients = [LocalSocket.connect(path) for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    fillers = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        turns = 0
        while len(caplog.records) == 0 or turns < 3:
            loop.pump()
            turns += 1
        assert accepted == []
        assert caplog.text.count("accepting pauses") == 1, "logged once, however often it tries again"
    finally:
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert loop.spin_until(lambda: len(accepted) == 3, timeout=30)
    for each in (*clients, *accepted):
        each.close()
    server.close()


def test_a_server_needs_a_loop_and_leaves_nothing_without_one(path: str) -> None:
    with pytest.raises(NoEventLoop):
        LocalServer().listen(path)
    assert os.listdir(os.path.dirname(path)) == []


def test_of_many_servers_at_once_never_two_hold_the_lock(path: str) -> None:
    owner = threading.Lock()
    won: list[bool] = []

    def contend() -> None:
        for _ in range(200):
            try:
                lock = PathLock(path)
            except AddressInUse:
                continue
            alone = owner.acquire(blocking=False)
            won.append(alone)
            os.stat(path + ".lock")
            if alone:
                owner.release()
            lock.release()

    contenders = [threading.Thread(target=contend) for _ in range(4)]
    for contender in contenders:
        contender.start()
    for contender in contenders:
        contender.join()
    assert won
    assert all(won)
