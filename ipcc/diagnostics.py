"""What is wrong with the input: where, what, and how to mend it; and how that is shown.

Knows sources and spans, and no stage of the compiler.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

import attrs

from ipcc.source import Source, Span


class CompileError(Exception):
    """The input is wrong. `diagnostics` holds every error, in order; str() shows them as the tool does."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(map(str, self.diagnostics)))


class CommandError(Exception):
    """The command line is wrong, or asks for an output that cannot be written."""


@attrs.frozen
class Diagnostic:
    """One error: its place (a span, or a whole file by its path), its text, and a hint for mending it."""

    place: Span | str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        if isinstance(self.place, str):
            return f"{self.place}: error: {self.message}" + (f": {self.hint}" if self.hint else "")
        return _shown_at(self.place, self.message, self.hint)


class Report:
    """Collects the diagnostics of one compilation."""

    def __init__(self) -> None:
        self._diagnostics: list[Diagnostic] = []

    def error(self, place: Span | str, message: str, hint: str = "") -> None:
        self._diagnostics.append(Diagnostic(place, message, hint))

    def __bool__(self) -> bool:
        return bool(self._diagnostics)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._diagnostics)

    def in_order_of(self, sources: Iterable[Source]) -> list[Diagnostic]:
        """Diagnostics of whole files first, then by source as given and by place."""
        rank = {source: number for number, source in enumerate(sources)}

        def key(diagnostic: Diagnostic) -> tuple[int, int]:
            place = diagnostic.place
            return (-1, 0) if isinstance(place, str) else (rank[place.source], place.start)

        return sorted(self._diagnostics, key=key)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest known name, or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean '{near[0]}'?" if near else ""


def seen_from(place: Span, other: Span) -> str:
    """How to speak of `other` in a diagnostic at `place`: its line, with its file where that is another."""
    where = f"line {other.line}"
    return where if other.source is place.source else f"{other.source.path}, {where}"


def _shown_at(span: Span, message: str, hint: str) -> str:
    line, column = span.source.place(span.start)
    text = span.source.line(line)
    before, marked = text[: column - 1], text[column - 1 : column - 1 + span.end - span.start]
    carets = "^" * max(1, _width(marked))
    return (
        f"{span.source.path}:{line}:{column}: error: {message}\n"
        f"{line:>5} | {_printable(text)}\n"
        f"      | {_blank(before)}{carets}{' ' + hint if hint else ''}"
    )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _blank(text: str) -> str:
    """White space as wide as the text on a terminal; tabs stay, so that the caret lines up."""
    return "".join("\t" if c == "\t" else " " * _width(c) for c in text)


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
