"""Owns the states of a link. Must not know what brings a link from one to the next."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """The life of one socket. A link goes through these in order, and may skip ENDED."""

    OPEN = enum.auto()
    """Frames are sent and received."""
    ENDED = enum.auto()
    """The peer's stream is over. What arrived before is still handled, and frames may still be sent."""
    CLOSED = enum.auto()
    """The socket is closed, every call has failed, and die() was called or will be."""
