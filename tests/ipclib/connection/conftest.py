"""Owns the fixture of the connection's tests. Must not know what is tested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from corelib import EventLoop
from tests.ipclib.pairs import Pair


@pytest.fixture
def pair(loop: EventLoop, clock: Any) -> Iterator[Pair]:
    pair = Pair(clock)
    yield pair
    pair.close()
