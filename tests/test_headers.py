"""Owns the test that a file begins by saying what it owns and what it must not know.
Must not know whether that is true: reviews decide it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = (
    "benchmarks",
    "corelib",
    "demos",
    "ipcc",
    "ipclib",
    "pytest_ipclib",
    "ipctools",
    "tests/abuse",
    "tests/corelib",
    "tests/demos",
    "tests/ipcc",
    "tests/ipctools",
    "tests/packaging",
    "tests/wire",
    "tests/*.py",
)
INPUT = ("tests/ipcc/desktop", "tests/packaging/with_hatchling", "tests/packaging/with_setuptools")
"""Folders of files that are the input of tests, as users would write them."""
HEADER = re.compile(r"Owns [^.]*\S.*?[.:]\s+Must not know\b", re.DOTALL)
MOST_LINES = 4

ESSAYS = {
    "corelib/event_loop.py",
    "corelib/turn/interrupts.py",
    "corelib/turn/thread_loop.py",
    "ipclib/connection/sender.py",
    "ipclib/protocol/conversation.py",
    "tests/corelib/asyncio_suite.py",
    "tests/corelib/test_endurance_processes.py",
}
"""Central files, whose headers go on with an explanation or a table after the two sentences."""
DECIDES_NOTHING = "ipcc/emitter.py"
"""Its second sentence says what it must not decide."""

FILES = [
    file
    for place in PLACES
    for found in sorted(ROOT.glob(place))
    for file in (sorted(found.rglob("*.py")) if found.is_dir() else [found])
    if not file.name.endswith("_ipc.py") and not str(file.relative_to(ROOT)).startswith(INPUT)
]


def test_a_file_begins_with_what_it_owns_and_what_it_must_not_know() -> None:
    bad = []
    for file in FILES:
        name = str(file.relative_to(ROOT))
        text = file.read_text()
        docstring = text.split('"""')[1].strip() if text.startswith('"""') else ""
        is_too_long = len(docstring.splitlines()) > MOST_LINES and name not in ESSAYS
        if is_too_long or not (HEADER.match(docstring) or name == DECIDES_NOTHING):
            bad.append(f"{name}: begin with 'Owns ...' and 'Must not know ...', in four lines")
    assert not bad
