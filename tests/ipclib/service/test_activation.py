"""Sockets that a process is started with: by systemd, by SystemServer; and each mistake by its name."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, LocalSocket
from ipclib import MultiServer, NothingToTakeOver, TakeoverError, take_over_accepted_client
from ipclib.service import activation
from tests.ipclib import clock_service

HERE = Path(__file__).parents[1]
REPOSITORY = HERE.parent.parent
GUARD = 30.0


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("SOCKET_TAKEOVER", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)
    yield
    activation._untaken.clear()  # What a failed take-over left is this process's for good; tests share it.


class Starter:
    """What starts a process with sockets, as far as the process can tell."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._given: dict[int, int] = {}
        self.path = str(folder / "clock")
        self.here, self.there = socket.socketpair()
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(self.path)
        self.listening.listen()

    def system_server(self, **sockets: socket.socket | int) -> None:
        """SOCKET_TAKEOVER with duplicates of these."""
        told = " ".join(f"{name}:{self._inherited(each)}" for name, each in sockets.items())
        self._monkeypatch.setenv("SOCKET_TAKEOVER", told)

    def systemd(self, each: socket.socket | int, names: str | None = None, pid: int | None = None) -> None:
        """LISTEN_FDS with a duplicate of this, as if it were fd 3."""
        # Fd 3 is in use in this process.
        self._monkeypatch.setattr(activation, "_FIRST_LISTEN_FD", self._inherited(each))
        self._monkeypatch.setenv("LISTEN_PID", str(os.getpid() if pid is None else pid))
        self._monkeypatch.setenv("LISTEN_FDS", "1")
        if names is not None:
            self._monkeypatch.setenv("LISTEN_FDNAMES", names)

    def _inherited(self, each: socket.socket | int) -> int:
        fd = os.dup(each if isinstance(each, int) else each.fileno())
        os.set_inheritable(fd, True)
        self._given[fd] = os.fstat(fd).st_ino
        return fd

    @property
    def inherited(self) -> list[int]:
        """The descriptors that the process was started with."""
        return list(self._given)

    def close(self) -> None:
        for each in (self.here, self.there, self.listening):
            each.close()
        for fd, inode in self._given.items():
            with contextlib.suppress(OSError):
                if os.fstat(fd).st_ino == inode:  # Nobody took it over.
                    os.close(fd)


@pytest.fixture
def starter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(monkeypatch, tmp_path)
    yield starter
    starter.close()


@pytest.fixture
def handlers(clock: Any) -> Any:
    return clock_service.handlers(clock)


def _told() -> set[str]:
    return {name for name in os.environ if name.startswith(("LISTEN_", "SOCKET_"))}


@pytest.mark.parametrize("way", ["system_server", "systemd"])
def test_an_accepted_client_is_served(
    loop: EventLoop, starter: Starter, clock: Any, handlers: Any, way: str
) -> None:
    if way == "systemd":
        starter.systemd(starter.there, "connection")
    else:
        starter.system_server(connection=starter.there)
    service = take_over_accepted_client(handlers)
    assert _told() == set()
    (fd,) = starter.inherited
    assert not os.get_inheritable(fd), "our own children do not get it"
    client = clock.ConnectionToServer(LocalSocket.adopt(starter.here.dup()))
    assert client.add(2, 3) == 5
    client.shutdown()
    starter.here.close()
    starter.there.close()
    assert loop.exec() == 0, "the loop ends with the client"
    assert service.died == 1


@pytest.mark.parametrize("way", ["system_server", "systemd"])
def test_a_listening_socket_is_served_and_left_where_it_is(
    loop: EventLoop, starter: Starter, clock: Any, handlers: Any, way: str
) -> None:
    if way == "systemd":
        starter.systemd(starter.listening)
    else:
        starter.system_server(clock=starter.listening)
    server: MultiServer[Any] = MultiServer.take_over(handlers)
    assert _told() == set()
    client = clock.ConnectionToServer.connect(starter.path)
    assert client.add(2, 3) == 5
    client.shutdown()
    server.close()
    assert os.listdir(os.path.dirname(starter.path)) == ["clock"]
    waiting = LocalSocket.connect(starter.path)  # Its maker still listens.
    waiting.close()


def test_one_of_several_sockets_is_taken_over_by_its_name(
    loop: EventLoop, starter: Starter, handlers: Any
) -> None:
    starter.system_server(first=starter.there, second=starter.listening)
    with pytest.raises(TakeoverError, match=r"several sockets.*'first' \(fd \d+.*'second'"):
        take_over_accepted_client(handlers)
    with pytest.raises(TakeoverError, match=r"no socket 'third'.*'first'"):
        take_over_accepted_client(handlers, "third")
    client = take_over_accepted_client(handlers, "first")
    MultiServer.take_over(handlers, "second").close()
    with pytest.raises(NothingToTakeOver):
        take_over_accepted_client(handlers)
    client.shutdown()


def test_a_socket_has_the_name_that_systemd_gave_it(loop: EventLoop, starter: Starter, handlers: Any) -> None:
    starter.systemd(starter.listening, "clock:beyond")
    with pytest.raises(TakeoverError, match="no socket 'beyond'"):
        MultiServer.take_over(handlers, "beyond")
    MultiServer.take_over(handlers, "clock").close()


def test_a_process_that_was_started_by_hand_has_nothing_to_take_over(loop: EventLoop, handlers: Any) -> None:
    for take in (take_over_accepted_client, MultiServer.take_over):
        with pytest.raises(NothingToTakeOver, match="without a socket"):
            take(handlers)


def test_the_sockets_of_another_process_are_refused(loop: EventLoop, starter: Starter, handlers: Any) -> None:
    starter.systemd(starter.there, pid=os.getppid())
    with pytest.raises(TakeoverError, match=rf"for process '{os.getppid()}'.*this is {os.getpid()}"):
        take_over_accepted_client(handlers)
    assert _told() == {"LISTEN_PID", "LISTEN_FDS"}, "which are none of our business"
    starter.system_server(ours=starter.there)
    take_over_accepted_client(handlers).shutdown()


def test_a_listening_socket_is_refused_where_a_client_is_wanted(
    loop: EventLoop, starter: Starter, handlers: Any
) -> None:
    starter.system_server(clock=starter.listening)
    with pytest.raises(TakeoverError, match="it is no client's"):
        take_over_accepted_client(handlers)
    MultiServer.take_over(handlers).close()


def test_a_client_is_refused_where_a_listening_socket_is_wanted(
    loop: EventLoop, starter: Starter, handlers: Any
) -> None:
    starter.system_server(clock=starter.there)
    with pytest.raises(TakeoverError, match="does not listen"):
        MultiServer.take_over(handlers)
    take_over_accepted_client(handlers).shutdown()


def test_a_file_that_is_not_a_socket_is_refused(loop: EventLoop, starter: Starter, handlers: Any) -> None:
    with open(os.devnull) as file:
        starter.system_server(clock=file.fileno())
        with pytest.raises(TakeoverError, match=r"'clock' \(fd \d+, from SOCKET_TAKEOVER\) is not a socket"):
            take_over_accepted_client(handlers)


@pytest.mark.parametrize(
    ("family", "kind"), [(socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_SEQPACKET)]
)
def test_a_socket_of_another_kind_is_refused(
    loop: EventLoop, starter: Starter, handlers: Any, family: int, kind: int
) -> None:
    with socket.socket(family, kind) as other:
        starter.system_server(clock=other)
        for take in (take_over_accepted_client, MultiServer.take_over):
            with pytest.raises(TakeoverError, match="not a Unix stream socket"):
                take(handlers)


def test_a_socket_without_a_peer_is_refused(loop: EventLoop, starter: Starter, handlers: Any) -> None:
    with socket.socket(socket.AF_UNIX) as lonely:
        starter.system_server(clock=lonely)
        with pytest.raises(TakeoverError, match="connected to no client"):
            take_over_accepted_client(handlers)


def test_a_client_that_has_gone_already_ends_the_loop(
    loop: EventLoop, starter: Starter, handlers: Any
) -> None:
    starter.system_server(clock=starter.there)
    starter.here.close()
    service = take_over_accepted_client(handlers)
    assert loop.exec() == 0
    assert service.died == 1


def test_a_socket_that_was_closed_on_the_way_is_refused(
    loop: EventLoop, starter: Starter, handlers: Any
) -> None:
    starter.system_server(clock=starter.there)
    os.close(int(os.environ["SOCKET_TAKEOVER"].partition(":")[2]))
    for _ in range(2):
        with pytest.raises(TakeoverError, match="is not open"):
            take_over_accepted_client(handlers)


@pytest.mark.parametrize("told", ["clock", "clock:", "clock:+3", "clock:three", "clock:-1", "c:99999999999"])
def test_a_take_over_that_cannot_be_read_is_refused(
    loop: EventLoop, handlers: Any, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("SOCKET_TAKEOVER", told)
    with pytest.raises(TakeoverError, match=r"\$SOCKET_TAKEOVER must be NAME:FD"):
        take_over_accepted_client(handlers)


@pytest.mark.parametrize("count", ["", "many", "-1", "99999999999"])
def test_a_count_of_sockets_that_cannot_be_read_is_refused(
    loop: EventLoop, starter: Starter, handlers: Any, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    starter.systemd(starter.there)
    monkeypatch.setenv("LISTEN_FDS", count)
    with pytest.raises(TakeoverError, match=r"\$LISTEN_FDS must be the number of sockets"):
        take_over_accepted_client(handlers)


def test_a_count_of_sockets_costs_no_more_than_the_sockets_that_there_are(
    loop: EventLoop, starter: Starter, handlers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter.systemd(starter.there)
    fd = starter.inherited[0]
    monkeypatch.setenv("LISTEN_FDS", "9999999")
    tracemalloc.start()
    try:
        with pytest.raises(TakeoverError, match=r"'unknown' \(fd \d+, from LISTEN_FDS\) is not open"):
            take_over_accepted_client(handlers)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert os.fstat(fd), "no socket is lost"


def test_a_client_of_another_user_is_not_served(loop: EventLoop, starter: Starter, handlers: Any) -> None:
    starter.system_server(clock=starter.there)
    with pytest.raises(TakeoverError, match="allowed_uids"):
        take_over_accepted_client(handlers, allowed_uids=[os.geteuid() + 1])
    starter.there.close()
    assert starter.here.recv(1) == b"", "it was let go"


# exec() gives the program the sockets from fd 3 on, and a pid that was known before.
_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="clock")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def _start(passed: socket.socket, *program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SYSTEMD, str(passed.fileno()), *program],
        pass_fds=[passed.fileno()],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def test_a_real_process_takes_over_its_client(loop: EventLoop, starter: Starter, clock: Any) -> None:
    service = _start(starter.there, "-m", "tests.ipclib.clock_worker", str(HERE / "Clock.ipc"))
    starter.there.close()
    client = clock.ConnectionToServer(LocalSocket.adopt(starter.here))
    assert client.add(2, 3) == 5
    client.shutdown()
    assert service.wait(GUARD) == 0


@pytest.mark.slow
def test_a_real_process_is_activated_and_activated_again(
    loop: EventLoop, starter: Starter, clock: Any
) -> None:
    source = f"""
import ipcc
from corelib import EventLoop
from ipclib import MultiServer
from tests.ipclib import clock_service
loop = EventLoop()
server = MultiServer.take_over(clock_service.handlers(ipcc.load({str(HERE / "Clock.ipc")!r})), "clock")
server.on_new_client = lambda client: setattr(client, "release", loop.quit)
loop.exec()
server.close()
"""
    for _ in range(3):
        client = clock.ConnectionToServer.connect(starter.path)  # Before anybody accepts.
        service = _start(starter.listening, "-c", source)
        assert client.add(2, 3) == 5
        client.async_release(0)
        assert service.wait(GUARD) == 0
        client.shutdown()
