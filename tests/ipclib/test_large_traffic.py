"""Much at once between two processes: large values beside other clients, and many files."""

from __future__ import annotations

import gc
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from corelib import EventLoop
from ipclib import (
    File,
    RemoteError,
)

INTERFACE = Path(__file__).parent / "Clock.ipc"

INTERFACE = Path(__file__).parent / "Clock.ipc"


@pytest.fixture
def service(loop: EventLoop, processes: Any, app: Any) -> tuple[Any, subprocess.Popen[str]]:
    """A connected client, and the process that serves it."""
    path, process = processes.clock_service()
    return app.connect(path), process


@pytest.mark.slow
@pytest.mark.parametrize("size", [1 << 20, 40 << 20])
def test_large_byte_strings_pass_beside_fifty_other_clients(
    service: Any, app: Any, processes: Any, size: int
) -> None:
    client, _process = service
    path = str(processes.folder / "clock0")
    others = [app.connect(path) for _ in range(50)]
    answers = [0] * len(others)

    def ask(which: int) -> None:
        def answered(_sum: int) -> None:
            answers[which] += 1
            ask(which)

        others[which].async_add(which, which).when_resolved(answered).when_rejected(lambda _error: None)

    for which in range(len(others)):
        ask(which)
    data = os.urandom(1 << 20) * (size >> 20)
    assert client.echo_bytes(data) == data
    assert min(answers) >= 1
    for other in others:
        other.shutdown()


def _open_fds(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _fds_of_both(process: subprocess.Popen[str]) -> tuple[int, int]:
    gc.collect()
    return _open_fds(os.getpid()), _open_fds(process.pid)


def _memfd(content: bytes) -> File:
    fd = os.memfd_create("content")
    os.write(fd, content)
    return File(fd)


@pytest.mark.slow
def test_files_arrive_in_order_and_none_is_left_over(service: Any) -> None:
    client, process = service
    assert client.take_files([_memfd(b"one")], False) == [b"one"]
    before = _fds_of_both(process)
    for number in range(1000):
        contents = [b"%d %d" % (number, place) for place in range(3)]
        files = [_memfd(content) for content in contents]
        if number % 3 == 1:
            with pytest.raises(RemoteError, match="as asked"):
                client.take_files(files, True)
        else:
            assert client.take_files(files, False) == contents
    with client.give_file(b"given") as file:
        assert os.pread(file.fileno(), 10, 0) == b"given"
    assert _fds_of_both(process) == before


def test_files_of_clients_that_vanish_are_closed(
    loop: EventLoop, service: Any, app: Any, processes: Any
) -> None:
    client, process = service
    client.nothing()
    before = _fds_of_both(process)
    for number in range(50):
        vanishing = app.connect(str(processes.folder / "clock0"))
        vanishing.async_take_files([_memfd(b"x"), _memfd(b"y")], bool(number % 2)).when_rejected(
            lambda _error: None
        )
        vanishing.shutdown()
    while _open_fds(process.pid) > before[1]:
        client.nothing()
    assert _fds_of_both(process) == before
