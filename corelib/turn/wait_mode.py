"""Owns WaitMode: whether a turn may sleep.
Must not know what a turn is.
"""

from __future__ import annotations

import enum


class WaitMode(enum.Enum):
    """Whether a turn may sleep."""

    WAIT_FOR_EVENTS = enum.auto()
    POLL_FOR_EVENTS = enum.auto()
