"""Owns the tests of `ipcc fake`: what it answers, prints and refuses, as a process.
Must not know how values are made up."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ipctools.failures import Code
from tests.ipctools.running import ROOT, command, environment, ipcc

CLOCK = ROOT / "tests" / "ipclib" / "Clock.ipc"


@contextmanager
def fake(socket: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A fake of Clock.ipc that serves."""
    process = subprocess.Popen(
        command("fake", CLOCK, "--socket", socket, *arguments),
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == f"serving at {socket}\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_fake_answers_as_told_and_prints_what_comes(tmp_path: Path) -> None:
    socket = tmp_path / "clock"
    with fake(socket, "--answer", "divide quotient=3 remainder=1") as process:
        assert ipcc("call", socket, "divide", "a=7", "b=2").output == "quotient = 3\nremainder = 1\n"
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert (output, process.returncode) == ("ClockServer.divide a=7 b=2\n", 0)
    assert not socket.exists()


@pytest.mark.slow
def test_a_fake_answers_at_random_with_the_same_values_for_the_same_seed(tmp_path: Path) -> None:
    answers = []
    for seed in ("1", "1", "2"):
        with fake(tmp_path / "clock", "--seed", seed):
            answers.append(ipcc("call", tmp_path / "clock", *["add", "a=1", "b=1"] * 5).output)
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.slow
def test_a_fake_gives_a_file_for_each_request(tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(b"given")
    with fake(tmp_path / "clock", "--answer", f"give_file file=@{tmp_path / 'content'}"):
        for number in range(2):
            folder = tmp_path / str(number)
            done = ipcc("call", tmp_path / "clock", "give_file", "content=x", "--save", str(folder))
            assert done.code == 0, done.errors
            assert [file.read_bytes() for file in folder.iterdir()] == [b"given"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("cut message=add amount=3", Code.SERVICE_GONE),
        ("drop message=ClockServer.add", Code.TIMEOUT),
        ("signature to=service message=add", Code.SERVICE_ERROR),
        ("garbage message=add nth=1", Code.NOT_A_SERVICE),
        ("delay amount=0.01", 0),
    ],
)
def test_a_fault_reaches_the_client(fault: str, code: int, tmp_path: Path) -> None:
    with fake(tmp_path / "clock", "--answer", "add sum=3", "--fault", fault):
        done = ipcc("call", tmp_path / "clock", "add", "a=1", "b=2", "--timeout", "2")
    assert done.code == code, done.errors


MISTAKES = [
    (["--answer", "ad sum=3"], "has no message 'ad'", "did you mean 'add'"),
    (["--answer", "add sum=x"], "add: sum", ""),
    (["--answer", "add"], "add also needs sum (i32)", ""),
    (["--answer", "log x=1"], "ClockServer.log is one-way", ""),
    (["--fault", "dorp"], "there is no fault 'dorp'", "did you mean 'drop'"),
    (["--fault", "drop message=ad"], "there is no message 'ad'", "did you mean 'add'"),
    (["--fault", "drop nht=1"], "there is no 'nht'", "did you mean 'nth'"),
    (["--fault", "drop nth=one"], "nth='one' is no number", ""),
    (["--fault", "drop nth=0"], "from 1 on", ""),
    (["--fault", "drop to=server"], "'client' or the 'service'", ""),
    (["--fault", "drop amount=1"], "has no amount", ""),
]


@pytest.mark.parametrize(
    ("arguments", "text", "hint"),
    [MISTAKES[0], *(pytest.param(*row, marks=pytest.mark.slow) for row in MISTAKES[1:])],
)
def test_a_mistake_is_told_before_the_fake_serves(
    arguments: list[str], text: str, hint: str, tmp_path: Path
) -> None:
    done = ipcc("fake", CLOCK, "--socket", tmp_path / "clock", *arguments)
    assert (done.code, done.output) == (Code.WRONG_COMMAND_LINE, "")
    assert text in done.errors
    assert hint in done.errors
    assert done.errors.count("\n") == 1


@pytest.mark.slow
def test_a_path_where_nobody_can_serve_is_told(tmp_path: Path) -> None:
    with fake(tmp_path / "clock"):
        done = ipcc("fake", CLOCK, "--socket", tmp_path / "clock")
        assert done.code == Code.WRONG_COMMAND_LINE
        assert done.errors.startswith(f"ipcc: error: cannot serve at {tmp_path / 'clock'}: ")
    done = ipcc("fake", CLOCK, "--socket", tmp_path / "no" / "folder" / "clock")
    assert (done.code, done.errors.count("\n")) == (Code.WRONG_COMMAND_LINE, 1), done.errors
    assert ipcc("fake", tmp_path / "none.ipc", "--socket", tmp_path / "clock").code == 1
