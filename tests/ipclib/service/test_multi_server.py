"""Clients that come, are refused, and go; and the path that the server lives at, whatever is found there."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import AddressInUse, EventLoop, LocalSocket, SocketPathError
from ipclib import Limits, MultiServer, PeerDisconnected
from tests.ipclib import clock_service
from tests.ipclib.fake_clock import FakeClock

HERE = Path(__file__).parents[1]
GUARD = 30.0
RESTARTS = int(os.environ.get("CORELIB_ENDURANCE", "20"))
STRANGER = 12345

Serve = Callable[..., Any]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "clock")


@pytest.fixture
def serve(loop: EventLoop, clock: Any, path: str) -> Iterator[Serve]:
    servers: list[MultiServer[Any]] = []

    def serve(where: str = path, **options: Any) -> MultiServer[Any]:
        servers.append(MultiServer(clock_service.handlers(clock), where, **options))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def connect(clock: Any, path: str) -> Callable[[], Any]:
    return lambda: clock.ConnectionToServer.connect(path)


def _gone(loop: EventLoop, *clients: Any) -> None:
    assert loop.spin_until(lambda: not any(client.is_open for client in clients), GUARD)


def test_each_client_has_a_connection_and_a_number(loop: EventLoop, serve: Serve, connect: Any) -> None:
    server = serve()
    introduced: list[Any] = []
    server.on_new_client = introduced.append
    clients = [connect() for _ in range(3)]
    assert [client.add(1, each) for each, client in enumerate(clients)] == [1, 2, 3]
    assert server.clients == introduced
    assert [client.client_id for client in server.clients] == [1, 2, 3]
    clients[1].shutdown()
    assert loop.spin_until(lambda: len(server.clients) == 2, GUARD)
    assert introduced[1].died == 1
    again = connect()
    again.nothing()
    assert [client.client_id for client in server.clients] == [1, 3, 4]
    assert server.refused == 0
    server.close()
    server.close()
    _gone(loop, again, clients[0], clients[2])
    assert server.clients == []


def test_clients_over_max_connections_are_refused_and_counted(
    loop: EventLoop, serve: Serve, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(limits=Limits(max_connections=2))
    served = [connect(), connect()]
    assert [client.add(1, 1) for client in served] == [2, 2]
    turned_away = [connect() for _ in range(20)]
    _gone(loop, *turned_away)
    with pytest.raises(PeerDisconnected):
        turned_away[0].add(1, 1)
    assert (server.refused, len(server.clients)) == (20, 2)
    assert caplog.text.count("refused a client over max_connections (2)") == 1, "once a second at most"
    served[0].shutdown()
    assert loop.spin_until(lambda: len(server.clients) == 1, GUARD)
    next_one = connect()
    assert next_one.add(1, 1) == 2
    for client in (next_one, served[1]):
        client.shutdown()


def test_refusals_are_logged_once_a_second_at_most(
    loop: EventLoop, fake_clock: FakeClock, serve: Serve, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    serve(allowed_uids=[os.geteuid() + 1])
    for seconds in (0.0, 0.5, 0.5):
        fake_clock.advance(seconds)
        _gone(loop, connect())
    assert [record.getMessage() for record in caplog.records] == [
        f"refused a client of uid {os.geteuid()} (1 refused so far)",
        f"refused a client of uid {os.geteuid()} (3 refused so far)",
    ]


def test_another_user_is_refused_before_a_byte_is_handled(
    loop: EventLoop, serve: Serve, connect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(allowed_uids=[os.geteuid() + 1])
    server.on_new_client = lambda client: pytest.fail("it was let in")
    client = connect()
    with pytest.raises(PeerDisconnected):
        client.add(1, 1)
    assert (server.refused, server.clients) == (1, [])
    assert f"refused a client of uid {os.geteuid()}" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_process_of_another_user_is_refused(loop: EventLoop, serve: Serve, path: str) -> None:
    server = serve()
    os.chmod(path, 0o666)
    os.chmod(os.path.dirname(path), 0o755)
    folder = os.open(os.path.dirname(path), os.O_PATH)
    source = (
        "import os, socket, sys; os.fchdir(int(sys.argv[1])); os.setuid(12345); s = socket.socket(1);"
        "s.connect('clock'); s.sendall(b'x' * 100); print(s.recv(1))"
    )
    stranger = subprocess.Popen(
        [sys.executable, "-c", source, str(folder)], pass_fds=[folder], stdout=subprocess.PIPE
    )
    os.close(folder)
    assert loop.spin_until(lambda: server.refused, GUARD)
    output, _ = stranger.communicate(timeout=GUARD)
    assert (output in (b"b''\n", b""), server.clients) == (True, []), "the end, or a reset"


def test_a_hook_that_raises_costs_only_its_client(loop: EventLoop, serve: Serve, connect: Any) -> None:
    failures: list[Exception] = []
    loop.on_exception = lambda error, context: failures.append(error)
    server = serve()

    def refuse(_client: Any) -> None:
        raise LookupError

    server.on_new_client = refuse
    first = connect()
    _gone(loop, first)
    assert [type(error) for error in failures] == [LookupError]
    assert server.clients == []
    server.on_new_client = None
    second = connect()
    assert second.add(1, 1) == 2
    second.shutdown()


def test_a_client_that_disconnects_during_its_constructor_is_not_listed(
    loop: EventLoop, clock: Any, path: str
) -> None:
    class Asking(clock_service.handlers(clock)):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            with contextlib.suppress(PeerDisconnected):
                self.ascend(1)
            made.append(self)

    made: list[Any] = []
    server = MultiServer(Asking, path)
    server.on_new_client = lambda client: pytest.fail("it is gone")
    LocalSocket.connect(path).close()
    assert loop.spin_until(lambda: made, GUARD)
    assert (made[0].died, server.clients) == (1, [])
    server.close()


def test_closing_lets_running_handlers_finish(loop: EventLoop, serve: Serve, connect: Any, path: str) -> None:
    server = serve()
    client = connect()
    answer = client.async_slow(50, 0)
    client.nothing()
    server.close(drain=GUARD)
    assert answer.await_(GUARD) == 50
    _gone(loop, client)
    with pytest.raises(FileNotFoundError):
        LocalSocket.connect(path)


def test_closing_ends_in_time_whatever_runs(loop: EventLoop, serve: Serve, connect: Any) -> None:
    server = serve()
    client = connect()
    never = client.async_held(1)
    client.nothing()
    server.close(drain=0.02)
    with pytest.raises(PeerDisconnected):
        never.await_(GUARD)


def test_a_process_out_of_fds_serves_the_connected_and_lets_others_wait(
    loop: EventLoop, serve: Serve, connect: Any, path: str
) -> None:
    server = serve()
    client = connect()
    client.nothing()
    waiting = [LocalSocket.connect(path) for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
    fillers = []
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        assert [client.add(1, each) for each in range(50)] == list(range(1, 51))
        assert len(server.clients) == 1
    finally:
        for fd in fillers:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert loop.spin_until(lambda: len(server.clients) == 4, GUARD)
    for each in waiting:
        each.close()
    client.shutdown()


# The path


def _session(tmp_path: Path) -> tuple[str, Path]:
    return f"{tmp_path}/session/%sid/portal/clock", tmp_path / "session" / str(os.geteuid())


def _answers(loop: EventLoop, clock: Any, path: str) -> bool:
    client = clock.ConnectionToServer.connect(path)
    answer: int = client.add(20, 22)
    client.shutdown()
    return answer == 42


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("which", [".", "portal"])
def test_a_folder_of_another_user_is_refused(serve: Serve, tmp_path: Path, which: str) -> None:
    path, mine = _session(tmp_path)
    (mine / "portal").mkdir(parents=True)
    for folder in (mine, mine / "portal"):
        folder.chmod(0o700)
    os.chown(mine / which, STRANGER, STRANGER)
    with pytest.raises(SocketPathError, match=f"belongs to user {STRANGER}"):
        serve(path)
    assert os.listdir(mine / "portal") == []


def test_a_session_that_everybody_may_write_is_refused(serve: Serve, tmp_path: Path) -> None:
    path, mine = _session(tmp_path)
    mine.mkdir(parents=True)
    mine.chmod(0o777)
    with pytest.raises(SocketPathError, match="mode 0777"):
        serve(path)
    assert os.listdir(mine) == []


@pytest.mark.parametrize("which", [".", "portal"])
def test_a_folder_that_is_a_link_is_refused(serve: Serve, tmp_path: Path, which: str) -> None:
    path, mine = _session(tmp_path)
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    if which == ".":
        mine.parent.mkdir()
        mine.symlink_to(target)
    else:
        mine.mkdir(parents=True)
        mine.chmod(0o700)
        (mine / "portal").symlink_to(target)
    before = target.stat()
    with pytest.raises(SocketPathError, match="symbolic link"):
        serve(path)
    assert os.listdir(target) == []
    assert target.stat() == before


@pytest.mark.parametrize("suffix", ["", ".lock"])
@pytest.mark.parametrize("target", ["file", "missing", "socket"])
def test_a_link_at_the_path_is_left_alone(
    serve: Serve, path: str, tmp_path: Path, suffix: str, target: str
) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        if target == "socket":
            other.bind(str(tmp_path / target))
        elif target == "file":
            (tmp_path / target).write_text("precious")
        os.symlink(tmp_path / target, path + suffix)
        with pytest.raises(SocketPathError, match=r"in the way|cannot be opened"):
            serve()
        assert os.path.islink(path + suffix)
        assert os.path.exists(tmp_path / target) == (target != "missing")
    if target == "file":
        assert (tmp_path / target).read_text() == "precious"


@pytest.mark.parametrize("suffix", ["", ".lock"])
def test_a_folder_at_the_path_is_left_alone(serve: Serve, path: str, suffix: str) -> None:
    os.mkdir(path + suffix)
    with pytest.raises(SocketPathError, match=r"in the way|cannot be opened"):
        serve()
    assert os.path.isdir(path + suffix)


def test_a_second_name_of_another_file_is_not_taken_for_the_lock(
    serve: Serve, path: str, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("precious")
    os.link(tmp_path / "precious", path + ".lock")
    with pytest.raises(SocketPathError, match="in the way"):
        serve()
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_live_service_is_left_alone(loop: EventLoop, clock: Any, serve: Serve, processes: Any) -> None:
    path, process = processes.clock_service()
    with pytest.raises(AddressInUse, match=f"pid {process.pid}"):
        serve(path)
    assert _answers(loop, clock, path)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_live_service_that_knows_no_lock_is_left_alone(serve: Serve, path: str, kind: int) -> None:
    with socket.socket(socket.AF_UNIX, kind) as foreign:
        foreign.bind(path)
        if kind != socket.SOCK_DGRAM:
            foreign.listen()
        with pytest.raises(AddressInUse, match="served already"):
            serve()
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.connect(path)
    assert not os.path.exists(path + ".lock")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_the_socket_of_a_dead_service_is_replaced(
    loop: EventLoop, clock: Any, serve: Serve, path: str, kind: int
) -> None:
    with socket.socket(socket.AF_UNIX, kind) as foreign:
        foreign.bind(path)
    serve()
    assert _answers(loop, clock, path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("mode", "error"), [(0o600, "whose socket it is cannot be told"), (0o666, "cannot be removed")]
)
def test_the_socket_of_another_user_in_a_shared_folder_is_left_alone(
    serve: Serve, mode: int, error: str
) -> None:
    with tempfile.TemporaryDirectory() as shared, socket.socket(socket.AF_UNIX) as theirs:
        os.chmod(shared, 0o1777)
        path = f"{shared}/clock"
        theirs.bind(path)
        theirs.close()
        os.chmod(path, mode)
        os.seteuid(STRANGER)
        try:
            with pytest.raises(SocketPathError, match=error):
                serve(path)
        finally:
            os.seteuid(0)
        assert os.listdir(shared) == ["clock"]


def test_the_longest_path_is_served_and_a_longer_one_refused(
    loop: EventLoop, clock: Any, serve: Serve, tmp_path: Path
) -> None:
    longest = str(tmp_path / "x").ljust(107, "x")
    serve(longest)
    assert _answers(loop, clock, longest)
    folder = tmp_path / "session"
    for path in (longest + "x", str(folder / "%sid" / "portal").ljust(120, "x")):
        with pytest.raises(SocketPathError, match="107 bytes"):
            serve(path)
    assert not folder.exists(), "no folder is made in vain"


@pytest.mark.slow
def test_a_service_that_is_killed_restarts_on_its_path(loop: EventLoop, clock: Any, path: str) -> None:
    """CORELIB_ENDURANCE=100 for the long form."""
    for _ in range(RESTARTS):
        service = subprocess.Popen(
            [sys.executable, "-m", "tests.ipclib.clock_service", path, HERE / "Clock.ipc"],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent)},
        )
        assert service.stdout is not None
        assert service.stdout.readline() == b"ready\n"
        service.stdout.close()
        assert _answers(loop, clock, path)
        service.send_signal(signal.SIGKILL)
        service.wait()
    assert sorted(os.listdir(os.path.dirname(path))) == ["clock", "clock.lock"]
