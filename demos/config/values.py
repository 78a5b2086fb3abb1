"""Owns settings as values: which texts are numbers or booleans.
Must not know files and IPC."""

from __future__ import annotations

import re

I32 = range(-(2**31), 2**31)
U32 = range(2**32)

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def parse_integer(text: str, span: range) -> int | None:
    """Read a decimal number within `span`; return None for anything else."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if number in span else None


def parse_bool(text: str) -> bool | None:
    """Read true or false in any case, or 1 or 0, as SerenityOS's ConfigFile does; else return None."""
    return _BOOLEANS.get(text.lower())


def format_bool(value: bool) -> str:
    """Write a boolean as `parse_bool` reads it."""
    return "true" if value else "false"
