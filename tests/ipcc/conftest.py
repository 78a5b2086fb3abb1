"""Owns what tests of several files run in.

Must not know the compiler.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from corelib import EventLoop


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """The event loop of this thread."""
    with EventLoop() as loop:
        yield loop
