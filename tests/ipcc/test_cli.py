"""The command: exit codes, what it prints, and that an error leaves the output alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipcc.cli import main
from ipcc.compiler import compile_files

CLOCK = Path(__file__).parent / "Clock.ipc"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "Bad.ipc"
    path.write_text("endpoint A { a(Strng x) =| }")
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ipcc", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, cwd=ROOT)


def test_to_standard_output() -> None:
    done = run(CLOCK)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == compile_files([str(CLOCK)])


def test_to_a_file(tmp_path: Path) -> None:
    out = tmp_path / "clock_ipc.py"
    out.write_text("old")
    assert main([str(CLOCK), "-o", str(out)]) == 0
    assert out.read_text() == compile_files([str(CLOCK)])
    assert os.listdir(tmp_path) == ["clock_ipc.py"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to(tmp_path / "real.py")
    assert main([str(CLOCK), "-o", str(tmp_path / "link.py")]) == 0
    assert (tmp_path / "link.py").is_symlink()
    assert (tmp_path / "real.py").read_text() == compile_files([str(CLOCK)])


def test_a_device_is_not_replaced() -> None:
    assert main([str(CLOCK), "-o", os.devnull]) == 0
    assert not os.path.isfile(os.devnull)


def test_wrong_input(bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.py"
    assert main([str(CLOCK), str(bad), "-o", str(out)]) == 1
    assert not out.exists()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[0] == f"{bad}:1:16: error: unknown type 'Strng'"


def test_wrong_input_leaves_the_old_output(bad: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.py"
    out.write_text("old")
    assert main([str(bad), "-o", str(out)]) == 1
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["Bad.ipc", "out.py"]


def test_check(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(CLOCK)]) == 0
    assert main(["check", str(CLOCK), str(bad)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count(": error: ") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["check"],
        ["--nonsense", "x.ipc"],
        [str(CLOCK), "-o"],
        [str(CLOCK), "-o", str(CLOCK)],
        [str(CLOCK), "-o", "/nonexistent/out.py"],
        [str(CLOCK), "-o", "/"],
    ],
    ids=["nothing", "check nothing", "option", "no output", "own source", "no such folder", "folder"],
)
def test_wrong_command_line(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"ipcc" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing.ipc", "No such file or directory"), ("", "Is a directory")],
)
def test_unreadable(tmp_path: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / name)
    assert main([path]) == 1
    assert capsys.readouterr().err == f"{path}: error: cannot read: {reason}\n"


def test_unreadable_among_others(tmp_path: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(bad), str(tmp_path / "missing.ipc")]) == 1
    assert capsys.readouterr().err.count(": error: ") == 2


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.ipc"
    path.write_bytes(b"endpoint A\n{\n    // caf\xe9\n}\n")
    done = run(path)
    assert done.returncode == 1
    assert f"{path}:3:11: error: the file is not UTF-8: byte 0xe9".encode() in done.stderr


def test_including_a_file_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "types").mkdir()
    (tmp_path / "types" / "shapes.ipc").write_text("")
    path = tmp_path / "A.ipc"
    path.write_text('#include "shapes.ipc"\nendpoint A {}')
    assert main([str(path)]) == 1
    assert "cannot find 'shapes.ipc'" in capsys.readouterr().err
    assert main([str(path), "-I", str(tmp_path / "types")]) == 1
    assert "including 'shapes.ipc' is not supported" in capsys.readouterr().err


def test_a_reader_that_goes_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        command = [sys.executable, "-m", "ipcc", str(CLOCK)]
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, b"")
