"""Owns the tests of `ipcc shell`, at a pseudo-terminal and through a pipe.
Must not know the grammar of calls.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ipctools.running import Done, command, config_service, environment, ipcc, running

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


class Terminal:
    """The master end of a pseudo-terminal, with what has been read of it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.text = ""

    def wait_for(self, text: str) -> str:
        """Read until this text comes; return all that came before the end of it."""
        while text not in self.text:
            self.text += os.read(self.fd, 4096).decode()
        before, _, self.text = self.text.partition(text)
        return before + text

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self.fd, keys.encode())


@contextmanager
def shell(socket: Path, folder: Path) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """Run the shell on a pseudo-terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command("shell", socket),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=environment(
            TERM="dumb", XDG_STATE_HOME=str(folder / "state"), INPUTRC="/dev/null", COLUMNS="200"
        ),
    )
    os.close(slave)
    try:
        yield Terminal(master), process
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_a_terminal_has_a_prompt_completion_and_history(tmp_path: Path) -> None:
    with config_service(tmp_path) as socket:
        with shell(socket, tmp_path) as (terminal, process):
            assert f"ConfigServer at {socket}" in terminal.wait_for("ipcc> ")
            terminal.type('ple\tdom\t["Editor"]\r')
            assert 'pledge_domains domains=["Editor"]' in terminal.wait_for("ipcc> ")
            terminal.type("write_bool_value domain=Editor group=G key=K value=t\t\r")
            terminal.wait_for("ipcc> ")
            terminal.type("read_bool_value domain=Editor group=G key=K\r")
            assert "value = true\r\n" in terminal.wait_for("ipcc> ")
            terminal.type("\x1b[A\r")  # The line before.
            assert "value = true\r\n" in terminal.wait_for("ipcc> ")
            terminal.type("read_bool\r")
            assert "error: ConfigServer has no message 'read_bool'" in terminal.wait_for("ipcc> ")
            terminal.type("half a li")
            terminal.wait_for("half a li")
            process.send_signal(signal.SIGINT)  # As Ctrl-C does: it drops the line.
            terminal.wait_for("ipcc> ")
            terminal.type("\x04")  # Ctrl-D leaves.
            assert process.wait(60) == 0
        history = tmp_path / "state" / "ipcc_history"
        assert "read_bool_value domain=Editor group=G key=K" in history.read_text()
        assert history.stat().st_mode & 0o777 == 0o600
        with shell(socket, tmp_path) as (terminal, process):
            terminal.wait_for("ipcc> ")
            terminal.type("\x1b[A\x15exit\r")
            assert "read_bool" in terminal.wait_for("exit")
            assert process.wait(60) == 0


def test_ctrl_c_ends_a_call_and_a_watch_but_not_the_shell(tmp_path: Path) -> None:
    socket = tmp_path / "everything"
    rest = "b=x c=x d=x e=1 f=null"
    with (
        running([HERE / "everything_service.py", socket]) as service,
        shell(socket, tmp_path) as (terminal, process),
    ):
        assert service.stdout is not None
        terminal.wait_for("ipcc> ")
        terminal.type(f"texts a=hang {rest}\r")
        assert service.stdout.readline() == "texts hang\n"
        process.send_signal(signal.SIGINT)
        terminal.wait_for("ipcc> ")
        terminal.type("watch\r")
        terminal.wait_for('EverythingClient.told text="welcome"')
        process.send_signal(signal.SIGINT)
        terminal.wait_for("ipcc> ")
        terminal.type(f"texts a=disconnect {rest}\r")
        assert "has closed the connection" in terminal.wait_for("ipcc> ")
        terminal.type(f"texts a=again {rest}\r")
        assert "count = 5" in terminal.wait_for("ipcc> ")
        terminal.type("exit\r")
        assert process.wait(60) == 0


def test_lines_come_through_a_pipe(tmp_path: Path) -> None:
    lines = [
        'pledge_domains domains=["Editor"]',
        "",
        "list_domains",
        """write_string_value domain=Editor group=G key=K value="a \\"b\\" c\"""",
        "read_string_value domain=Editor group=G key=K",
        "help list_domains",
        "read_string_value domain=Other group=G key=K",
        "read_string_value domain=",
        "nonsense",
    ]
    with config_service(tmp_path) as socket:
        done = ipcc("shell", socket, given="\n".join(lines))
        listed = ipcc("shell", socket, given="help\nexit\nnonsense\n")
    assert done.output == (
        "domains = []\n"
        'value = "a \\"b\\" c"\n'
        "list_domains() => (Vector<String> domains)\n"
        "Name the domains that have settings. Needs no pledge, because it reveals no setting.\n"
    )
    assert [line.partition(":")[0] for line in done.errors.splitlines()] == ["error"] * 3
    assert done.code == 2
    assert (listed.code, listed.errors) == (0, "")
    assert "  list_domains() => (Vector<String> domains)\n" in listed.output


def test_a_shell_without_service_is_an_error(tmp_path: Path) -> None:
    text = f"there is no socket at {tmp_path}/none: start the service, or see 'ipcc list'"
    assert ipcc("shell", tmp_path / "none") == Done(3, "", f"ipcc: error: {text}\n")
