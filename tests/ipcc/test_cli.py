"""Owns the tests of the command `ipcc`: exit codes, what it prints, and what it writes.

Must not know what a module or a diagnostic says in full.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import ipcc
from ipcc.cli import main
from ipcc.compiler import compile_files

CLOCK = Path(__file__).parent / "GoldenClock.ipc"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "Bad.ipc"
    path.write_text("endpoint A { a(Strng x) =| }")
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ipcc", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, cwd=ROOT)


def test_the_command_prints_the_module() -> None:
    done = run(CLOCK)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == compile_files([str(CLOCK)])


def test_the_command_writes_the_module_to_a_file(tmp_path: Path) -> None:
    out = tmp_path / "clock_ipc.py"
    out.write_text("old")
    assert main([str(CLOCK), "-o", str(out)]) == 0
    assert out.read_text() == compile_files([str(CLOCK)])
    assert os.listdir(tmp_path) == ["clock_ipc.py"]


def test_a_link_as_output_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to(tmp_path / "real.py")
    assert main([str(CLOCK), "-o", str(tmp_path / "link.py")]) == 0
    assert (tmp_path / "link.py").is_symlink()
    assert (tmp_path / "real.py").read_text() == compile_files([str(CLOCK)])


def test_a_device_as_output_is_not_replaced() -> None:
    assert main([str(CLOCK), "-o", os.devnull]) == 0
    assert not os.path.isfile(os.devnull)


def test_a_mistake_is_shown_and_no_module_is_written(
    bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.py"
    assert main([str(CLOCK), str(bad), "-o", str(out)]) == 1
    assert not out.exists()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[0] == f"{bad}:1:16: error: unknown type 'Strng'"


def test_a_mistake_leaves_the_old_output_alone(bad: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.py"
    out.write_text("old")
    assert main([str(bad), "-o", str(out)]) == 1
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["Bad.ipc", "out.py"]


def test_check_shows_mistakes_alone(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(CLOCK)]) == 0
    assert main(["check", str(CLOCK), str(bad)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count(": error: ") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="nothing"),
        pytest.param([str(CLOCK), "-o", str(CLOCK)], id="own source"),
        pytest.param(["check"], id="check nothing", marks=pytest.mark.slow),
        pytest.param(["--nonsense", "x.ipc"], id="option", marks=pytest.mark.slow),
        pytest.param([str(CLOCK), "-o"], id="no output", marks=pytest.mark.slow),
        pytest.param([str(CLOCK), "-o", "/nonexistent/out.py"], id="no such folder", marks=pytest.mark.slow),
        pytest.param([str(CLOCK), "-o", "/"], id="folder", marks=pytest.mark.slow),
        pytest.param(["format"], id="format nothing", marks=pytest.mark.slow),
        pytest.param(["describe"], id="describe nothing", marks=pytest.mark.slow),
        pytest.param(["diff", str(CLOCK)], id="diff with nothing", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"ipcc" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing.ipc", "No such file or directory"), ("", "Is a directory")],
)
def test_an_unreadable_file_is_reported(
    tmp_path: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / name)
    assert main([path]) == 1
    assert capsys.readouterr().err == f"{path}: error: cannot read: {reason}\n"


def test_an_unreadable_file_does_not_hide_the_mistakes_of_others(
    tmp_path: Path, bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(bad), str(tmp_path / "missing.ipc")]) == 1
    assert capsys.readouterr().err.count(": error: ") == 2


def test_a_byte_that_is_not_utf8_is_reported_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.ipc"
    path.write_bytes(b"endpoint A\n{\n    // caf\xe9\n}\n")
    done = run(path)
    assert done.returncode == 1
    assert f"{path}:3:11: error: the file is not UTF-8: byte 0xe9".encode() in done.stderr


def test_includes_are_looked_for_in_the_given_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "types").mkdir()
    (tmp_path / "types" / "shapes.ipc").write_text("struct Size { i32 w; }")
    path = tmp_path / "A.ipc"
    path.write_text('#include "shapes.ipc"\nendpoint A { a(Size x) =| }')
    assert main([str(path)]) == 1
    assert "cannot find 'shapes.ipc'" in capsys.readouterr().err
    assert main(["check", str(path), "-I", str(tmp_path / "types")]) == 0


def test_a_file_of_types_is_included_everywhere(tmp_path: Path) -> None:
    types = tmp_path / "shapes.py"
    types.write_text(
        "import attrs\nfrom ipclib import i32, ipc_type\n\n"
        '@ipc_type("Size")\n@attrs.define\nclass Size:\n    w: i32\n'
    )
    path = tmp_path / "A.ipc"
    path.write_text("endpoint A { a(Size x) =| }")
    assert main(["check", str(path)]) == 1
    assert main(["check", str(path), "--types", str(types)]) == 0


# --- the command line ---


def test_the_version_is_that_of_the_package() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.decode()) == (0, f"ipcc {ipcc.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "explanation"),
    [
        (["chekc", "A.ipc"], "no command and no file 'chekc': did you mean 'ipcc check'?"),
        (["descrbe", "A.ipc"], "did you mean 'ipcc describe'?"),
        (["fmt", "A.ipc"], "did you mean 'ipcc format'?"),
        (["compile", "A.ipc"], "did you mean 'ipcc FILE... -o OUT'?"),
        (["version"], "did you mean 'ipcc --version'?"),
        (["frobnicate"], "the commands are check, format, describe, diff, call, fake, list and shell"),
        (["-I", ".", "check", "A.ipc"], "the command comes first, as in 'ipcc check ...'"),
        (["describe", "x.py"], "'x.py' is a Python file: include it in an interface file (.ipc)"),
        (["check", "A.ipc", "x.py"], "'x.py' is a Python file"),
        (["format", "x.py"], "'x.py' is a Python file"),
        (["diff", "x.py", "A.ipc"], "'x.py' is a Python file"),
        (["x.pyi"], "'x.pyi' is a Python file"),
    ],
)
def test_a_mistaken_command_line_is_explained(
    folder: Path, arguments: list[str], explanation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("A.ipc").write_text("endpoint A {}")
    Path("x.py").write_text("import this")
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert explanation in shown.err
    assert shown.err.count("\n") == 1


def test_a_file_named_as_a_word_is_compiled(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("chekc").write_text("endpoint A {}")
    assert main(["chekc"]) == 0
    assert "class A(" in capsys.readouterr().out


def test_tools_take_the_python_includes_that_some_output_could_import(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`types.py` is a module of the standard library, but `.types` is one of the package."""
    Path("package").mkdir()
    Path("package/__init__.py").touch()
    Path("package/types.py").write_text(
        'import enum\nfrom ipclib import ipc_type\n\n\n@ipc_type("K")\nclass K(enum.Enum):\n    A = 1\n'
    )
    Path("package/A.ipc").write_text('#include "types.py"\nendpoint A { a(K k) =| }')
    assert main(["package/A.ipc", "-o", "package/a_ipc.py"]) == 0
    for command in (
        ["check"],
        ["describe"],
        ["diff", "package/A.ipc"],
        ["check", "--generated", "package/a_ipc.py"],
    ):
        assert main([*command, "package/A.ipc"]) == 0, command
    shown = capsys.readouterr()
    assert shown.err == ""
    assert main(["package/A.ipc", "-o", "a_ipc.py"]) == 1
    assert "'types' is a module of the standard library" in capsys.readouterr().err
    Path("B.ipc").write_text("#include <types.py>\nendpoint A { a(K k) =| }")
    assert main(["check", "-I", "package", "B.ipc"]) == 1
    assert "'types' is a module of the standard library" in capsys.readouterr().err


# --- diagnostics ---


def test_json_is_an_empty_array_when_nothing_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--json", str(CLOCK)]) == 0
    assert main([str(CLOCK), "--json", "-o", str(tmp_path / "out.py")]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("[]\n[]\n", "")


def test_json_holds_every_mistake(bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.ipc"
    assert main(["check", "--json", str(bad), str(missing)]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    assert json.loads(shown.out) == [
        {
            "file": str(missing),
            "line": 1,
            "column": 1,
            "end": {"line": 1, "column": 1},
            "severity": "error",
            "message": "cannot read",
            "hint": "No such file or directory",
        },
        {
            "file": str(bad),
            "line": 1,
            "column": 16,
            "end": {"line": 1, "column": 21},
            "severity": "error",
            "message": "unknown type 'Strng'",
            "hint": "did you mean 'String'?",
        },
    ]


def test_json_and_the_module_cannot_share_standard_output() -> None:
    done = run(CLOCK, "--json")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"-o OUT" in done.stderr


def on_a_terminal(*arguments: str | Path, **environment: str) -> str:
    """The standard error of the command, if that is a terminal."""
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            subprocess.run(
                [sys.executable, "-m", "ipcc", *map(str, arguments)],
                stderr=theirs,
                check=False,
                cwd=ROOT,
                env={**os.environ, "NO_COLOR": "", "TERM": "xterm", **environment},
            )
        finally:
            os.close(theirs)
        return terminal.read(65536).decode()


def test_a_terminal_shows_colours(bad: Path) -> None:
    shown = on_a_terminal("check", bad)
    assert "\x1b[1;31merror:\x1b[0m" in shown
    assert "\x1b[1;31m^^^^^\x1b[0m" in shown


@pytest.mark.slow
def test_a_pipe_and_an_environment_that_refuses_colours_get_none(bad: Path) -> None:
    plain = run("check", bad).stderr.decode()
    assert "\x1b" not in plain
    assert on_a_terminal("check", bad, NO_COLOR="1").replace("\r\n", "\n") == plain
    assert on_a_terminal("check", bad, TERM="dumb").replace("\r\n", "\n") == plain


@pytest.mark.parametrize("place", ["beginning", "middle", "end"])
def test_a_long_source_line_is_clipped_around_the_mistake(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = [f"i32 number_{number}" for number in range(60)]
    parameters[{"beginning": 0, "middle": 30, "end": 59}[place]] = "Strng wrong"
    path = tmp_path / "A.ipc"
    path.write_text(f"endpoint A {{ a({', '.join(parameters)}) =| }}\n")
    assert main(["check", str(path)]) == 1
    _, line, carets = capsys.readouterr().err.splitlines()
    start = carets.index("^^^^^")
    assert line[start : start + 5] == "Strng"
    assert len(line) <= 8 + 120 + 2 * 3
    assert line[8:].startswith("...") == (place != "beginning")
    assert line.endswith("...") == (place != "end")


# --- a module that was committed ---


def test_a_generated_module_that_is_current_passes_the_check(tmp_path: Path) -> None:
    out = tmp_path / "clock_ipc.py"
    assert main([str(CLOCK), "-o", str(out)]) == 0
    assert main(["check", "--generated", str(out), str(CLOCK)]) == 0


def test_a_generated_module_that_is_missing_or_out_of_date_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clock ipc.py"
    assert main(["check", "--generated", str(out), str(CLOCK)]) == 1
    assert capsys.readouterr().err == f"{out}: error: cannot read: No such file or directory\n"
    out.write_text("old")
    assert main(["check", "--generated", str(out), str(CLOCK)]) == 1
    command = f"ipcc {CLOCK} -o '{out}'"
    assert capsys.readouterr().err == f'{out}: error: out of date: run "{command}"\n'
    assert out.read_text() == "old"


def test_an_output_that_is_replaced_keeps_its_permissions(tmp_path: Path) -> None:
    out = tmp_path / "clock_ipc.py"
    out.write_text("old")
    out.chmod(0o600)
    assert main([str(CLOCK), "-o", str(out)]) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_compile_file_writes_the_module_and_leaves_it_alone_after_an_error(tmp_path: Path) -> None:
    out = tmp_path / "clock_ipc.py"
    ipcc.compile_file(CLOCK, out)
    assert out.read_text() == compile_files([str(CLOCK)])
    with pytest.raises(ipcc.CompileError):
        ipcc.compile_file(tmp_path / "missing.ipc", out)
    assert out.read_text() == compile_files([str(CLOCK)])


def test_a_reader_that_closes_the_pipe_causes_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        command = [sys.executable, "-m", "ipcc", str(CLOCK)]
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, b"")
