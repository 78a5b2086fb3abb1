"""Owns how long lines of Python are broken: as `ruff format` breaks them.

Must not know what the lines mean, only their brackets, commas and strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

WIDTH = 110
"""The longest line, in characters."""

INDENTATION = "    "

_OPENERS = "(["
_ANNOTATED = re.compile(r"\w+: [^=(]+ = ")
"""The target and annotation of an assignment, which are never broken."""


@attrs.frozen
class _Split:
    """A line taken apart at its first bracket."""

    head: str
    """The line up to the bracket, which ends it."""
    items: tuple[str, ...]
    ends_in_comma: bool
    tail: str
    """The line from the closing bracket on."""

    @property
    def is_tuple(self) -> bool:
        """Whether it is a tuple, whose items get a line each at once; arguments first try to share one."""
        return self.head[-1] == "(" and self.head[-2:-1] in ("", " ", "(", "[")

    @property
    def keeps_comma(self) -> bool:
        """Whether the last item gets a comma once each has its line."""
        return len(self.items) > 1 or self.ends_in_comma or self.head.startswith("def ")


def fits(text: str, indent: str) -> bool:
    """Whether an indented line needs no break."""
    return len(indent) + len(text) <= WIDTH


def wrapped(text: str, indent: str) -> Iterator[str]:
    """Break a line, if it is too long."""
    if fits(text, indent):
        yield indent + text
        return
    split = _split(_parenthesized(text, indent))
    if split is None:
        yield indent + text
        return
    yield indent + split.head
    yield from _body(split, indent + INDENTATION)
    yield from _tail(split.tail, indent)


def _parenthesized(text: str, indent: str) -> str:
    """The text; in an assignment, with brackets around the part that ruff breaks first."""
    target, assigns, value = text.partition(" = ")
    if not assigns or _first_bracket(target) >= 0:
        return text
    split = _split(text)
    if split is None:
        return f"{target} = ({value})"
    return f"({target}) = {value}" if "," in target and not fits(split.head, indent) else text


def _body(split: _Split, indent: str) -> Iterator[str]:
    together = ", ".join(split.items)
    if not split.is_tuple and fits(together, indent):
        yield indent + together + ("," if split.keeps_comma and len(split.items) == 1 else "")
        return
    for item in split.items:
        yield from _item(item + ("," if split.keeps_comma else ""), indent)


def _item(text: str, indent: str) -> Iterator[str]:
    if fits(text, indent):
        yield indent + text
        return
    first, *others = _divide(text, " | ")
    yield from wrapped(first, indent)
    for other in others:
        yield from wrapped(f"| {other}", indent)


def _tail(text: str, indent: str) -> Iterator[str]:
    """The rest of a line from a closing bracket on, broken at its own brackets if it is still too long."""
    if fits(text, indent):
        yield indent + text
        return
    split = _split(text[1:])
    if split is None:
        yield indent + text
        return
    yield indent + text[0] + split.head
    yield from _body(split, indent + INDENTATION)
    yield from _tail(split.tail, indent)


def _split(text: str) -> _Split | None:
    annotated = _ANNOTATED.match(text)
    start = _first_bracket(text, annotated.end() if annotated else 0)
    if start < 0:
        return None
    end = _end_of_bracket(text, start)
    inside = text[start + 1 : end]
    items = tuple(item.strip() for item in _divide(inside.removesuffix(","), ","))
    return _Split(text[: start + 1], items, inside.endswith(","), text[end:]) if inside else None


def _first_bracket(text: str, start: int = 0) -> int:
    return min((at for opener in _OPENERS if (at := text.find(opener, start)) >= 0), default=-1)


def _end_of_bracket(text: str, start: int) -> int:
    return next(at for at, depth in _depths(text) if at > start and depth == 0)


def _divide(text: str, separator: str) -> list[str]:
    """Split a text at the separators outside of brackets and strings."""
    parts, begin = [], 0
    for at, depth in _depths(text):
        if depth == 0 and at >= begin and text.startswith(separator, at):
            parts.append(text[begin:at])
            begin = at + len(separator)
    return [*parts, text[begin:]]


def _depths(text: str) -> Iterator[tuple[int, int]]:
    """The offset of each character outside of strings, with the number of brackets open after it."""
    depth, in_string = 0, False
    for at, character in enumerate(text):
        in_string ^= character == '"'
        if not in_string:
            depth += (character in "([") - (character in ")]")
            yield at, depth
