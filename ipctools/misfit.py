"""Owns Misfit, which says that a value as written does not fit its type, and where in the value.
Must not know types.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Misfit(Exception):
    """What is wrong with a value, and the path to the wrong part of it, such as `[2].x`."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return f"{self.path.removeprefix('.')}: {self.reason}" if self.path else self.reason


@contextmanager
def within(part: str) -> Iterator[None]:
    """Put the name of a part before the path of a Misfit that is raised for it."""
    try:
        yield
    except Misfit as misfit:
        misfit.path = part + misfit.path
        raise


class Word(str):
    """A value as a plain word of the command line, where JSON would need quotes or another notation."""

    __slots__ = ()
