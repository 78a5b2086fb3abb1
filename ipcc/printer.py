"""Owns the lines of a Python module under way, and how deep they are indented.

Must not know interfaces, nor what the lines mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ipcc.python_text import docstring
from ipcc.wrapping import INDENTATION, fits, wrapped


class Printer:
    """Takes flat lines, and breaks those that are too long."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    @property
    def text(self) -> str:
        """All lines so far."""
        return "\n".join([*self._lines, ""])

    @property
    def _indentation(self) -> str:
        return INDENTATION * self._depth

    def fits(self, line: str) -> bool:
        """Whether a line needs no break at the present depth."""
        return fits(line, self._indentation)

    def write(self, line: str) -> None:
        """Write a line, broken if it is too long."""
        self._lines += wrapped(line, self._indentation)

    def write_as_is(self, lines: Iterable[str]) -> None:
        """Write lines that are neither indented nor broken, as the inside of a string."""
        self._lines += lines

    def write_docstring(self, lines: Iterable[str]) -> None:
        """Write a docstring, in which long lines are broken at blanks."""
        self._lines += docstring(lines, self._indentation)

    def blank(self) -> None:
        """Write an empty line."""
        self._lines.append("")

    def paragraph(self, lines: Sequence[str]) -> None:
        """Write lines after an empty one; nothing if there are none."""
        if lines:
            self.blank()
        for line in lines:
            self.write(line)

    @contextmanager
    def indented(self) -> Iterator[None]:
        """Write all lines inside one level deeper."""
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def class_body(self, head: str, documentation: Iterable[str], *, decorator: str = "") -> Iterator[None]:
        """Write a class; its body is written inside. A class of the module stands after two empty lines."""
        self.blank()
        if self._depth == 0:
            self.blank()
        if decorator:
            self.write(decorator)
        self.write(head)
        with self.indented():
            self.write_docstring(documentation)
            yield

    @contextmanager
    def function_body(self, head: str, *, decorator: str = "") -> Iterator[None]:
        """Write a method after an empty line; its body is written inside."""
        self.blank()
        if decorator:
            self.write(decorator)
        self.write(head)
        with self.indented():
            yield
