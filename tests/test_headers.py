"""Owns the test that a file begins by saying what it owns and what it must not know.
Must not know whether that is true: reviews decide it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = ("benchmarks", "demos", "tests/abuse", "tests/demos", "tests/wire", "tests/*.py")
HEADER = re.compile(r"Owns [^.]*\S.*?[.:]\s+Must not know\b", re.DOTALL)
MOST_LINES = 4

FILES = [
    file
    for place in PLACES
    for found in sorted(ROOT.glob(place))
    for file in (sorted(found.rglob("*.py")) if found.is_dir() else [found])
    if not file.name.endswith("_ipc.py")
]


def test_a_file_begins_with_what_it_owns_and_what_it_must_not_know() -> None:
    bad = []
    for file in FILES:
        docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
        if not HEADER.match(docstring) or len(docstring.splitlines()) > MOST_LINES:
            bad.append(
                f"{file.relative_to(ROOT)}: begin with 'Owns ...' and 'Must not know ...', in four lines"
            )
    assert not bad
