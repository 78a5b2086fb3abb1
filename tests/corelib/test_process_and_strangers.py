"""Owns the tests of programs that others touch: reaped by somebody else, run under nohup, fed with any bytes.
Must not know how the loop learns of an exit.
"""

from __future__ import annotations

import array
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from corelib import AnonymousBuffer, EventLoop, LocalServer, LocalSocket, Process, UsageError
from corelib.turn import forked as registry

GUARD = 30  # seconds, against a hang


class ReapedBeforeWeLook(subprocess.Popen[bytes]):
    """A program that another part of ours waits for: it is gone before Process sees it."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[call-overload]
        os.waitpid(self.pid, 0)


@pytest.fixture
def reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", ReapedBeforeWeLook)


def test_a_program_that_was_reaped_before_we_looked_exits_with_255(
    loop: EventLoop, reaped: None, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[object] = []
    process = Process.spawn(
        ["sh", "-c", "echo out; echo err >&2"],
        stdin=subprocess.PIPE,
        on_output=told.append,
        on_error_output=told.append,
        on_exit=told.append,
    )
    assert process.is_running, "its end is seen in a turn, as always"
    assert told == []
    assert not process.kill()
    assert process.exited.await_(GUARD) == 255
    assert sorted(told[:2], key=str) == [b"err\n", b"out\n"]
    assert told[2:] == [255]
    assert process.exit_code == 255
    assert caplog.text.count("another waitpid reaped it") == 1
    with pytest.raises(BrokenPipeError):
        process.write(b"x")


def test_a_pid_that_is_a_strangers_by_now_is_left_alone(
    loop: EventLoop, reaped: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = os.pidfd_open(os.getppid())
    monkeypatch.setattr(os, "pidfd_open", lambda pid: os.dup(stranger))
    process = Process.spawn(["true"])
    assert not process.send_signal(0)
    assert process.exited.await_(GUARD) == 255
    os.close(stranger)


def test_of_many_programs_that_are_reaped_at_any_moment_each_reports_its_exit(loop: EventLoop) -> None:
    stop = threading.Event()

    def reap_all() -> None:
        while not stop.is_set():
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                time.sleep(0.0005)

    reaper = threading.Thread(target=reap_all)
    reaper.start()
    codes: list[int] = []
    for _ in range(30):
        Process.spawn(["true"], on_exit=codes.append)
    assert loop.spin_until(lambda: len(codes) == 30, timeout=GUARD)
    stop.set()
    reaper.join()
    assert set(codes) <= {0, 255}


def test_an_exit_code_that_is_taken_after_the_loop_was_closed_is_255(monkeypatch: pytest.MonkeyPatch) -> None:
    waitid = os.waitid

    def be_late(kind: int, pidfd: int, options: int) -> object:
        result = waitid(kind, pidfd, options)
        if not options & os.WNOHANG:
            raise ChildProcessError  # What the reaper would get if somebody else had been faster.
        return result

    monkeypatch.setattr(os, "waitid", be_late)
    with EventLoop():
        process = Process.spawn(["sleep", "60"])
    assert process.kill()
    end = time.monotonic() + GUARD
    while process.is_running:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert process.exit_code == 255


@contextmanager
def nohup() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def usual() -> Iterator[None]:
    yield


@pytest.mark.parametrize("signals", [usual, nohup, blocked])
def test_fds_of_ours_are_inherited_whatever_the_signals(
    loop: EventLoop, tmp_path: Path, signals: Callable[[], AbstractContextManager[None]]
) -> None:
    """A forked child closes these; a program that is spawned is to get them."""
    inherited = socket.socket(socket.AF_UNIX)
    inherited.bind(str(tmp_path / "inherited"))
    inherited.listen()
    taken_over = LocalServer(print)
    fds = [inherited.fileno()]
    taken_over.take_over(inherited)
    one, other = LocalSocket.pair()
    with AnonymousBuffer.create(10) as buffer, signals():
        fds += [one.fileno(), buffer.fd]
        program = f"import os, sys; [os.fstat(fd) for fd in {fds}]; sys.exit(7)"
        process = Process.spawn([sys.executable, "-ISc", program], inherit_fds=fds, stdin=one)
        assert process.exited.await_(GUARD) == 7
        assert loop.pump(timeout=0) == 0, "and the parent's loop goes on"
    for each in (taken_over, one, other):
        each.close()


def test_a_child_that_another_thread_forks_meanwhile_still_forgets(
    loop: EventLoop, forked: Callable[[Callable[[], object]], int]
) -> None:
    codes: list[int] = []

    def child() -> None:
        with pytest.raises(UsageError):
            loop.pump(timeout=0)

    with registry.child_will_exec():
        thread = threading.Thread(target=lambda: codes.append(forked(child)))
        thread.start()
        thread.join()
    assert codes == [0]
    assert forked(child) == 0, "and so do later children of this thread"


@pytest.mark.parametrize("code", "bhiqd")
def test_bytes_are_counted_as_bytes_whatever_the_items(loop: EventLoop, code: str) -> None:
    got = bytearray()
    process = Process.spawn(["cat"], stdin=subprocess.PIPE, on_output=got.extend)
    numbers = array.array(code, range(100))
    sent = bytearray()
    for data in (
        memoryview(numbers),
        memoryview(numbers.tobytes()).cast("B", (4, 25 * numbers.itemsize)),
        memoryview(b""),
        bytearray(200_000),
        memoryview(numbers),
    ):
        process.write(data)
        sent += data.tobytes() if isinstance(data, memoryview) else data
    process.close_stdin()
    assert process.exited.await_(GUARD) == 0
    assert process.unwritten == 0
    assert got == sent


@pytest.mark.parametrize("data", ["text", 5, [1, 2], None, memoryview(b"abcd")[::2]])
def test_what_is_not_bytes_is_refused_and_nothing_is_written(loop: EventLoop, data: bytes) -> None:
    got = bytearray()
    process = Process.spawn(["cat"], stdin=subprocess.PIPE, on_output=got.extend)
    with pytest.raises((TypeError, BufferError)):
        process.write(data)
    process.write(b"good")
    process.close_stdin()
    assert process.exited.await_(GUARD) == 0
    assert got == b"good"


def test_paths_may_be_path_objects_everywhere(loop: EventLoop, tmp_path: Path) -> None:
    got = bytearray()
    (tmp_path / "file").write_text("content")
    process = Process.spawn([Path("/bin/cat"), Path("file")], cwd=tmp_path, on_output=got.extend)
    assert process.exited.await_(GUARD) == 0
    assert got == b"content"
    with pytest.raises(UsageError, match="are a list"):
        Process.spawn(Path("/bin/true"))  # type: ignore[arg-type]


def test_the_repr_of_a_process_tells_its_state_and_is_short(loop: EventLoop) -> None:
    process = Process.spawn(["sh", "-c", "exec cat", "x" * 10_000], stdin=subprocess.PIPE)
    assert repr(process).endswith("running>")
    assert len(repr(process)) < 200
    process.close_stdin()
    process.exited.await_(GUARD)
    assert repr(process).endswith("exited with 0>")
    ended = [Process.spawn(["cat"], stdin=subprocess.PIPE) for _ in range(2)]
    for each, signo, name in zip(ended, (signal.SIGKILL, 40), ("SIGKILL", "signal 40"), strict=True):
        each.send_signal(signo)
        each.exited.await_(GUARD)
        assert repr(each) == f"<Process {each.pid} of ['cat'], ended by {name}>"


def test_a_closed_file_cannot_be_inherited(loop: EventLoop, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file:
        pass
    with pytest.raises(UsageError, match="cannot be inherited"):
        Process.spawn(["true"], inherit_fds=[file])
    for number in (-1, 1 << 40):
        with pytest.raises(UsageError, match=f"fd {number} cannot be inherited"):
            Process.spawn(["true"], inherit_fds=[number])
