"""The test interface, an event loop, and services in processes of their own."""

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

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
INTERFACE = HERE / "Clock.ipc"
SERVICE = HERE / "clock_service.py"
REPOSITORY = HERE.parent.parent


@pytest.fixture(scope="session")
def clock() -> Any:
    """Clock.ipc, compiled."""
    return ipcc.load(INTERFACE)


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    with EventLoop() as loop:
        yield loop


class Processes:
    """Services in processes of their own, ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[str]] = []

    def clock_service(self, interface: Path = INTERFACE) -> tuple[str, subprocess.Popen[str]]:
        """Start clock_service.py and wait until it listens: its socket's path, and the process."""
        path = str(self.folder / f"clock{len(self._running)}")
        service = subprocess.Popen(
            [sys.executable, SERVICE, path, interface],
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
