"""Registered types of a desktop: what an interface includes by `#include "accents.py"`."""

from __future__ import annotations

import enum
from typing import Any

import attrs

from ipclib import ipc_type, u8, u32
from ipclib.gfx import Color


@ipc_type("Desktop::Accent", underlying=u8)
class Accent(enum.Enum):
    CALM = 0
    LOUD = 7


@ipc_type("Desktop::Theme")
@attrs.frozen
class Theme:
    name: str
    accent: Accent
    colors: dict[str, Color]
    spacing: list[u32]
    parent: str | None = None


@ipc_type("Desktop::Cursor")
@attrs.frozen
class Cursor:
    """Writes itself, so an interface knows its name alone."""

    frames: int

    def encode(self, encoder: Any) -> None:
        encoder.u32(self.frames)

    @classmethod
    def decode(cls, decoder: Any) -> Cursor:
        return cls(decoder.u32())
