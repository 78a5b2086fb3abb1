"""Owns the tests that run every code block of README and docs as it stands there.
Must not know what the documents explain."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks(document: Path) -> list[tuple[str, str, str]]:
    return _BLOCK.findall(document.read_text())


def _documents() -> list[Path]:
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "demos").rglob("README.md")),
    ]


@pytest.mark.slow
def test_the_readme_s_program_runs(tmp_path: Path) -> None:
    for _language, name, text in _blocks(ROOT / "README.md"):
        if name:
            (tmp_path / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPC_SESSION_ID": f"readme-{os.getpid()}"}
    (command,) = [text for language, name, text in _blocks(ROOT / "README.md") if text.startswith("ipcc ")]
    subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=tmp_path, env=environment, check=True, timeout=60
    )
    service = subprocess.Popen([sys.executable, "service.py"], cwd=tmp_path, env=environment)
    try:
        app = subprocess.run(
            [sys.executable, "app.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        service.kill()
        service.wait()
        shutil.rmtree(Path("/tmp/session") / environment["IPC_SESSION_ID"])
    lines = app.stdout.splitlines()
    assert app.returncode == 0, app.stderr
    assert lines[:2] == ["42", "3"]
    assert sum(line.startswith("the service says it is") for line in lines) == 3


@pytest.mark.slow
def test_the_language_s_examples_compile_and_run(tmp_path: Path) -> None:
    files = {name: text for _language, name, text in _blocks(ROOT / "docs" / "language.md") if name}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, *command]
        return subprocess.run(
            whole, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    for name in files:
        if name.endswith(".ipc") and name.replace(".ipc", ".txt") in files:
            assert run("-m", "ipcc", "check", name).stderr == files[name.replace(".ipc", ".txt")]
        elif name.endswith(".ipc"):
            done = run("-m", "ipcc", name, "-o", f"{name.removesuffix('.ipc').lower()}_ipc.py")
            assert done.returncode == 0, done.stderr
    program = "from atlas_ipc import AtlasServer, Point; from atlas.styles import Style; print(Point(1, 2))"
    done = run("-c", program)
    assert (done.stdout, done.stderr) == ("Point(x=1, y=2)\n", "")


_ESSAYS = ("event-loop.md", "performance.md", "security.md")


def _programs() -> list[tuple[str, str]]:
    """Return each document whose programs print the block after them, with the names of these programs."""
    return [
        (essay, name.removesuffix(".py"))
        for essay in _ESSAYS
        for _language, name, _text in _blocks(ROOT / "docs" / essay)
        if name.endswith(".py")
    ]


def _in_tiers(programs: list[tuple[str, str]]) -> list[Any]:
    """The programs as parameters: the first one of each document in the quick tier."""
    first = dict(reversed(programs))
    return [
        program if first[program[0]] == program[1] else pytest.param(*program, marks=pytest.mark.slow)
        for program in programs
    ]


@pytest.mark.parametrize(("essay", "name"), _in_tiers(_programs()))
def test_a_document_s_programs_print_what_it_says(essay: str, name: str) -> None:
    blocks = {name: text for _language, name, text in _blocks(ROOT / "docs" / essay)}
    done = subprocess.run(
        [sys.executable, "-c", blocks[f"{name}.py"]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (blocks[f"{name}.txt"], "")


@pytest.mark.parametrize("document", _documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_is_one_that_a_test_runs(document: Path) -> None:
    """Tests above run the blocks of README and the language; others run command lines and other documents."""
    for language, name, _text in _blocks(document):
        assert language in ("sh", "python", "ipc", "text", "toml", "json", "vim"), document
        if language != "sh":
            assert name, f"{document.name}: no test runs a block without file=NAME"


@pytest.mark.parametrize("command", ["demo", "test"])
def test_the_two_commands_exist(command: str) -> None:
    assert f"\n./{command}\n" in (ROOT / "README.md").read_text()
    assert os.access(ROOT / command, os.X_OK)
