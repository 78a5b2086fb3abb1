"""Figures to a picture: a graph of lines, as SVG text. Shown as an example by

    python -m benchmarks.graph > example.svg

Pure, and the same text for the same figures. Knows scales, ticks and where labels fit; nothing of what was
measured.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple, TypeAlias

WIDTH, HEIGHT = 760, 430
_LEFT, _TOP, _BOTTOM = 76, 94, 52
_LABEL_GAP = 26
"""Between the plot and the names at its right: room for the lines that lead to them."""
_LABEL_HEIGHT = 16
_CHARACTER_WIDTH = 6.7
"""Of the names' type on average, for nobody tells how wide the reader's typeface is."""
_ABOVE, _BENEATH = -9, 18
"""From the end of a line to a name there: its baseline."""
_MOST_TICKS = 8

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
# Colours that keep apart for the common kinds of colour blindness (after Okabe and Ito), all in the middle
# of the range of brightness: they are read on white and on black.
_OURS = "#0f7ac2"
_PEERS = ("#d55e00", "#009e73", "#b5609a", "#a88400", "#7b61c4", "#7f7f7f", "#c0392b", "#4d9221", "#8c6d5a")


# --- what is drawn ---


class Role(enum.Enum):
    """How a line stands out."""

    OURS = enum.auto()
    """Thick."""
    FLOOR = enum.auto()
    """Dashed: what the others are measured by."""
    PEER = enum.auto()
    """Thin, each in a colour of its own."""


Point: TypeAlias = tuple[float, float]


class Series(NamedTuple):
    """A line: its name, and (x, y) from left to right."""

    name: str
    points: Sequence[Point]
    role: Role = Role.PEER


class Unit(NamedTuple):
    """How numbers on an axis are written, and of what base its round ones are powers."""

    text: Callable[[float], str]
    base: int = 10


class Axis(NamedTuple):
    title: str
    unit: Unit
    is_logarithmic: bool = True
    """Else it is linear, and begins at 0."""


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
"""Of a title that says "thousand"."""


# --- scales ---


class Scale(NamedTuple):
    """From values to places on the page: `low` is at `first`, `high` at `last`."""

    low: float
    high: float
    first: float
    last: float
    is_logarithmic: bool

    def at(self, value: float) -> float:
        """The place of a value, in pixels."""
        if self.is_logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)


def ticks(low: float, high: float, axis: Axis) -> list[float]:
    """The round values to write on an axis that shows what is between two, a few of them."""
    if not axis.is_logarithmic:
        step = _round_step((high - low) / (_MOST_TICKS - 2))
        return [number * step for number in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]
    if axis.unit.base == 2:
        # Steps of 2, 4, 16, 32, 1024: what a reader of powers of two calls round.
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
        # Divided where it can be, for 5e-05 is 5 / 10**5 and not 5 * 10**-5.
        yield from (factor * 10.0**power if power >= 0 else factor / 10.0**-power for factor in factors)


def _within(value: float, low: float, high: float) -> bool:
    return low * (1 - 1e-9) <= value <= high * (1 + 1e-9)


def _scale(values: Sequence[float], axis: Axis, first: float, last: float, *, rounded: bool) -> Scale:
    """Around all values; `rounded` ends it at round ones."""
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


# --- labels ---


class Label(NamedTuple):
    """A name on the page: where its baseline is, and which part of it is at x."""

    text: str
    x: float
    y: float
    anchor: str

    def overlaps(self, other: Label) -> bool:
        """Whether the two would be hard to tell apart."""
        (left, right), (others_left, others_right) = self._extent(), other._extent()
        return abs(self.y - other.y) < _LABEL_HEIGHT - 0.01 and left < others_right and others_left < right

    def is_crossed_by(self, line: Sequence[Point]) -> bool:
        """Whether a line runs through it."""
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
        width = _CHARACTER_WIDTH * len(self.text)
        left = self.x - width / 2 if self.anchor == "middle" else self.x
        return left, left + width


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near as can be to those that are wanted, in their order, at least `gap` apart, and between
    `low` and `high` if there is room."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    # Neighbours that would touch form a group around the middle of what its members want.
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


# --- the picture ---


def line_graph(
    title: str, description: str, x_axis: Axis, y_axis: Axis, series: Sequence[Series], note: str = ""
) -> str:
    """An SVG document of these lines, each with its name at its end; `description` is for who cannot see it,
    `note` stands beneath the title.

    ValueError for nothing to draw, for a series without points, and for what a logarithmic axis cannot show.
    """
    _check(x_axis, y_axis, series)
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    at_edge = [one.name for one in series if one.points[-1][0] == max(xs)]
    right = _LABEL_GAP + 12 + _CHARACTER_WIDTH * max(map(len, at_edge))
    across = _scale(xs, x_axis, _LEFT, WIDTH - right, rounded=False)
    up = _scale(ys, y_axis, HEIGHT - _BOTTOM, _TOP, rounded=True)
    identity = re.sub(r"\W+", "-", f"graph {title}").strip("-").lower()
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{identity}" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{_FONT}" font-size="12" role="img" '
        f'aria-labelledby="{identity}-title {identity}-desc">',
        f'<title id="{identity}-title">{escape(title)}</title>',
        f'<desc id="{identity}-desc">{escape(description)}</desc>',
        *_style(identity),
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        f'<text class="ink" x="20" y="30" font-size="16" font-weight="600">{escape(title)}</text>',
        f'<text class="faint" x="20" y="49">{escape(note)}</text>' if note else "",
        *_vertical_axis(y_axis, up, across),
        *_horizontal_axis(x_axis, across, up),
        *_series(series, across, up),
        "</svg>",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def _check(x_axis: Axis, y_axis: Axis, series: Sequence[Series]) -> None:
    if not series:
        raise ValueError("a graph needs a series")
    for one in series:
        if not one.points:
            raise ValueError(f"series {one.name!r} has no points")
        for point in one.points:
            for axis, value in zip((x_axis, y_axis), point, strict=True):
                if not math.isfinite(value) or (axis.is_logarithmic and value <= 0):
                    raise ValueError(f"series {one.name!r}: {value} has no place on the axis {axis.title!r}")


def _style(identity: str) -> list[str]:
    """Colours that the reader's choice of light or dark changes, for this picture alone on its page."""
    return [
        "<style>",
        *_colours(identity, paper="#ffffff", ink="#1f2328", faint="#59636e", grid="#e3e6ea"),
        "@media (prefers-color-scheme: dark) {",
        *_colours(identity, paper="#15181d", ink="#e6e9ed", faint="#9aa4af", grid="#2e343c"),
        "}",
        "</style>",
    ]


def _colours(identity: str, *, paper: str, ink: str, faint: str, grid: str) -> Iterator[str]:
    yield f"#{identity} .paper {{ fill: {paper} }}"
    yield f"#{identity} .dot {{ stroke: {paper} }}"
    yield f"#{identity} .ink {{ fill: {ink} }}"
    yield f"#{identity} .faint {{ fill: {faint} }}"
    yield f"#{identity} .grid {{ stroke: {grid} }}"
    yield f"#{identity} .axis {{ stroke: {faint} }}"
    yield f"#{identity} .floor {{ stroke: {ink} }}"


def _vertical_axis(axis: Axis, up: Scale, across: Scale) -> Iterator[str]:
    left, right = _number(across.first), _number(across.last)
    for value in ticks(up.low, up.high, axis):
        y = up.at(value)
        yield f'<line class="grid" x1="{left}" y1="{_number(y)}" x2="{right}" y2="{_number(y)}"/>'
        yield _text(across.first - 9, y + 4, axis.unit.text(value), "faint", "end")
    yield _text(20, up.last - 17, axis.title, "ink", "start")


def _horizontal_axis(axis: Axis, across: Scale, up: Scale) -> Iterator[str]:
    y = up.first
    left, right = _number(across.first), _number(across.last)
    yield f'<line class="axis" x1="{left}" y1="{_number(y)}" x2="{right}" y2="{_number(y)}"/>'
    for value in ticks(across.low, across.high, axis):
        x = _number(across.at(value))
        yield f'<line class="axis" x1="{x}" y1="{_number(y)}" x2="{x}" y2="{_number(y + 4)}"/>'
        yield _text(across.at(value), y + 18, axis.unit.text(value), "faint", "middle")
    yield _text((across.first + across.last) / 2, y + 39, axis.title, "ink", "middle")


def _series(series: Sequence[Series], across: Scale, up: Scale) -> Iterator[str]:
    colours = _series_colours(series)
    labels = _labels(series, across, up)
    # Ours is drawn last, over the others; names are over all lines.
    for one, colour in sorted(
        zip(series, colours, strict=True), key=lambda drawn: drawn[0].role is Role.OURS
    ):
        yield "<g>" + _line(one, colour, across, up)
        yield from _dots(one, colour, across, up)
        yield "</g>"
    for one, colour, label in zip(series, colours, labels, strict=True):
        if label.anchor == "start":
            yield _leader(one, colour, across, up, label)
        weight = ' font-weight="600"' if one.role is Role.OURS else ""
        place = f'x="{_number(label.x)}" y="{_number(label.y)}" text-anchor="{label.anchor}"'
        yield f'<text class="ink label" {place}{weight}>{escape(one.name)}</text>'


def _labels(series: Sequence[Series], across: Scale, up: Scale) -> list[Label]:
    """Of lines that reach the right edge in a column there, in the order of their ends; of others as near to
    their ends as no line or name is in the way."""
    ends = [(across.at(one.points[-1][0]), up.at(one.points[-1][1])) for one in series]
    at_edge = [index for index, (x, _) in enumerate(ends) if x > across.last - 0.5]
    column = spread([ends[index][1] for index in at_edge], _LABEL_HEIGHT, up.last, up.first)
    labels = {
        index: Label(series[index].name, across.last + _LABEL_GAP, y + 4, "start")
        for index, y in zip(at_edge, column, strict=True)
    }
    drawn = [[(across.at(x), up.at(y)) for x, y in one.points] for one in series]
    for index, (x, y) in enumerate(ends):
        if index not in labels:
            wanted = Label(series[index].name, x, y + _ABOVE, "middle")
            labels[index] = _free_place(wanted, list(labels.values()), drawn)
    return [labels[index] for index in range(len(series))]


def _free_place(wanted: Label, others: Sequence[Label], drawn: Sequence[Sequence[Point]]) -> Label:
    """Above the wanted place if need be, or beneath the line's end; the wanted one where all is full."""
    for step in range(0, HEIGHT // 2, 2):
        for label in (
            wanted._replace(y=wanted.y - step),
            wanted._replace(y=wanted.y - _ABOVE + _BENEATH + step),
        ):
            if any(label.overlaps(other) for other in others) or any(map(label.is_crossed_by, drawn)):
                continue
            if _TOP <= label.y <= HEIGHT - _BOTTOM - 4:
                return label
    return wanted


def _series_colours(series: Sequence[Series]) -> list[str]:
    """Peers by turns; the floor has the colour of the text, from the style."""
    peers = 0
    colours = []
    for one in series:
        if one.role is Role.PEER:
            colours.append(_PEERS[peers % len(_PEERS)])
            peers += 1
        else:
            colours.append(_OURS if one.role is Role.OURS else "")
    return colours


def _stroke(role: Role, colour: str) -> str:
    if role is Role.FLOOR:
        return 'class="floor" stroke-width="1.8" stroke-dasharray="6 4"'
    return f'stroke="{colour}" stroke-width="{3.2 if role is Role.OURS else 1.5}"'


def _line(one: Series, colour: str, across: Scale, up: Scale) -> str:
    points = " ".join(f"{_number(across.at(x))},{_number(up.at(y))}" for x, y in one.points)
    return f'<polyline fill="none" stroke-linejoin="round" {_stroke(one.role, colour)} points="{points}"/>'


def _dots(one: Series, colour: str, across: Scale, up: Scale) -> Iterator[str]:
    """Where it was measured; between them the line is only drawn."""
    radius = 4.2 if one.role is Role.OURS else 2.6
    fill = 'class="ink dot"' if one.role is Role.FLOOR else f'class="dot" fill="{colour}"'
    for x, y in one.points:
        yield f'<circle {fill} cx="{_number(across.at(x))}" cy="{_number(up.at(y))}" r="{radius}"/>'


def _leader(one: Series, colour: str, across: Scale, up: Scale, label: Label) -> str:
    """From a line's end to its name."""
    y = up.at(one.points[-1][1])
    beside = label.y - 4
    points = _joined((across.last + 6, y), (label.x - 7, beside), (label.x - 3, beside))
    stroke = 'class="floor"' if one.role is Role.FLOOR else f'stroke="{colour}"'
    return f'<polyline fill="none" {stroke} stroke-width="1.1" points="{points}"/>'


def _joined(*points: tuple[float, float]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _text(x: float, y: float, text: str, colour: str, anchor: str) -> str:
    place = f'x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}"'
    return f'<text class="{colour}" {place}>{escape(text)}</text>'


def _number(value: float) -> str:
    """To a tenth of a pixel, without what says nothing."""
    return f"{value:.1f}".removesuffix(".0")


# --- an example ---


def example() -> str:
    """Times that a straight law gives: a fixed cost, and one by size."""

    def costs(fixed: float, bytes_a_second: float, sizes: Iterable[int]) -> list[tuple[float, float]]:
        return [(size, fixed + size / bytes_a_second) for size in sizes]

    sizes = [16 * 4**step for step in range(11)]
    return line_graph(
        "Time of an echo by the size of its payload",
        "Lines that rise from some microseconds at 16 bytes to some milliseconds at 16 MiB.",
        Axis("payload", BYTES),
        Axis("time for the way there and back", SECONDS),
        [
            Series("corelib-ipc", costs(12e-6, 3.1e9, sizes), Role.OURS),
            Series("blocking sockets", costs(41e-6, 1.4e9, sizes), Role.FLOOR),
            Series("multiprocessing", costs(60e-6, 1.3e9, sizes)),
            Series("asyncio", costs(120e-6, 1.0e9, sizes)),
            Series("uvloop", costs(80e-6, 1.1e9, sizes)),
            Series("pyzmq, msgpack", costs(140e-6, 1.2e9, sizes)),
            Series("RPyC", costs(300e-6, 0.4e9, sizes)),
            Series("Pyro5", costs(320e-6, 0.5e9, sizes)),
            Series("gRPC", costs(420e-6, 0.3e9, sizes[:9])),
            Series("dbus-fast", costs(900e-6, 0.05e9, sizes[:8])),
        ],
        "Median; an example, not measured",
    )


if __name__ == "__main__":
    print(example(), end="")
