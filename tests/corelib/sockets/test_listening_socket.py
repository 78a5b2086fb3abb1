"""Owns the tests of how a listening socket leaves the file system, however its program ends.
Must not know clients.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from corelib import LocalSocket
from corelib.sockets.listening_socket import ListeningSocket

PROGRAM = """
import os, sys
from corelib import *
def main():
    with EventLoop() as loop:
        server = LocalServer()
        server.listen(sys.argv[1])
        {before}
        print("up", flush=True)
        loop.exec()
main()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "clock")


def start(path: str, before: str = "") -> subprocess.Popen[str]:
    """Start a program that serves and never closes its server."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(before=before), path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.slow
def test_an_uncaught_ctrl_c_removes_the_socket(path: str) -> None:
    process = start(path)
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert os.listdir(os.path.dirname(path)) == []


@pytest.mark.slow
def test_sys_exit_in_a_callback_removes_the_socket(path: str) -> None:
    process = start(path, "loop.deferred_invoke(lambda: sys.exit(3))")
    process.communicate(timeout=30)
    assert process.returncode == 3
    assert os.listdir(os.path.dirname(path)) == []


def test_the_orderly_end_of_the_program_removes_the_socket(path: str) -> None:
    process = start(path, "loop.deferred_invoke(loop.quit); globals().update(keep=server)")
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert os.listdir(os.path.dirname(path)) == []


def test_a_forked_childs_exit_leaves_the_socket(path: str) -> None:
    process = start(path, "pid = os.fork(); pid or sys.exit(0); os.waitpid(pid, 0)")
    LocalSocket.connect(path).close()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert os.listdir(os.path.dirname(path)) == []


def test_the_last_reference_closes_the_socket(path: str) -> None:
    listening = ListeningSocket(path)
    assert str(listening) == repr(path)
    LocalSocket.connect(path).close()
    del listening
    assert os.listdir(os.path.dirname(path)) == []


def test_an_abandoned_socket_stays_in_the_file_system(path: str) -> None:
    listening = ListeningSocket(path)
    listening.abandon()
    listening.abandon()
    listening.close()
    assert listening.fileno() == -1
    assert sorted(os.listdir(os.path.dirname(path))) == ["clock", "clock.lock"]
