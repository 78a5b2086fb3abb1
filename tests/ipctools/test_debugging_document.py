"""Owns the tests that docs/debugging.md shows what the commands print.
Must not know what it explains.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipctools.failures import Code
from tests.ipctools.running import ROOT, environment, ipcc
from tests.ipctools.test_shell import shell

DOCUMENT = (ROOT / "docs" / "debugging.md").read_text()
COMMANDS = re.compile(r"^```sh\n([^`]*)^```\n\n((?:(?:    [^\n]*)?\n)*)", re.MULTILINE)
FILES = dict(re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL))
SESSION = f"docs-{os.getpid()}"
FOLDER = Path("/tmp/session") / SESSION

pytestmark = pytest.mark.slow


def _run(line: str) -> str:
    """Run a line in a shell that has the command `ipcc`; return what it prints."""
    done = subprocess.run(
        ["sh", "-c", f'ipcc() {{ "{sys.executable}" -m ipcc "$@"; }}\n{line}'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
        env=environment(IPC_SESSION_ID=SESSION),
    )
    return done.stdout


@pytest.fixture
def service(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The settings service of the session, with one setting; and a socket that another service has left."""
    process = subprocess.Popen(
        ["python", "-m", "demos.config", "serve"],
        executable=sys.executable,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(IPC_SESSION_ID=SESSION, XDG_CONFIG_HOME=str(tmp_path)),
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening at")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(FOLDER / "portal" / "old"))
    _set("Editor", "Window", "X", "1")
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    shutil.rmtree(FOLDER)


def _set(*setting: str) -> None:
    _run(f'"{sys.executable}" -m demos.config set {" ".join(setting)}')


def _as_shown(text: str, pid: int) -> str:
    """What is printed here as it would be at Ada's, with one blank between words."""
    text = text.replace(str(FOLDER), "/tmp/session/ada").replace(f" {pid} ", " 4711 ")
    text = text.replace(f" {getpass.getuser()} ", " ada ")
    return re.sub(r"^ +", "", re.sub(r" +", " ", text), flags=re.MULTILINE)


def test_the_commands_print_what_is_shown(service: subprocess.Popen[str], tmp_path: Path) -> None:
    shown = [
        (line, textwrap.dedent(output).strip("\n") + "\n") for line, output in COMMANDS.findall(DOCUMENT)
    ]
    assert len(shown) == 5
    for line, output in shown:
        if "--watch" in line:
            watching = subprocess.Popen(
                ["sh", "-c", f'ipcc() {{ exec "{sys.executable}" -m ipcc "$@"; }}\n{line}'],
                stdout=subprocess.PIPE,
                text=True,
                env=environment(IPC_SESSION_ID=SESSION),
            )
            assert watching.stdout is not None
            lines = watching.stdout.readline()
            _set("Editor", "Window", "Title", "notes")
            lines += watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            rest, _ = watching.communicate(timeout=60)
            assert (lines + rest, watching.returncode) == (output, 130)
        else:
            assert _as_shown(_run(line), service.pid) == _as_shown(output, service.pid), line
    _check_prompt(tmp_path)


def _check_prompt(folder: Path) -> None:
    """Type what the document types, and compare the whole session."""
    transcript = FILES["session.txt"]
    with shell(FOLDER / "portal" / "config", folder) as (terminal, process):
        terminal.wait_for("ipcc> ")
        seen = "ipcc> "
        for line in re.findall(r"^ipcc> (.*)$", transcript, re.MULTILINE):
            terminal.type(f"{line}\r")
            seen += terminal.wait_for("ipcc> " if line != "exit" else "exit\r\n")
        assert process.wait(60) == 0
    assert seen.replace("\r\n", "\n") == transcript


def test_a_command_of_another_package_works_as_shown(tmp_path: Path) -> None:
    package = tmp_path / "lamp-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: lamp\nVersion: 1.0\n")
    (tmp_path / "lamp_tools.py").write_text(FILES["lamp_tools.py"])
    points = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]["ipcc.commands"]
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (package / "entry_points.txt").write_text(f"[ipcc.commands]\n{lines}")
    path = f"{tmp_path}:{ROOT}"
    done = ipcc("blink", "hall", PYTHONPATH=path)
    assert (done.code, done.output, done.errors) == (0, "hall blinks\n", "")
    done = ipcc("blink", "sun", PYTHONPATH=path)
    assert (done.code, done.errors) == (9, "ipcc: error: the sun cannot blink: name a lamp\n")


def test_every_exit_code_is_in_the_table() -> None:
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)}
    assert rows == {0, 130, *Code}
