"""Owns what the tests of the tools run in processes of their own: the command `ipcc`, and services.
Must not know what the tests check.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent.parent


@attrs.frozen
class Done:
    """How a process ended."""

    code: int
    output: str
    errors: str


def environment(**more: str) -> dict[str, str]:
    """The environment in which the command and the services run."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"} | more


def command(*arguments: str | Path) -> list[str]:
    """The command `ipcc` with these arguments."""
    return [sys.executable, "-m", "ipcc", *map(str, arguments)]


def ipcc(*arguments: str | Path, given: str = "", **more: str) -> Done:
    """Run `ipcc` with these arguments, and `given` as its standard input."""
    done = subprocess.run(
        command(*arguments),
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
        env=environment(**more),
    )
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def running(arguments: Sequence[str | Path], **more: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program that prints a line when it is ready; kill it at the end."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment(**more),
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), "the service ended before it was ready"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def config_service(folder: Path, name: str = "config") -> Iterator[Path]:
    """The settings service of the demos; its socket is in the folder."""
    socket = folder / name
    with running(["-m", "demos.config", "serve", "--socket", socket, "--directory", folder / "settings"]):
        yield socket
