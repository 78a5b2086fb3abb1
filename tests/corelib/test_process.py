"""Owns the tests of programs beside the loop: input, output, the end, and what they inherit.
Must not know how the loop learns of an exit.
"""

from __future__ import annotations

import errno
import gc
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from corelib import EventLoop, NoEventLoop, Timer, UsageError
from corelib.process import Process

PIPE = subprocess.PIPE
GUARD = 30  # seconds, against a hang


def run(arguments: list[str], **options: object) -> bytes:
    """The standard output of a program."""
    pieces: list[bytes] = []
    process = Process.spawn(arguments, on_output=pieces.append, **options)  # type: ignore[arg-type]
    assert process.exited.await_(GUARD) == 0
    return b"".join(pieces)


def open_fds() -> int:
    gc.collect()  # What other tests left.
    return len(os.listdir("/proc/self/fd"))


def is_a_child(pid: int) -> bool:
    """Whether the pid is a child of ours, a zombie included."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition without a loop."""
    end = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_process_delivers_its_output_and_then_its_exit(loop: EventLoop) -> None:
    delivered: list[object] = []
    process = Process.spawn(
        ["sh", "-c", "echo out; echo err >&2; exit 3"],
        on_output=delivered.append,
        on_error_output=delivered.append,
        on_exit=delivered.append,
    )
    assert process.is_running
    assert process.exit_code is None
    assert f"<Process {process.pid} of ['sh'" in repr(process)
    assert process.exited.await_(GUARD) == 3
    assert sorted(delivered[:2]) == [b"err\n", b"out\n"]  # type: ignore[type-var]
    assert delivered[2:] == [3]
    assert not process.is_running
    assert process.exit_code == 3
    assert not is_a_child(process.pid)
    loop.spin_until(lambda: False, timeout=0)
    assert len(delivered) == 3, "nothing is delivered twice"


def test_output_without_callbacks_goes_to_our_own(loop: EventLoop, capfd: pytest.CaptureFixture[str]) -> None:
    process = Process.spawn(["sh", "-c", "echo out; echo err >&2"])
    process.exited.await_(GUARD)
    assert capfd.readouterr() == ("out\n", "err\n")


def test_input_larger_than_a_pipe_arrives_whole(loop: EventLoop) -> None:
    pieces: list[bytes] = []
    process = Process.spawn(["cat"], stdin=PIPE, on_output=pieces.append)
    sent = os.urandom(3_000_000)
    process.write(sent[:10])
    process.write(memoryview(sent)[10:])
    process.write(bytearray())
    assert process.unwritten > 2_000_000
    process.close_stdin()
    process.close_stdin()
    with pytest.raises(UsageError, match="close_stdin"):
        process.write(b"late")
    assert process.exited.await_(GUARD) == 0
    assert b"".join(pieces) == sent
    assert process.unwritten == 0


def test_close_stdin_without_pending_input_ends_it_at_once(loop: EventLoop) -> None:
    process = Process.spawn(["cat"], stdin=PIPE)
    process.close_stdin()
    assert process.exited.await_(GUARD) == 0


def test_a_program_may_leave_its_input_unread(loop: EventLoop) -> None:
    go, close = os.pipe()
    process = Process.spawn(
        ["sh", "-c", f"read line </proc/self/fd/{go}; exec 0</dev/null; exec sleep 60"],
        stdin=PIPE,
        inherit_fds=[go],
    )
    process.write(bytes(1_000_000))
    assert process.unwritten > 0
    os.write(close, b"\n")
    os.close(go)
    os.close(close)
    assert loop.spin_until(lambda: process.unwritten == 0, timeout=GUARD), "the queue is dropped"
    with pytest.raises(BrokenPipeError, match="standard input"):
        process.write(b"more")
    process.kill()
    process.exited.await_(GUARD)
    process = Process.spawn(["true"], stdin=PIPE)
    process.exited.await_(GUARD)
    with pytest.raises(BrokenPipeError, match="exited"):
        process.write(b"more")


def test_write_needs_a_pipe(loop: EventLoop) -> None:
    process = Process.spawn(["true"])
    with pytest.raises(UsageError, match=r"stdin=subprocess\.PIPE"):
        process.write(b"x")
    with pytest.raises(UsageError, match=r"stdin=subprocess\.PIPE"):
        process.close_stdin()
    process.exited.await_(GUARD)


def test_stdin_may_be_a_file(loop: EventLoop, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from a file")
    with open(tmp_path / "in", "rb") as file:
        assert run(["cat"], stdin=file) == b"from a file"
    assert run(["cat"], stdin=subprocess.DEVNULL) == b""


def test_a_program_gets_its_environment_and_folder(loop: EventLoop, tmp_path: Path) -> None:
    said = run(["/bin/sh", "-c", "echo $COLOUR; pwd"], env={"COLOUR": "blue"}, cwd=tmp_path)
    assert said.decode() == f"blue\n{tmp_path}\n"


@pytest.mark.parametrize(
    ("ask", "signo"), [(Process.terminate, signal.SIGTERM), (Process.kill, signal.SIGKILL)]
)
def test_a_process_is_ended_by_signals(loop: EventLoop, ask: Callable[[Process], bool], signo: int) -> None:
    process = Process.spawn(["sleep", "60"])
    assert ask(process)
    assert process.exited.await_(GUARD) == -signo
    assert not ask(process), "it has exited: another process with its pid is left alone"
    assert not process.send_signal(signal.SIGCONT)


def test_a_signal_to_a_process_that_has_exited_unseen_reaches_nobody(loop: EventLoop) -> None:
    process = Process.spawn(["true"])
    wait_until(lambda: os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    process.kill()
    assert process.exited.await_(GUARD) == 0


def test_a_program_that_cannot_be_started_raises_with_its_name(loop: EventLoop, tmp_path: Path) -> None:
    before = open_fds()
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        Process.spawn(["no-such-program"], stdin=PIPE, on_output=print)
    (tmp_path / "text").write_text("")
    with pytest.raises(PermissionError, match="text"):
        Process.spawn([str(tmp_path / "text")])
    with pytest.raises(FileNotFoundError, match="no-such-folder"):
        Process.spawn(["true"], cwd=tmp_path / "no-such-folder")
    assert open_fds() == before


def test_bad_arguments_are_refused(loop: EventLoop) -> None:
    for arguments in ("ls -l", b"ls", []):
        with pytest.raises(UsageError, match="list"):
            Process.spawn(arguments)  # type: ignore[arg-type]
    closed = os.dup(0)
    os.close(closed)
    with pytest.raises(UsageError, match=f"fd {closed} cannot be inherited"):
        Process.spawn(["true"], inherit_fds=[closed])


def test_a_process_needs_a_loop() -> None:
    with pytest.raises(NoEventLoop):
        Process.spawn(["true"])


def test_a_process_needs_the_kernel_to_keep_exit_codes(loop: EventLoop) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(UsageError, match="SIGCHLD"):
            Process.spawn(["true"])
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_an_exit_code_that_another_waitpid_took_is_255(
    loop: EventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process.spawn(["true"])
    os.waitpid(process.pid, 0)
    assert process.exited.await_(GUARD) == 255
    assert "another waitpid reaped it" in caplog.text


def test_a_program_gets_its_standard_fds_and_the_inherited_ones_alone(loop: EventLoop) -> None:
    leaky = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leaky, True)
    reader, writer = os.pipe()
    with open("/dev/zero", "rb") as zero:
        said = run(
            [sys.executable, "-ISc", "import os; print(*os.listdir('/proc/self/fd'))"],
            inherit_fds=[writer, zero],
        )
        # The fd that lists the folder is in the list.
        assert {0, 1, 2, writer, zero.fileno()} <= set(map(int, said.split()))
        assert len(said.split()) == 6
    for fd in (leaky, reader, writer):
        os.close(fd)


def test_an_inherited_fd_works_under_its_number(loop: EventLoop) -> None:
    reader, writer = os.pipe()
    process = Process.spawn(["sh", "-c", f"echo hello >/proc/self/fd/{writer}"], inherit_fds=[writer])
    process.exited.await_(GUARD)
    os.close(writer)
    assert os.read(reader, 100) == b"hello\n"
    os.close(reader)


def test_a_program_starts_with_no_signal_ignored_or_blocked(loop: EventLoop) -> None:
    ignored = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        said = run(["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGUSR1, ignored)
    masks = dict(line.split(":\t") for line in said.decode().splitlines())
    assert int(masks["SigBlk"], 16) == 0
    assert int(masks["SigIgn"], 16) == 0


def test_a_grandchild_with_the_pipe_is_not_waited_for(loop: EventLoop) -> None:
    reader, writer = os.pipe()
    delivered: list[object] = []
    # It lives until the other end of its input closes.
    process = Process.spawn(
        ["sh", "-c", f"(cat; echo later) </proc/self/fd/{reader} & echo now"],
        inherit_fds=[reader],
        on_output=delivered.append,
        on_exit=delivered.append,
    )
    assert process.exited.await_(GUARD) == 0
    assert delivered == [b"now\n", 0]
    os.close(reader)
    os.close(writer)
    assert loop.spin_until(lambda: len(delivered) == 3, timeout=GUARD)
    assert delivered[2] == b"later\n"


def test_on_exit_waits_for_the_output_that_is_being_handled(loop: EventLoop) -> None:
    delivered: list[object] = []

    def handle(data: bytes) -> None:
        delivered.append("begins")
        assert loop.spin_until(lambda: not process.is_running, timeout=GUARD)
        delivered.append("ends")

    process = Process.spawn(["echo", "x"], on_output=handle, on_exit=delivered.append)
    assert process.exited.await_(GUARD) == 0
    assert delivered == ["begins", "ends", 0]


def test_exceptions_of_callbacks_are_reported_and_the_rest_is_delivered(
    loop: EventLoop, failures: list[Exception]
) -> None:
    def fail(argument: object) -> None:
        raise LookupError(argument)

    process = Process.spawn(
        ["sh", "-c", "echo x; echo y >&2"], on_output=fail, on_error_output=fail, on_exit=fail
    )
    assert process.exited.await_(GUARD) == 0
    assert sorted(str(failure) for failure in failures) == ["0", repr(b"x\n"), repr(b"y\n")]


def test_a_withdrawn_listener_does_not_cancel_exited_for_others(loop: EventLoop) -> None:
    process = Process.spawn(["cat"], stdin=PIPE)
    with pytest.raises(TimeoutError):
        process.exited.within(0).await_(GUARD)
    process.close_stdin()
    assert process.exited.await_(GUARD) == 0


def test_a_flood_of_output_starves_no_timer(loop: EventLoop) -> None:
    size = 100 << 20
    taken = 0
    ticks_within: list[int] = []

    def count(data: bytes) -> None:
        nonlocal taken
        taken += len(data)

    ticker = Timer.create_repeating(0, lambda: ticks_within.append(taken))
    ticker.start()
    process = Process.spawn(["head", "-c", str(size), "/dev/zero"], on_output=count)
    process.exited.await_(GUARD)
    ticker.stop()
    assert taken == size
    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks_within)]
    assert max(gaps) <= 1 << 20, "a timer that is due waits for a piece or so"


@pytest.mark.slow
def test_two_hundred_processes_may_run_at_once(loop: EventLoop) -> None:
    before = open_fds()
    codes: list[int] = []
    output: list[bytes] = []
    processes = [
        Process.spawn(
            ["sh", "-c", f"cat; exit {n}"], stdin=PIPE, on_output=output.append, on_exit=codes.append
        )
        for n in range(200)
    ]
    for process in processes:
        process.write(b"x")
        process.close_stdin()
    assert loop.spin_until(lambda: len(codes) == 200, timeout=GUARD)
    assert sorted(codes) == list(range(200))
    assert [process.exit_code for process in processes] == list(range(200))
    assert b"".join(output) == b"x" * 200
    assert loop.spin_until(lambda: open_fds() == before, timeout=GUARD)
    assert not any(is_a_child(process.pid) for process in processes)


def test_a_process_without_references_still_calls_on_exit(loop: EventLoop) -> None:
    codes: list[int] = []
    pid = Process.spawn(["true"], on_exit=codes.append).pid
    assert loop.spin_until(lambda: codes, timeout=GUARD)
    assert not is_a_child(pid)


def test_a_closed_loop_leaves_the_process_alone_and_no_zombie() -> None:
    before = open_fds()
    with EventLoop():
        process = Process.spawn(["sh", "-c", "cat; exit 5"], stdin=PIPE, on_output=print)
    wait_until(lambda: not process.is_running)
    assert process.exit_code == 5, "the end of its input ended it"
    assert not is_a_child(process.pid)
    assert open_fds() <= before + 1, "only the pidfd is left, so that it could have been ended"


def test_a_process_of_a_closed_loop_can_be_ended() -> None:
    with EventLoop():
        process = Process.spawn(["sleep", "60"])
    assert process.kill()
    wait_until(lambda: not process.is_running)
    assert process.exit_code == -signal.SIGKILL
    assert not process.kill()


def test_a_forked_child_does_not_get_its_parents_processes(
    loop: EventLoop, forked: Callable[[Callable[[], object]], int]
) -> None:
    before = open_fds()
    process = Process.spawn(["cat"], stdin=PIPE, on_output=lambda data: None)

    def child() -> None:
        assert open_fds() <= before
        assert not process.kill()

    assert forked(child) == 0
    process.close_stdin()
    assert process.exited.await_(GUARD) == 0


def test_a_program_that_cannot_be_watched_is_not_left_behind(
    loop: EventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def fail(pid: int) -> int:
        seen.append(pid)
        raise OSError(errno.EMFILE, "Too many open files")

    before = open_fds()
    monkeypatch.setattr(os, "pidfd_open", fail)
    with pytest.raises(OSError, match="Too many"):
        Process.spawn(["sleep", "60"], stdin=PIPE, on_output=print)
    assert open_fds() == before
    assert not is_a_child(seen[0])


def test_ctrl_c_in_on_exit_leaves_exec_and_nothing_behind(loop: EventLoop) -> None:
    def interrupt(code: int) -> None:
        raise KeyboardInterrupt

    process = Process.spawn(["true"], on_exit=interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.exec()
    assert process.exited.await_(GUARD) == 0


def test_ctrl_c_in_on_output_loses_no_exit(loop: EventLoop) -> None:
    delivered: list[object] = []

    def interrupt(data: bytes) -> None:
        delivered.append(data)
        raise KeyboardInterrupt

    process = Process.spawn(["echo", "x"], on_output=interrupt, on_exit=delivered.append)
    with pytest.raises(KeyboardInterrupt):
        loop.exec()
    assert process.exited.await_(GUARD) == 0
    assert delivered == [b"x\n", 0]
