"""Owns what the tests of ipclib share: their interface, an event loop, and services in other processes.
Must not know what is tested.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ipcc
from corelib import EventLoop
from tests.ipclib.fake_clock import FakeClock

HERE = Path(__file__).parent
INTERFACE = HERE / "Clock.ipc"
REPOSITORY = HERE.parent.parent


@pytest.fixture(scope="session")
def clock() -> Any:
    """Clock.ipc, compiled."""
    return ipcc.load(INTERFACE)


@pytest.fixture
def fake_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def loop(request: pytest.FixtureRequest) -> Iterator[EventLoop]:
    """A loop of the test's thread; on the fake clock if the test takes that too."""
    fake = request.getfixturevalue("fake_clock") if "fake_clock" in request.fixturenames else None
    with EventLoop(clock=fake) as loop:
        yield loop


@pytest.fixture(scope="session")
def app(clock: Any) -> Any:
    """A client class that notes its ticks and goes on climbing."""

    class App(clock.ConnectionToServer):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.ticks: list[int] = []
            self.died = 0

        def tick(self, number: int) -> None:
            self.ticks.append(number)

        def ascend(self, depth: int) -> int:
            levels: int = 1 + self.descend(depth - 1) if depth > 0 else 0
            return levels

        def die(self) -> None:
            self.died += 1

    return App


class Processes:
    """Services in processes of their own, ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[str]] = []

    def clock_service(self, interface: Path = INTERFACE) -> tuple[str, subprocess.Popen[str]]:
        """Start clock_service.py and wait until it listens: its socket's path, and the process."""
        path = str(self.folder / f"clock{len(self._running)}")
        service = subprocess.Popen(
            [sys.executable, "-m", "tests.ipclib.clock_service", path, interface],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        self._running.append(service)
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"
        return path, service

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.end()
