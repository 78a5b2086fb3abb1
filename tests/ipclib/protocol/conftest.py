"""Owns the fixture of the protocol's tests. Must not know what is tested."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ipclib.protocol.two_ends import Ends


@pytest.fixture
def ends(clock: Any) -> Ends:
    return Ends(clock)
