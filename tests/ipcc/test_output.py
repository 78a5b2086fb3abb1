"""Owns the tests of how ipcc reads and writes as a command of Unix: pipes, devices, links, many at once.

Must not know what a module says.
"""

from __future__ import annotations

import errno
import os
import shlex
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import ipcc
from ipcc.cli import main
from ipcc.compiler import compile_files
from ipcc.output import write_whole

ROOT = Path(__file__).parent.parent.parent
CLOCK = Path(__file__).parent / "GoldenClock.ipc"
TEXT = compile_files([str(CLOCK)])


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a script in a folder that has Clock.ipc, with `ipcc` as a command."""
    (folder / "Clock.ipc").write_bytes(CLOCK.read_bytes())
    command = f'ipcc() {{ {shlex.quote(sys.executable)} -m ipcc "$@"; }}\n{script}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, check=False
    )


# --- where a module goes ---


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "ipcc Clock.ipc -o /dev/stdout | cat > seen",
        "ipcc Clock.ipc -o /dev/stdout > seen",
        "ipcc Clock.ipc -o /dev/fd/3 3> seen",
        "ipcc Clock.ipc -o /dev/fd/3 3>&1 | cat > seen",
        "ipcc Clock.ipc -o /proc/self/fd/1 | cat > seen",
        "ln -s /dev/stdout link; ipcc Clock.ipc -o link | cat > seen",
        "ln -s /dev/fd/3 link; ipcc Clock.ipc -o link 3> seen",
        "ipcc Clock.ipc -o >(cat > part; mv part seen); while [ ! -e seen ]; do :; done",
        "mkfifo fifo; cat fifo > seen & ipcc Clock.ipc -o fifo; wait",
        "ipcc Clock.ipc > seen",
        "cat Clock.ipc | ipcc /dev/stdin -o seen",
        "ipcc <(cat Clock.ipc) -o seen",
        "ipcc /dev/stdin < Clock.ipc > seen",
    ],
)
def test_a_module_goes_wherever_a_shell_sends_it(script: str, tmp_path: Path) -> None:
    done = shell(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    body = (tmp_path / "seen").read_text().partition("# ruff")[2]
    assert body == TEXT.partition("# ruff")[2]
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_a_module_is_added_to_what_standard_output_holds(tmp_path: Path) -> None:
    shell("echo first > seen; ipcc Clock.ipc -o /dev/stdout >> seen; echo last >> seen", tmp_path)
    lines = (tmp_path / "seen").read_text().split("\n")
    assert (lines[0], lines[-2]) == ("first", "last")
    assert len(lines) > 100


def test_a_socket_as_standard_output_gets_the_module() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-m", "ipcc", str(CLOCK), "-o", "/dev/stdout"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs)
        theirs.close()
        with ours.makefile("rb") as stream:
            assert stream.read().decode() == TEXT
        assert process.wait() == 0


def test_a_reader_of_an_output_that_leaves_early_causes_no_message(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "ipcc", str(CLOCK), "-o", f"/dev/fd/{writer}"]
        done = subprocess.run(command, cwd=ROOT, pass_fds=[writer], capture_output=True, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "code", "error"),
    [
        ("ipcc Clock.ipc > /dev/full", 2, b"cannot write standard output: No space left on device"),
        ("ipcc Clock.ipc -o /dev/full", 2, b"cannot write '/dev/full': No space left on device"),
        ("ipcc Clock.ipc >&-", 2, b"standard output is closed"),
        ("ipcc Clock.ipc -o /dev/fd/9", 2, b"cannot write '/dev/fd/9': Bad file descriptor"),
        ("ipcc Clock.ipc -o /dev/stdin < Clock.ipc", 2, b"'/dev/stdin' is a source"),
        ("ln -s b a; ln -s a b; ipcc Clock.ipc -o a", 2, b"Too many levels of symbolic links"),
        ("mkdir d; ipcc Clock.ipc -o d", 2, b"Is a directory"),
        ("ipcc Clock.ipc -o no/such/folder", 2, b"No such file or directory"),
        ("ipcc Clock.ipc -o ''", 2, b"No such file or directory"),
        ("ipcc Missing.ipc 2>&-", 1, b""),
        ("ipcc --nonsense 2>&- >&-", 2, b""),
    ],
)
def test_an_output_that_fails_is_named_in_one_line(
    tmp_path: Path, script: str, code: int, error: bytes
) -> None:
    done = shell(script, tmp_path)
    assert done.returncode == code
    assert error in done.stderr
    assert done.stderr.count(b"\n") == bool(error)
    assert done.stdout == b""
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_a_chain_of_links_is_followed_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "far"
    folder.mkdir()
    (tmp_path / "one").symlink_to("far/two")
    (folder / "two").symlink_to(folder / "three")
    write_whole(str(tmp_path / "one"), "x")
    assert (folder / "three").read_text() == "x"
    assert (tmp_path / "one").is_symlink()
    assert (folder / "two").is_symlink()


# --- names at the system's limits ---


def test_a_name_of_255_bytes_can_be_written_and_written_again(tmp_path: Path) -> None:
    for name in ("n" * 252 + ".py", "\u00fc" * 126 + ".py"):
        path = tmp_path / name
        for text in ("first", "second"):
            write_whole(str(path), text)
            assert path.read_text() == text
    with pytest.raises(OSError, match="too long") as caught:
        write_whole(str(tmp_path / ("n" * 256)), "x")
    assert caught.value.errno == errno.ENAMETOOLONG
    assert len(os.listdir(tmp_path)) == 2


def test_a_path_of_4095_bytes_can_be_written(tmp_path: Path) -> None:
    folder = str(tmp_path)
    while len(folder) < 4095 - 250:
        folder += "/" + "d" * min(200, 4095 - 3 - len(folder) - 1)
    folder += "/" + "d" * (4095 - 3 - len(folder))
    os.makedirs(folder)
    path = f"{folder}/a"
    assert len(path) == 4095
    for text in ("first", "second"):
        write_whole(path, text)
        with open(path) as file:
            assert file.read() == text
    assert os.listdir(folder) == ["a"]


@pytest.mark.slow
def test_a_relative_path_is_written_however_deep_the_current_folder_is(tmp_path: Path) -> None:
    deep = "n=$(printf 'd%.0s' $(seq 200)); for i in $(seq 25); do mkdir $n; cd -P $n; done"
    done = shell(f"top=$PWD; {deep}; ipcc $top/Clock.ipc -o a.py; wc -c < a.py", tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert int(done.stdout) > 1000


# --- many at once ---


def test_many_threads_write_one_output(tmp_path: Path) -> None:
    path = str(tmp_path / "out.py")
    failures: list[Exception] = []
    gate = threading.Barrier(8)

    def write(text: str) -> None:
        gate.wait()
        try:
            for _ in range(20):
                write_whole(path, text)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(str(n) * 50_000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert os.listdir(tmp_path) == ["out.py"]
    assert len(set((tmp_path / "out.py").read_text())) == 1


@pytest.mark.slow
def test_many_processes_write_one_output(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ipcc", str(CLOCK), "-o", str(tmp_path / "out.py")]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(8)]
    assert [process.wait() for process in running] == [0] * 8
    assert os.listdir(tmp_path) == ["out.py"]
    assert (tmp_path / "out.py").read_text() == TEXT


def test_what_another_run_left_behind_is_in_nobody_s_way(tmp_path: Path) -> None:
    out = tmp_path / "out.py"
    (tmp_path / f"out.py.{os.getpid()}.tmp").write_text("left by a run that was killed")
    ipcc.compile_file(CLOCK, out)
    assert out.read_text() == TEXT


def test_a_new_output_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(str(tmp_path / "out.py"), "x")
    finally:
        os.umask(before)
    assert (tmp_path / "out.py").stat().st_mode & 0o777 == 0o640


# --- reading a pipe, which gives its text but once ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "code"),
    [("endpoint A\n{\n    on() => ()\n}\n", 0), ("endpoint A { on() => () }", 1)],
    ids=["tidy", "untidy"],
)
def test_format_check_says_the_same_of_a_pipe_as_of_a_file(tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / "A.ipc").write_text(text)
    for script in (
        "ipcc format --check A.ipc",
        "ipcc format --check <(cat A.ipc)",
        "cat A.ipc | ipcc format --check /dev/stdin",
    ):
        assert shell(script, tmp_path).returncode == code, script


@pytest.mark.slow
def test_every_command_takes_a_pipe(tmp_path: Path) -> None:
    for script in (
        "ipcc check <(cat Clock.ipc)",
        "ipcc describe <(cat Clock.ipc) > /dev/null",
        "ipcc diff <(cat Clock.ipc) <(cat Clock.ipc)",
        "ipcc <(cat Clock.ipc) -o a.py",
        "ipcc check Clock.ipc --generated <(ipcc Clock.ipc)",
    ):
        done = shell(script, tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), script


def test_a_pipe_cannot_be_formatted_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as out:
        out.write("endpoint A {}")
        out.close()
        assert main(["format", f"/dev/fd/{reader}"]) == 2
    assert "is not a regular file: only --check takes it" in capsys.readouterr().err
