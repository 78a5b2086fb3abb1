"""Owns Dice, by which codecs make up values for tests: valid, random, and the same for the same seed.
Must not know codecs: each of them makes up its own values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TypeVar

from ipclib.errors import ProtocolViolation
from ipclib.showing import text_shown

T = TypeVar("T")

Make = Callable[[Random], Any]
"""Makes a value of a class from random numbers."""

_MOST_ELEMENTS = 4
"""Elements of a container that no other one surrounds; each level has one fewer."""
_MOST_TRIES = 100
_MOST_CHARACTERS = 12
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz ABC 0123456789 _-./:'\"\\ \n\t\0 \u00e4\u00df\u20ac\u65e5\U0001f980"
_SMALL = 100


class NoSample(TypeError):
    """No value of a class can be made up; the text names the class and the remedy."""


class Dice:
    """Random decisions about values, which are the same for the same seed."""

    def __init__(self, seed: int = 0, make: Mapping[type, Make] | None = None) -> None:
        """`make` has the functions that make the values of classes, for those that refuse random ones."""
        self.random = Random(seed)
        self._make = dict(make or {})
        self._depth = 0

    def integer(self, low: int, high: int) -> int:
        """An int within these bounds: small, at a bound, or any."""
        sort = self.random.randrange(4)
        if sort == 0:
            return self.random.choice((low, high))
        if sort == 1:
            return self.random.randint(low, high)
        return self.random.randint(max(low, -_SMALL), min(high, _SMALL))

    def text(self) -> str:
        """A short text."""
        return "".join(self.random.choices(_CHARACTERS, k=self.random.randint(0, _MOST_CHARACTERS)))

    def octets(self) -> bytes:
        """A short byte string."""
        return self.random.randbytes(self.random.randint(0, _MOST_CHARACTERS))

    def descriptor(self) -> int:
        """A descriptor, which the caller owns, of a file in memory with random bytes; its position is 0."""
        fd = os.memfd_create("sample", os.MFD_CLOEXEC)
        os.pwrite(fd, self.octets(), 0)
        return fd

    def several(self, sample: Callable[[Dice], T], count: int | None = None) -> list[T]:
        """The elements of a container: `count`, or a few, and none deep inside other containers."""
        if count is None:
            count = self.random.randint(0, max(_MOST_ELEMENTS - self._depth, 0))
        self._depth += 1
        try:
            return [sample(self) for _ in range(count)]
        finally:
            self._depth -= 1

    def maybe(self, sample: Callable[[Dice], T]) -> T | None:
        """A value or None."""
        found = self.several(sample, self.random.randint(0, self._depth < _MOST_ELEMENTS))
        return found[0] if found else None

    def made(self, python: type[Any], sample: Callable[[], T]) -> T:
        """A value of a class: by the function for it, else by `sample()`, which may raise and is tried again.

        Raises:
            NoSample: every try has raised.
        """
        own = self._make.get(python)
        if own is not None:
            value: T = own(self.random)
            return value
        for _ in range(_MOST_TRIES):
            try:
                return sample()
            except NoSample:
                raise
            except (ProtocolViolation, ValueError, TypeError, ArithmeticError) as error:
                refusal = error
        raise self.refusal(python, f"it refuses random ones ({text_shown(refusal)})")

    def refusal(self, python: type[Any], reason: str) -> NoSample:
        """Make the error for a class whose values cannot be made up."""
        name = python.__qualname__
        return NoSample(
            f"no {name} can be made up: {reason}; give an answer, or make={{{name}: a function of a Random}}"
        )
