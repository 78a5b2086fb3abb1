"""Owns diagnostics: where the input is wrong, in which way, how to correct it, and how that is shown.

Must not know any stage of the compiler.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from itertools import islice

import attrs

from ipcc.source import Source, Span

_WIDEST = 120
"""At most this many characters of a source line are shown."""

_ELLIPSIS = "..."

_MOST_COMPARED = 1000
"""Names that a misspelt one is compared with, since each takes about 10 us."""

MAX_ERRORS = 100
"""A compilation shows at most this many errors, and the number of the others."""


class CompileError(Exception):
    """Raised when the input is wrong. Its text shows every error as the command does."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        """Every error, in order."""
        super().__init__("\n".join(map(str, self.diagnostics)))


class CommandError(Exception):
    """Raised when the command line is wrong, or its output cannot be written.

    The command prints the text in one line and exits with `code`.
    """

    def __init__(self, text: str, code: int = 2) -> None:
        super().__init__(text)
        self.code = code


@attrs.frozen
class Diagnostic:
    """One error."""

    place: Span | str
    """A span, or the path of a file that is wrong as a whole."""
    message: str
    hint: str = ""
    """How to correct it."""

    def __str__(self) -> str:
        return self.shown()

    def shown(self, *, in_colour: bool = False) -> str:
        """As the command shows it: the error, then the source line with carets under the wrong part."""
        paint = _painted if in_colour else _plain
        if isinstance(self.place, str):
            hint = f": {self.hint}" if self.hint else ""
            return _headline(self.place, self.message + hint, paint)
        return _shown_at(self.place, self.message, self.hint, paint)

    def as_json(self) -> dict[str, object]:
        """As editors read it. Lines and columns count from 1, columns in characters; `end` is exclusive.

        An error of a whole file is placed at its beginning.
        """
        line, column = end_line, end_column = 1, 1
        file = self.place
        if isinstance(file, Span):
            source = file.source
            line, column = source.place(file.start)
            end_line, end_column = source.place(file.end)
            file = source.path
        return {
            "file": file,
            "line": line,
            "column": column,
            "end": {"line": end_line, "column": end_column},
            "severity": "error",
            "message": self.message,
            "hint": self.hint,
        }


class Report:
    """Collects the diagnostics of one compilation: the first MAX_ERRORS, and the number of the others."""

    def __init__(self) -> None:
        self._diagnostics: list[Diagnostic] = []
        self._more = 0

    def error(self, place: Span | str, message: str, hint: str | Callable[[], str] = "") -> None:
        """Add an error. A hint that takes time to find is given as a function, which may not be called."""
        if len(self._diagnostics) == MAX_ERRORS:
            self._more += 1
        else:
            self._diagnostics.append(Diagnostic(place, message, hint if isinstance(hint, str) else hint()))

    def __bool__(self) -> bool:
        return bool(self._diagnostics)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._diagnostics)

    def in_order_of(self, sources: Iterable[Source]) -> list[Diagnostic]:
        """The diagnostics: those of whole files first, then by source in the given order and by place."""
        rank = {source: number for number, source in enumerate(sources)}

        def key(diagnostic: Diagnostic) -> tuple[int, int]:
            place = diagnostic.place
            return (-1, 0) if isinstance(place, str) else (rank[place.source], place.start)

        return [*sorted(self._diagnostics, key=key), *self._others()]

    def _others(self) -> Iterator[Diagnostic]:
        if self._more:
            last = self._diagnostics[-1].place
            path = last if isinstance(last, str) else last.source.path
            shown = f"{self._more} more {'is' if self._more == 1 else 'are'} not shown"
            yield Diagnostic(path, "too many errors", shown)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest known name; empty if none is near."""
    near = get_close_matches(name, list(islice(known, _MOST_COMPARED)), n=1)
    return f"did you mean '{near[0]}'?" if near else ""


def seen_from(place: Span, other: Span) -> str:
    """How a diagnostic at `place` refers to `other`: by its line, and by its file if that is another."""
    if other.source is place.source:
        return f"on line {other.line}"
    return f"in {other.source.path}, line {other.line}"


_Paint = Callable[[str, str], str]

_STYLES = {"place": "1", "error": "1;31", "message": "1", "gutter": "1;34", "caret": "1;31", "hint": "36"}
"""The look of each part on a terminal, as parameters of the SGR sequence of ECMA-48."""


def _painted(part: str, text: str) -> str:
    return f"\x1b[{_STYLES[part]}m{text}\x1b[0m" if text else ""


def _plain(part: str, text: str) -> str:
    return text


def _headline(place: str, message: str, paint: _Paint) -> str:
    return f"{paint('place', f'{place}:')} {paint('error', 'error:')} {paint('message', message)}"


def _shown_at(span: Span, message: str, hint: str, paint: _Paint) -> str:
    line, column = span.source.place(span.start)
    start = column - 1
    text, start, end = _clipped(span.source.line(line), start, start + span.end - span.start)
    carets = "^" * max(1, _width(text[start:end]))
    return (
        f"{_headline(f'{span.source.path}:{line}:{column}', message, paint)}\n"
        f"{paint('gutter', f'{line:>5} |')} {_printable(text)}\n"
        f"{paint('gutter', '      |')} {_blank(text[:start])}{paint('caret', carets)}"
        f"{' ' + paint('hint', hint) if hint else ''}"
    )


def _clipped(text: str, start: int, end: int) -> tuple[str, int, int]:
    """The part of a long line around the mark from `start` up to `end`, and the mark's place in it."""
    if len(text) <= _WIDEST:
        return text, start, end
    first = max(0, min(start - _WIDEST // 3, len(text) - _WIDEST))
    before = _ELLIPSIS if first else ""
    after = _ELLIPSIS if first + _WIDEST < len(text) else ""
    shift = len(before) - first
    last = min(end, first + _WIDEST)
    return f"{before}{text[first : first + _WIDEST]}{after}", start + shift, last + shift


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _blank(text: str) -> str:
    """White space as wide as the text on a terminal; tabs stay, so that the caret lines up."""
    return "".join("\t" if c == "\t" else " " * _width(c) for c in text)


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
