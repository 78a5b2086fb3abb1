"""Owns the drawing of lines as an SVG graph; `python -m benchmarks.graph > example.svg` draws an example.
Must not know what was measured: the same figures give the same text."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from benchmarks.graph_axes import BYTES, SECONDS, Axis, Scale, scale, ticks
from benchmarks.graph_labels import CHARACTER_WIDTH, GAP, Label, Point, labels

WIDTH, HEIGHT = 760, 430
_LEFT, _TOP, _BOTTOM = 76, 94, 52

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_OURS = "#0f7ac2"
_PEERS = ("#d55e00", "#009e73", "#b5609a", "#a88400", "#7b61c4", "#7f7f7f", "#c0392b", "#4d9221", "#8c6d5a")
"""Colours that readers with the common kinds of colour blindness tell apart (after Okabe and Ito). Their
medium brightness makes them legible on white and on black."""


# --- what is drawn ---


class Role(enum.Enum):
    """How a line is drawn."""

    OURS = enum.auto()
    """A thick line."""
    FLOOR = enum.auto()
    """A dashed line: the reference of the others."""
    PEER = enum.auto()
    """A thin line in a colour of its own."""


class Series(NamedTuple):
    """A line: its name, and its values (x, y) from left to right."""

    name: str
    points: Sequence[Point]
    role: Role = Role.PEER


# --- the picture ---


def line_graph(
    title: str, description: str, x_axis: Axis, y_axis: Axis, series: Sequence[Series], note: str = ""
) -> str:
    """Return an SVG document of lines, each with its name at its end.

    `description` is for readers who cannot see the graph; `note` stands below the title.

    Raises:
        ValueError: there is no series, one has no points, or an axis cannot show a value.
    """
    _check(x_axis, y_axis, series)
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    at_edge = [one.name for one in series if one.points[-1][0] == max(xs)]
    right = GAP + 12 + CHARACTER_WIDTH * max(map(len, at_edge))
    across = scale(xs, x_axis, _LEFT, WIDTH - right, rounded=False)
    up = scale(ys, y_axis, HEIGHT - _BOTTOM, _TOP, rounded=True)
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
    """Return a style of light and dark colours that applies to this picture only."""
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
    lines = [[(across.at(x), up.at(y)) for x, y in one.points] for one in series]
    placed = labels([one.name for one in series], lines, across, up)
    # Our line is drawn last, over the others; names are drawn over all lines.
    for one, colour in sorted(
        zip(series, colours, strict=True), key=lambda drawn: drawn[0].role is Role.OURS
    ):
        yield "<g>" + _line(one, colour, across, up)
        yield from _dots(one, colour, across, up)
        yield "</g>"
    for one, colour, label in zip(series, colours, placed, strict=True):
        if label.anchor == "start":
            yield _leader(one, colour, across, up, label)
        weight = ' font-weight="600"' if one.role is Role.OURS else ""
        place = f'x="{_number(label.x)}" y="{_number(label.y)}" text-anchor="{label.anchor}"'
        yield f'<text class="ink label" {place}{weight}>{escape(one.name)}</text>'


def _series_colours(series: Sequence[Series]) -> list[str]:
    """Return a colour for each series, an empty one for the floor, which has the colour of the text."""
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
    """Draw a dot at each measured value."""
    radius = 4.2 if one.role is Role.OURS else 2.6
    fill = 'class="ink dot"' if one.role is Role.FLOOR else f'class="dot" fill="{colour}"'
    for x, y in one.points:
        yield f'<circle {fill} cx="{_number(across.at(x))}" cy="{_number(up.at(y))}" r="{radius}"/>'


def _leader(one: Series, colour: str, across: Scale, up: Scale, label: Label) -> str:
    """Draw a line from a series' end to its name."""
    y = up.at(one.points[-1][1])
    beside = label.y - 4
    points = _joined((across.last + 6, y), (label.x - 7, beside), (label.x - 3, beside))
    stroke = 'class="floor"' if one.role is Role.FLOOR else f'stroke="{colour}"'
    return f'<polyline fill="none" {stroke} stroke-width="1.1" points="{points}"/>'


def _joined(*points: Point) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _text(x: float, y: float, text: str, colour: str, anchor: str) -> str:
    place = f'x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}"'
    return f'<text class="{colour}" {place}>{escape(text)}</text>'


def _number(value: float) -> str:
    """Write a number to a tenth of a pixel, without a zero at its end."""
    return f"{value:.1f}".removesuffix(".0")


# --- an example ---


def example() -> str:
    """Draw times that follow a simple law: a fixed cost, and one by size."""

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
