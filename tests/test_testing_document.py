"""Owns the test that runs the tests of docs/testing.md as they stand there.
Must not know what they test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipclib.testing import FAULTS

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "testing.md").read_text()
FILES = dict(re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL))
GOOD = [name for name in FILES if name.startswith("test_") and name != "test_careless.py"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs Python in a folder with the document's files and the compiled interface."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert run("-m", "ipcc", "Lamp.ipc", "-o", "lamp_ipc.py").returncode == 0
    return run


@pytest.mark.slow
def test_the_tests_in_the_document_pass(run: Run) -> None:
    done = run("-m", "pytest", "-q", *GOOD)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^12 passed", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.slow
def test_careless_tests_fail_with_the_words_of_the_document(run: Run) -> None:
    done = run("-m", "pytest", "-q", "test_careless.py")
    wanted = FILES["careless.txt"].splitlines()
    assert sorted(set(wanted) & set(done.stdout.splitlines())) == sorted(wanted), done.stdout
    assert "1 failed, 1 passed, 1 error" in done.stdout


@pytest.mark.slow
def test_the_program_without_pytest_prints_what_the_document_says(run: Run) -> None:
    done = run("plain.py")
    assert (done.stdout, done.stderr) == (FILES["plain.txt"], "")


@pytest.mark.slow
def test_the_fake_of_the_shell_prints_what_the_document_says(tmp_path: Path) -> None:
    """Line for line; the fake and the calls write side by side, so the order is not compared."""
    (tmp_path / "Lamp.ipc").write_text(FILES["Lamp.ipc"])
    ((lines, output),) = re.findall(
        r"^```sh\n(.*?)^```\n\n((?:    [^\n]*\n)+)", DOCUMENT, re.MULTILINE | re.DOTALL
    )
    socket = f"{tmp_path}/lamps"
    start, *calls = lines.replace("/tmp/lamps", socket).splitlines()
    program = "\n".join(
        [
            f'ipcc() {{ "{sys.executable}" -m ipcc "$@"; }}',
            f'fake() {{ exec "{sys.executable}" -m ipcc "$@"; }}',
            start.replace("ipcc fake", "fake fake"),
            f"while [ ! -S {socket} ]; do :; done",
            *calls,
            "kill $!",
            "wait $!",
        ]
    )
    done = subprocess.run(
        ["sh", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    wanted = [line.strip() for line in output.splitlines()]
    assert sorted(done.stdout.replace(socket, "/tmp/lamps").splitlines()) == sorted(wanted)


def test_the_document_lists_every_fault() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCUMENT, re.MULTILINE)
    assert {name: text for name, text in rows if not name.startswith("ipc_")} == FAULTS
