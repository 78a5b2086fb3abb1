"""Owns the contestant that is this library as another environment has it, such as an earlier version.
Must not know what is measured."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.contest.contestants import ROOT, Contestant

NAME = "ours, other installation"


def other_installation(python: str, folder: Path) -> Contestant:
    """Copy the contest into an empty folder, compile its interface there, and return the contestant.

    `python` is the interpreter of an environment in which this library is installed.

    Raises:
        subprocess.CalledProcessError: no compiler is installed there.
    """
    contest = folder / "benchmarks" / "contest"
    shutil.copytree(
        ROOT / "benchmarks",
        folder / "benchmarks",
        ignore=shutil.ignore_patterns("__pycache__", "bench_ipc.py"),
    )
    compiled = [python, "-m", "ipcc", "-o", str(contest / "bench_ipc.py"), str(contest / "Bench.ipc")]
    subprocess.run(compiled, cwd=folder, check=True)
    return Contestant(NAME, "ours", variant_of="ours", python=python, root=folder)
