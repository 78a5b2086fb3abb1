"""Owns the types that Gold.ipc names and C++ declared: enums of three widths.
Must not know the messages that use them."""

from __future__ import annotations

import enum

from ipclib import i64, ipc_type, u8


@ipc_type("Gold::Shade", underlying=u8)
class Shade(enum.Enum):
    Red = 0
    Green = 1
    Blue = 200


@ipc_type("Gold::Plain")
class Plain(enum.Enum):
    Minus = -5
    Zero = 0


@ipc_type("Gold::Wide", underlying=i64)
class Wide(enum.Enum):
    Small = 1
    Huge = 0x1122334455667788
