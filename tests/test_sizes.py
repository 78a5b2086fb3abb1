"""Owns the tests of sizes: no file or class is too long, and a function that is too complex gives its reason.
Must not know what the files do. ruff counts the complexity (C901)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("corelib", "ipclib", "ipcc", "ipctools", "pytest_ipclib", "demos", "benchmarks", "tests")
LONGEST_FILE = 450
LONGEST_CLASS = 300

MAY_BE_LONG = {"ipcc/parser.py", "ipcc/emitter.py"}
"""Files whose length follows from the language: a method for each rule and each construct."""


def _files() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file that a person wrote."""
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if not file.name.endswith("_ipc.py"):
                yield str(file.relative_to(ROOT)), file.read_text()


def test_no_file_is_too_long() -> None:
    too_long = [
        f"{name} has {lines} lines: split it by subject"
        for name, text in _files()
        if (lines := len(text.splitlines())) > LONGEST_FILE and name not in MAY_BE_LONG
    ]
    assert not too_long


def test_no_class_is_too_long() -> None:
    too_long = [
        f"{name}: {node.name} has {lines} lines"
        for name, text in _files()
        if len(text.splitlines()) > LONGEST_CLASS
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_CLASS
    ]
    assert not too_long


def test_a_function_that_is_too_complex_gives_its_reason() -> None:
    without_reason = [
        f"{name}: {node.name}: write 'because ...' into its docstring"
        for name, text in _files()
        if "noqa: C901" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and "noqa: C901" in "".join(text.splitlines()[node.lineno - 1 : node.body[0].lineno - 1])
        and "because" not in (ast.get_docstring(node) or "")
    ]
    assert not without_reason
