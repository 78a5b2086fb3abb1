"""Owns the text of a source file, and places in it: offsets, lines, columns, spans.

Must not know the language. Lines and columns count from 1, columns in characters.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from os.path import basename

import attrs


@attrs.frozen(eq=False)
class Source:
    """One file that the compiler reads."""

    path: str
    """As the user gave it."""
    text: str = attrs.field(repr=False)
    """The text, with LF as the only line end. A byte that is not UTF-8 is a lone surrogate (PEP 383)."""
    _lines: tuple[str, ...] = attrs.field(init=False, repr=False)
    _line_starts: tuple[int, ...] = attrs.field(init=False, repr=False)

    @_lines.default
    def _split(self) -> tuple[str, ...]:
        return tuple(self.text.split("\n"))

    @_line_starts.default
    def _measure(self) -> tuple[int, ...]:
        return tuple(accumulate((len(line) + 1 for line in self._lines), initial=0))[:-1]

    @property
    def name(self) -> str:
        """The file's base name."""
        return basename(self.path)

    def place(self, offset: int) -> tuple[int, int]:
        """The line and column of an offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    @property
    def line_count(self) -> int:
        """The number of lines."""
        return len(self._lines)

    def offset(self, line: int, characters: int) -> int:
        """The offset after the given number of characters of a line."""
        return self._line_starts[line - 1] + characters

    def line(self, number: int) -> str:
        """The text of a line, without its end."""
        return self._lines[number - 1]


@attrs.frozen
class Span:
    """The characters from `start` up to `end` of a source."""

    source: Source = attrs.field(repr=False)
    start: int
    end: int

    @property
    def line(self) -> int:
        """The line on which it starts."""
        return self.source.place(self.start)[0]

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of the other."""
        return Span(self.source, self.start, other.end)


def read_source(path: str) -> Source:
    """Read a file. Bytes that are not UTF-8 stay in it, and `tokenize` refuses them.

    Raises:
        OSError: the file cannot be read.
        ValueError: the path is impossible.
    """
    with open(path, "rb") as file:
        return source_of(path, file.read())


def source_of(path: str, data: bytes) -> Source:
    """The source that a file of these bytes is."""
    return Source(path, with_plain_line_ends(data.decode("utf-8", "surrogateescape")))


def with_plain_line_ends(text: str) -> str:
    """A text with LF as the only line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
