"""Owns the places of names on a graph: near the ends of their lines, and off the other names and lines.
Must not know what is measured, nor how a graph is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from benchmarks.graph_axes import Scale

Point: TypeAlias = tuple[float, float]
"""A place on the page, in pixels."""

GAP = 26
"""Pixels between the plot and the names at its right: room for the lines that lead to them."""
CHARACTER_WIDTH = 6.7
"""Average width of a character, in pixels: the reader's typeface is unknown."""
_HEIGHT = 16
_FARTHEST = 215
"""Pixels from a line's end within which a place for its name is sought."""
_ABOVE, _BELOW = -9, 18
"""Pixels from the end of a line to the baseline of a name there."""


class Label(NamedTuple):
    """A name on the page: its baseline is at y, and its part `anchor` at x."""

    text: str
    x: float
    y: float
    anchor: str

    def overlaps(self, other: Label) -> bool:
        """Whether the two names overlap."""
        (left, right), (others_left, others_right) = self._extent(), other._extent()
        return abs(self.y - other.y) < _HEIGHT - 0.01 and left < others_right and others_left < right

    def is_crossed_by(self, line: Sequence[Point]) -> bool:
        """Whether a line runs through the name."""
        left, right = self._extent()
        for (x1, y1), (x2, y2) in pairwise(line):
            if x1 < right and left < x2:
                slope = (y2 - y1) / (x2 - x1)
                begin = y1 + slope * (max(left, x1) - x1)
                end = y1 + slope * (min(right, x2) - x1)
                if min(begin, end) < self.y + 5 and max(begin, end) > self.y - 12:
                    return True
        return False

    def _extent(self) -> tuple[float, float]:
        width = CHARACTER_WIDTH * len(self.text)
        left = self.x - width / 2 if self.anchor == "middle" else self.x
        return left, left + width


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places in the order of the wanted ones and as near to them as possible.

    They are at least `gap` apart, and between `low` and `high` if there is room."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    # Neighbours that would touch form a group around the mean of their wanted places.
    groups: list[tuple[list[int], float]] = []
    for index in order:
        groups.append(([index], min(max(wanted[index], low), high)))
        while len(groups) > 1 and _touch(groups[-2], groups[-1], gap):
            members = groups[-2][0] + groups[-1][0]
            half = gap * (len(members) - 1) / 2
            middle = sum(wanted[member] for member in members) / len(members)
            groups[-2:] = [(members, max(min(middle, high - half), low + half))]
    places = [0.0] * len(wanted)
    for members, middle in groups:
        for number, member in enumerate(members):
            places[member] = middle + gap * (number - (len(members) - 1) / 2)
    return places


def _touch(upper: tuple[list[int], float], lower: tuple[list[int], float], gap: float) -> bool:
    reach = gap * (len(upper[0]) + len(lower[0])) / 2
    return lower[1] - upper[1] < reach


def labels(names: Sequence[str], lines: Sequence[Sequence[Point]], across: Scale, up: Scale) -> list[Label]:
    """Place the name of each line.

    Lines that reach the right edge have their names in a column there, in the order of their ends; the others
    as near to their ends as no line or name is in the way."""
    ends = [line[-1] for line in lines]
    at_edge = [index for index, (x, _) in enumerate(ends) if x > across.last - 0.5]
    column = spread([ends[index][1] for index in at_edge], _HEIGHT, up.last, up.first)
    placed = {
        index: Label(names[index], across.last + GAP, y + 4, "start")
        for index, y in zip(at_edge, column, strict=True)
    }
    for index, (x, y) in enumerate(ends):
        if index not in placed:
            wanted = Label(names[index], x, y + _ABOVE, "middle")
            placed[index] = _free_place(wanted, list(placed.values()), lines, up)
    return [placed[index] for index in range(len(lines))]


def _free_place(wanted: Label, others: Sequence[Label], lines: Sequence[Sequence[Point]], up: Scale) -> Label:
    """Return the nearest free place above the line's end or below it, or the wanted one if all are taken."""
    for step in range(0, _FARTHEST, 2):
        for label in (
            wanted._replace(y=wanted.y - step),
            wanted._replace(y=wanted.y - _ABOVE + _BELOW + step),
        ):
            if any(label.overlaps(other) for other in others) or any(map(label.is_crossed_by, lines)):
                continue
            if up.last <= label.y <= up.first - 4:
                return label
    return wanted
