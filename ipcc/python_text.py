"""Owns small pieces of Python text: docstrings, the contents of strings, tuples, lists of names in prose.

Must not know interfaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import dedent, wrap

from ipcc.wrapping import WIDTH

_QUOTES = '"""'


def docstring(lines: Iterable[str], indent: str) -> list[str]:
    """The lines of a docstring, formatted as `ruff format` leaves one."""
    text = "\n".join(line.expandtabs() for line in lines).strip()
    first, *others = [part for line in text.split("\n") for part in _narrowed(escaped(line), indent)]
    if not others:
        gap = " " if first.endswith('"') else ""
        return [f"{indent}{_QUOTES}{first}{gap}{_QUOTES}"]
    body = [f"{indent}{line}".rstrip() for line in dedent("\n".join(others)).split("\n")]
    return [f"{indent}{_QUOTES}{first}", *body, f"{indent}{_QUOTES}"]


def escaped(text: str) -> str:
    """A line as it is written between triple quotes."""
    quoted = text.replace("\\", "\\\\").replace(_QUOTES, '\\"\\"\\"')
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in quoted)


def comma_tuple(items: Iterable[str]) -> str:
    """A tuple display."""
    listed = list(items)
    return f"({listed[0]},)" if len(listed) == 1 else f"({', '.join(listed)})"


def listing(names: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _narrowed(line: str, indent: str) -> list[str]:
    """The line, broken at blanks if it is too long to follow the quotes."""
    width = WIDTH - len(indent) - len(_QUOTES) * 2
    if len(line) <= width:
        return [line]
    margin = line[: len(line) - len(line.lstrip())]
    return wrap(
        line.strip(),
        width,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
