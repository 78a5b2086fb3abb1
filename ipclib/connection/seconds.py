"""Owns the check of a number of seconds that a program passes. Must not know what is waited for."""

from __future__ import annotations


def check_seconds(name: str, seconds: float) -> float:
    """Return a number of seconds from 0 on; math.inf means without end.

    Raises:
        ValueError: it is negative or NaN.
        TypeError: it is no number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} is a number of seconds, not {seconds!r}")
    if not seconds >= 0:
        raise ValueError(f"{name} is a number of seconds from 0 on, or math.inf, not {seconds!r}")
    return seconds
