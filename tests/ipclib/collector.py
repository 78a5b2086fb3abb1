"""Owns code of the user that the collector runs: garbage in cycles, whose real __del__ does what a test says.
Must not know what is tested.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Finaliser:
    """Garbage that only the collector finds; then it acts, and leaves more garbage while `times` lasts."""

    def __init__(self, act: Callable[[], object], times: int = 1) -> None:
        self._act = act
        self._times = times
        self._itself = self

    def __del__(self) -> None:
        try:
            self._act()
        finally:
            if self._times > 1:
                Finaliser(self._act, self._times - 1)


@contextmanager
def collecting(threshold: int) -> Iterator[None]:
    """Let the collector run at about each `threshold`-th allocation, and at the end.

    It looks at what was made inside alone, which takes microseconds. What was there before stays exempt, as
    in tests/conftest.py: every later collection would take 50 ms to look at all of it again.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(threshold)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.collect()
