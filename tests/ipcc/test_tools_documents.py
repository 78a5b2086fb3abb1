"""Owns the tests that docs/tools.md and docs/generated-code.md show what the tools print.

Must not know the other documents.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ipcc.compiler import compile_files

ROOT = Path(__file__).parent.parent.parent
TOOLS = (ROOT / "docs" / "tools.md").read_text()
GENERATED = (ROOT / "docs" / "generated-code.md").read_text()

FILES = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n([^`]*)^```\n\n((?:(?:    [^\n]*)?\n)*)", re.MULTILINE)


@pytest.mark.slow
def test_the_tools_print_what_is_shown(tmp_path: Path) -> None:
    for name, text in FILES.findall(TOOLS):
        (tmp_path / name).write_text(text)
    shown = COMMANDS.findall(TOOLS)
    assert len(shown) >= 6
    for commands, output in shown:
        done = subprocess.run(
            ["sh", "-c", f'ipcc() {{ "{sys.executable}" -m ipcc "$@"; }}\n{commands}'],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.stdout == textwrap.dedent(output).strip("\n") + "\n", commands


def test_the_module_that_is_explained_is_what_the_compiler_writes(tmp_path: Path) -> None:
    (source, interface), (_, module), *_others = FILES.findall(GENERATED)
    (tmp_path / source).write_text(interface)
    assert compile_files([str(tmp_path / source)]) == module


def test_the_codec_that_is_explained_is_part_of_what_the_compiler_writes(tmp_path: Path) -> None:
    *_others, (source, interface), (_, codec) = FILES.findall(GENERATED)
    (tmp_path / source).write_text(interface)
    assert f"\n\n\n{codec}\n" in compile_files([str(tmp_path / source)])
