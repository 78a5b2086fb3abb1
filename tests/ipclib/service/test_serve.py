"""serve(), as the main program of real processes: their answers, their end and their exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop, UsageError
from ipclib import MultiServer, PeerDisconnected, serve
from tests.ipclib import clock_service

HERE = Path(__file__).parents[1]
GUARD = 30.0

_PROGRAM = """
import pathlib, sys
import ipcc
from corelib import EventLoop
from ipclib import serve
from tests.ipclib import clock_service

class Clock(clock_service.handlers(ipcc.load(sys.argv[2]))):
    def release(self, value):
        if value == 7:
            EventLoop.current().quit(7)
        else:
            super().release(value)

code = serve(Clock, pathlib.Path(sys.argv[1]), drain=float(sys.argv[3]))
print("ended", flush=True)
sys.exit(code)
"""

Start = Callable[..., tuple[subprocess.Popen[str], Any]]


@pytest.fixture
def start(loop: EventLoop, app: Any, tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def start(drain: float = 30.0) -> tuple[subprocess.Popen[str], Any]:
        path = tmp_path / "clock"
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, path, str(HERE / "Clock.ipc"), str(drain)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
            )
        )
        return running[-1], app.connect(path, patience=GUARD)

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(("signo", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_after_its_handlers_have_answered(
    loop: EventLoop, start: Start, signo: int, code: int, tmp_path: Path
) -> None:
    process, client = start()
    held = client.async_held(1)
    client.nothing()
    process.send_signal(signo)
    assert loop.spin_until(lambda: not (tmp_path / "clock").exists(), GUARD)
    client.async_release(1)
    assert held.await_(GUARD) == 1
    output, _ = process.communicate(timeout=GUARD)
    assert (process.returncode, output) == (code, "ended\n")
    assert os.listdir(tmp_path) == []
    client.shutdown()


@pytest.mark.slow
def test_a_handler_that_does_not_finish_is_left_in_time(loop: EventLoop, start: Start) -> None:
    process, client = start(drain=0.05)
    held = client.async_held(1)
    client.nothing()
    process.send_signal(signal.SIGTERM)
    with pytest.raises(PeerDisconnected):
        held.await_(GUARD)
    assert process.wait(GUARD) == 0
    client.shutdown()


@pytest.mark.slow
def test_a_second_ctrl_c_ends_the_draining(loop: EventLoop, start: Start, tmp_path: Path) -> None:
    process, client = start()
    client.async_held(1).when_rejected(lambda error: None)
    client.nothing()
    process.send_signal(signal.SIGINT)
    assert loop.spin_until(lambda: not (tmp_path / "clock").exists(), GUARD)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=GUARD)
    assert (process.returncode, output) == (130, "ended\n")
    client.shutdown()


@pytest.mark.slow
def test_a_handler_may_end_it_with_a_code(loop: EventLoop, start: Start) -> None:
    process, client = start()
    client.async_release(7)
    assert process.wait(GUARD) == 7
    client.shutdown()


def test_what_cannot_be_served_leaves_no_signal_handlers(clock: Any, tmp_path: Path) -> None:
    before = [signal.getsignal(signo) for signo in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(UsageError, match="client's end"):
        serve(clock.ConnectionToServer, tmp_path / "clock")
    with pytest.raises(ValueError, match="drain"):
        serve(clock_service.handlers(clock), tmp_path / "clock", drain=-1)
    with EventLoop():
        other: MultiServer[Any] = MultiServer(clock_service.handlers(clock), tmp_path / "clock")
        with pytest.raises(OSError, match=r"pid|in use"):
            serve(clock_service.handlers(clock), tmp_path / "clock")
        other.close()
    assert [signal.getsignal(signo) for signo in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_is_told_that_signals_come_to_the_main_one(clock: Any, tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            serve(clock_service.handlers(clock), tmp_path / "clock")
        except UsageError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])
    assert os.listdir(tmp_path) == []
