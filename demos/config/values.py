"""Settings as values: which text is a number or a truth.

Pure; knows nothing of files or IPC.
"""

from __future__ import annotations

import re

I32 = range(-(2**31), 2**31)
U32 = range(2**32)

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def parse_integer(text: str, span: range) -> int | None:
    """Read a decimal number that lies in `span`; None for anything else."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if number in span else None


def parse_bool(text: str) -> bool | None:
    """Read true or false in any case, or 1 or 0, as SerenityOS's ConfigFile does; None for anything else."""
    return _TRUTHS.get(text.lower())


def format_bool(value: bool) -> str:
    """Write a truth as `parse_bool` reads it."""
    return "true" if value else "false"
