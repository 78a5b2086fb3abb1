"""Owns the tests of what a service sends by itself: one-way messages, Files, and requests.
Must not know values.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.ipctools.running import Done, command, environment, ipcc, running

HERE = Path(__file__).parent
REST = ["c=x", "d=x", "e=1", "f=null"]

pytestmark = pytest.mark.slow


def test_a_file_that_comes_before_the_interface_is_known_is_saved(tmp_path: Path) -> None:
    with running([HERE / "everything_service.py", tmp_path / "service"]):
        watching = subprocess.Popen(
            command("call", tmp_path / "service", "--watch", "--save", tmp_path),
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert watching.stdout is not None
        lines = [watching.stdout.readline() for _ in range(2)]
        watching.kill()
        watching.wait()
        watching.stdout.close()
    assert lines == [
        'EverythingClient.told text="welcome"\n',
        f'EverythingClient.given file="@{tmp_path}/file"\n',
    ]
    assert (tmp_path / "file").read_bytes() == b"a gift"


def test_a_request_of_the_service_is_answered_as_the_user_says(tmp_path: Path) -> None:
    with running([HERE / "everything_service.py", tmp_path / "service"]):
        call = ["call", tmp_path / "service", "texts", "a=ask", "b=four", *REST]
        answered = ipcc(*call, "--answer", "ask answer=42 reason=because")
        wrong = ipcc(*call, "--answer", "ask answer=42")
        unknown = ipcc(*call, "--answer", "asks answer=42")
    assert answered == Done(0, "count = 42\n", "")
    text = "ask also needs reason (String): write NAME=VALUE for each"
    assert wrong == Done(2, "", f"ipcc: error: {text}\n")
    text = "EverythingClient has no message 'asks': did you mean 'ask'?"
    assert unknown == Done(2, "", f"ipcc: error: {text}\n")


def test_a_one_way_message_has_left_when_the_command_ends(tmp_path: Path) -> None:
    with running([HERE / "everything_service.py", tmp_path / "service"]):
        numbers = ["a=-1", "b=2", "c=3", "d=4", "e=5", "f=6", "g=7", "h=8", "i=9", "j=1", "k=2.5", "l=true"]
        files = [f"a=@{HERE}/Everything.ipc", "c=[]"]
        done = ipcc("call", tmp_path / "service", "numbers", *numbers, "files", *files, "--json")
    size = (HERE / "Everything.ipc").stat().st_size
    expected = f'{{}}\n{{\n  "first": {{\n    "file": "regular file",\n    "size": {size}\n  }}\n}}\n'
    assert done == Done(0, expected, "")
