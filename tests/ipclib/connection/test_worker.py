"""A worker of one's own: how it is started, and that each ends with the other, however that one ends."""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, UsageError
from ipclib import PeerDisconnected, RemoteError, ServiceUnavailable

HERE = Path(__file__).parents[1]
WORKER = [sys.executable, "-m", "tests.ipclib.clock_worker", str(HERE / "Clock.ipc")]
GUARD = 30.0

Spawn = Callable[..., Any]


@pytest.fixture
def app(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    class App(clock.ConnectionToServer):  # type: ignore[misc]
        died = 0

        def die(self) -> None:
            self.died += 1

    monkeypatch.setenv("PYTHONPATH", str(HERE.parent.parent))
    return App


def _fds() -> set[str]:
    gc.collect()  # What other tests left to it.
    return {fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}


def _exit_code(loop: EventLoop, client: Any) -> int:
    assert loop.spin_until(lambda: not client.server.is_running, GUARD)
    code: int = client.server.exit_code
    return code


def test_a_worker_serves_its_starter(loop: EventLoop, app: Any) -> None:
    client = app.spawn(WORKER)
    assert client.add(2, 40) == 42
    assert (client.peer.pid, client.peer.uid) == (client.server.pid, os.geteuid())
    client.shutdown()
    assert _exit_code(loop, client) == 0, "it saw the end of the stream"
    assert client.died == 1


@pytest.mark.slow
def test_a_service_that_was_found_has_no_process(loop: EventLoop, app: Any, processes: Any) -> None:
    path, _process = processes.clock_service()
    client = app.connect(path)
    assert client.server is None
    client.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("manner", "code", "logged"),
    [("segfault", -signal.SIGSEGV, "was ended by SIGSEGV"), ("exit", 3, "exited with code 3")],
)
def test_a_worker_s_crash_ends_the_connection_and_leaves_nothing(
    loop: EventLoop, app: Any, caplog: pytest.LogCaptureFixture, manner: str, code: int, logged: str
) -> None:
    before = _fds()
    for _ in range(3):
        client = app.spawn(WORKER)
        other = client.async_held(1)
        with pytest.raises(PeerDisconnected):
            client.fail(manner, True)
        with pytest.raises(PeerDisconnected):
            other.await_()
        assert (client.is_open, client.died) == (False, 1)
        assert _exit_code(loop, client) == code
        assert logged in caplog.text
        with pytest.raises(ChildProcessError):
            os.waitpid(client.server.pid, os.WNOHANG)
    assert loop.spin_until(lambda: _fds() == before, GUARD)


def test_messages_that_a_worker_sent_before_its_end_are_handled_first(loop: EventLoop, app: Any) -> None:
    client = app.spawn(WORKER)
    ticks: list[int] = []
    client.tick = ticks.append
    client.async_slow(60_000, 100).when_rejected(lambda error: None)
    client.async_fail("exit", True).when_rejected(lambda error: None)
    assert _exit_code(loop, client) == 3
    assert loop.spin_until(lambda: client.died, GUARD)
    assert ticks == list(range(100))


@pytest.mark.slow
def test_a_child_that_a_worker_leaves_behind_keeps_no_connection_open(
    loop: EventLoop, app: Any, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    os.mkfifo(end)
    client = app.spawn(WORKER)
    with pytest.raises(PeerDisconnected):
        client.fail(f"leave a child until {end}", True)
    assert client.died == 1
    with end.open("w"):  # Blocks until the child opens it, which lives on.
        pass


def test_a_worker_that_hangs_is_killed_after_its_grace(
    loop: EventLoop, app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = app.spawn(WORKER, grace=0.05)
    client.async_fail("hang", True).when_rejected(lambda error: None)
    client.flush()
    client.shutdown()
    assert _exit_code(loop, client) == -signal.SIGKILL
    assert "did not exit in time (grace)" in caplog.text


@pytest.mark.slow
def test_a_worker_that_ends_by_itself_is_not_killed(
    loop: EventLoop, app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = app.spawn(WORKER)
    client.nothing()
    client.shutdown()
    assert _exit_code(loop, client) == 0
    assert caplog.records == []
    assert loop.spin_until(lambda: not loop.snapshot().timers, GUARD)


@pytest.mark.slow
def test_a_worker_ends_with_its_starter(app: Any, tmp_path: Path) -> None:
    source = f"""
import signal
import ipcc
from corelib import EventLoop
loop = EventLoop()
client = ipcc.load({WORKER[-1]!r}).ConnectionToServer.spawn({WORKER!r})
client.nothing()
print(client.server.pid, flush=True)
signal.pause()
"""
    starter = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    worker = os.pidfd_open(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    starter.stdout.close()
    ended, _, _ = select.select([worker], [], [], GUARD)
    os.close(worker)
    assert ended


def test_a_worker_gets_its_socket_and_nothing_else(loop: EventLoop, app: Any, tmp_path: Path) -> None:
    report = tmp_path / "report"
    source = (
        "import os, sys; listed = os.listdir('/proc/self/fd');"
        "fds = [fd for fd in listed if os.path.exists(f'/proc/self/fd/{fd}')];"
        "open(sys.argv[1], 'w').write(' '.join([os.environ['SOCKET_TAKEOVER'], os.environ['MINE'], *fds]))"
    )
    ours = os.dup(0)
    os.set_inheritable(ours, True)
    client = app.spawn([sys.executable, "-c", source, report], env={"MINE": "yes"})
    assert _exit_code(loop, client) == 0
    os.close(ours)
    takeover, mine, *fds = report.read_text().split()
    name, _, fd = takeover.partition(":")
    assert (name, mine) == ("ClockServer", "yes")
    assert sorted(fds, key=int) == ["0", "1", "2", fd]


def test_a_worker_that_takes_nothing_over_is_a_disconnected_peer(loop: EventLoop, app: Any) -> None:
    client = app.spawn(["true"])
    with pytest.raises(PeerDisconnected):
        client.add(1, 2)
    assert _exit_code(loop, client) == 0


def test_a_program_that_cannot_be_started_is_an_unavailable_service(
    loop: EventLoop, app: Any, tmp_path: Path
) -> None:
    before = _fds()
    with pytest.raises(ServiceUnavailable, match="'/nowhere' cannot be started: No such file"):
        app.spawn(["/nowhere"])
    with pytest.raises(ServiceUnavailable, match="cannot be started: Permission denied"):
        app.spawn([str(tmp_path)])
    with pytest.raises(ServiceUnavailable, match="cannot be started in '/nowhere': No such file"):
        app.spawn(["true"], cwd="/nowhere")
    with pytest.raises(UsageError, match="list"):
        app.spawn("true")
    assert _fds() == before


@pytest.mark.slow
def test_a_constructor_that_fails_keeps_no_worker(loop: EventLoop, clock: Any, app: Any) -> None:
    class Broken(app):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            raise LookupError

    before = _fds()
    with pytest.raises(LookupError):
        Broken.spawn(["sleep", "1000"])
    assert loop.spin_until(lambda: _fds() == before, GUARD)


@pytest.mark.slow
def test_a_worker_s_children_inherit_no_take_over(loop: EventLoop, app: Any) -> None:
    client = app.spawn(WORKER)
    with pytest.raises(RemoteError, match=r"\[\]"):
        client.fail("environment", True)
    client.shutdown()
    assert _exit_code(loop, client) == 0
