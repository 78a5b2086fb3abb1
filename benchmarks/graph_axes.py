"""Owns the axes of a graph: units, scales, and the round values to write on an axis.
Must not know what is measured, nor how a graph is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_MOST_TICKS = 8


class Unit(NamedTuple):
    """How an axis writes numbers, and the base whose powers are round on it."""

    text: Callable[[float], str]
    base: int = 10


class Axis(NamedTuple):
    title: str
    unit: Unit
    is_logarithmic: bool = True
    """If false, the axis is linear and begins at 0."""


def _bytes_text(value: float) -> str:
    for name in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:g} {name}"
        value /= 1024
    return f"{value:g} GiB"


def _seconds_text(value: float) -> str:
    for name, size in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if value < 0.9999 * 1000 * size:
            return f"{value / size:.3g} {name}" if value else "0"
    return f"{value:.3g} s"


BYTES = Unit(_bytes_text, base=2)
SECONDS = Unit(_seconds_text)
COUNT = Unit(lambda value: f"{value:,.12g}")
THOUSANDS = Unit(lambda value: f"{value / 1000:,.12g}")
"""For an axis whose title says "thousand"."""


class Scale(NamedTuple):
    """Maps values to places on the page: `low` to `first`, `high` to `last`."""

    low: float
    high: float
    first: float
    last: float
    is_logarithmic: bool

    def at(self, value: float) -> float:
        """Return the place of a value, in pixels."""
        if self.is_logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)


def ticks(low: float, high: float, axis: Axis) -> list[float]:
    """Return at most a few round values between two, to write on an axis."""
    if not axis.is_logarithmic:
        step = _round_step((high - low) / (_MOST_TICKS - 2))
        return [number * step for number in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]
    if axis.unit.base == 2:
        # Steps of 2, 4, 16, 32 and 1024 are round for powers of two.
        for bits in (1, 2, 4, 5, 10):
            powers = _powers(2**bits, low, high)
            if len(powers) <= _MOST_TICKS:
                return powers
        return powers
    decades = _powers(10, low, high)
    if len(decades) >= 3:
        return decades[:: math.ceil(len(decades) / _MOST_TICKS)]
    return [value for value in _in_decades(low, high, (1, 2, 5)) if _within(value, low, high)]


def _round_step(least: float) -> float:
    size: float = 10.0 ** math.floor(math.log10(least))
    return next(factor * size for factor in (1, 2, 5, 10) if factor * size >= least * (1 - 1e-9))


def _powers(base: int, low: float, high: float) -> list[float]:
    first, last = math.log(low, base), math.log(high, base)
    return [float(base) ** power for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)]


def _in_decades(low: float, high: float, factors: Sequence[int]) -> Iterator[float]:
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        # Divided, because 5 / 10**5 is the float 5e-05 and 5 * 10**-5 is not.
        yield from (factor * 10.0**power if power >= 0 else factor / 10.0**-power for factor in factors)


def _within(value: float, low: float, high: float) -> bool:
    return low * (1 - 1e-9) <= value <= high * (1 + 1e-9)


def scale(values: Sequence[float], axis: Axis, first: float, last: float, *, rounded: bool) -> Scale:
    """Return a scale around all values; if `rounded`, it ends at round ones."""
    low, high = min(values), max(values)
    if not axis.is_logarithmic:
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
        if rounded:
            step = _round_step((high - low) / (_MOST_TICKS - 2))
            low, high = math.floor(low / step) * step, math.ceil(high / step - 1e-9) * step
    elif rounded:
        around = list(_in_decades(low / 10, high * 10, (1, 2, 5)))
        low = max(value for value in around if value <= low * (1 + 1e-9))
        high = min(value for value in around if value >= high * (1 - 1e-9))
    if low == high:
        low, high = low / 2, high * 2
    return Scale(low, high, first, last, axis.is_logarithmic)
