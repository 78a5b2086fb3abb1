"""Owns the canonical style of interface files. Comments stay with the tokens that they stand by.

Must not know the grammar beyond where a line ends. It moves white space and trailing comments, and adds or
drops two optional marks: the `;` after a `}`, and the `,` after the last enumerator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count

import attrs

from ipcc.diagnostics import CompileError, Report
from ipcc.parser import parse
from ipcc.source import Source
from ipcc.tokens import Kind, Token, tokenize

WIDTH = 110
"""A message that fits into a line of this many characters is not broken."""

_INDENTATION = "    "


def format_source(source: Source) -> str:
    """The text of a source in canonical style. Names are not looked up, and includes are not read.

    Raises:
        CompileError: the text does not parse.
    """
    report = Report()
    tokens = tokenize(source, report)
    parse(source, tokens, report)
    if report:
        raise CompileError(report.in_order_of([source]))
    return _Formatter(_placed(source, tokens)).file()


@attrs.frozen
class _Comment:
    """A comment on a line of its own."""

    text: str
    follows_blank: bool
    """Whether a blank line stands above it."""


@attrs.frozen
class _Placed:
    """A token with the comments and blank lines between it and the token before."""

    token: Token
    trailing: str
    """The comment that ends the line of the token before."""
    above: tuple[_Comment, ...]
    """The comments on lines of their own."""
    follows_blank: bool
    """Whether a blank line stands right above the token."""

    @property
    def text(self) -> str:
        return self.token.text

    @property
    def has_comments(self) -> bool:
        return bool(self.trailing or self.above)

    @property
    def is_set_off(self) -> bool:
        """Whether a blank line stands anywhere between it and the token before."""
        return self.follows_blank or any(comment.follows_blank for comment in self.above)


_GAP_PIECE = re.compile(r"//[^\n]*|\n")


def _placed(source: Source, tokens: Sequence[Token]) -> list[_Placed]:
    starts = [0, *(token.span.end for token in tokens)]
    return [
        _place(token, source.text[start : token.span.start], is_first=start == 0)
        for start, token in zip(starts, tokens, strict=False)
    ]


def _place(token: Token, gap: str, *, is_first: bool) -> _Placed:
    trailing, above = "", []
    line_ends = 1 if is_first else 0
    for match in _GAP_PIECE.finditer(gap):
        piece = match.group()
        if piece == "\n":
            line_ends += 1
        elif line_ends == 0:
            trailing = piece.rstrip()
        else:
            above.append(_Comment(piece.rstrip(), line_ends > 1))
            line_ends = 0
    return _Placed(token, trailing, tuple(above), line_ends > 1)


class _Lines:
    """The lines written so far. A trailing comment is held until its line ends."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line = ""
        self._held: list[str] = []

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)

    def add(self, text: str) -> None:
        self._line += text

    def hold(self, comment: str) -> None:
        if comment:
            self._held.append(comment)

    def end(self) -> None:
        """End the line, unless it is empty."""
        line = " ".join((self._line, *self._held)).rstrip()
        if line:
            self._lines.append(line)
        self._line = ""
        self._held.clear()

    def blank(self) -> None:
        """Write a blank line, unless the text or a block begins here, or there is one already."""
        if self._lines and self._lines[-1] and not self._lines[-1].startswith("{"):
            self._lines.append("")


class _Formatter:
    """Walks over the tokens of a file that is known to parse."""

    def __init__(self, tokens: Sequence[_Placed]) -> None:
        self._tokens = tokens
        self._at = 0
        self._previous: Token | None = None
        self._out = _Lines()

    def file(self) -> str:
        after_include = True
        while self._next.token.kind is not Kind.END:
            is_include = self._next.token.kind is Kind.INCLUDE
            self._start_line(0, set_off=not (is_include and after_include))
            if is_include:
                self._include()
            else:
                self._declaration()
            after_include = is_include
        self._start_line(0)
        self._out.end()
        return self._out.text

    def _include(self) -> None:
        self._out.add(f"#include {self._take().text}")

    def _declaration(self) -> None:
        member = _MEMBERS[self._next.text]
        while self._next.text != "{":
            self._flat(0)
        self._start_line(0, keep_blank=False)
        self._flat(0)
        while self._next.text != "}":
            self._start_line(1)
            member(self)
        self._start_line(0, keep_blank=False)
        self._flat(0)
        if self._next.text == ";":
            self._needless_semicolon()

    def _needless_semicolon(self) -> None:
        """Drop it, unless a comment stands above it, which would move above the next declaration."""
        if self._next.above:
            self._flat(0)
        else:
            self._out.hold(self._take().trailing)

    def _field(self) -> None:
        while self._next.text != ";":
            self._flat(1)
        self._flat(1)

    def _enumerator(self) -> None:
        while self._next.text not in (",", "}"):
            self._flat(1)
        if self._next.text == ",":
            self._flat(1)
        else:
            self._out.add(",")

    # --- messages ---

    def _message(self) -> None:
        start = self._at
        self._flat(1)
        breaks = self._parameters(start)
        if self._flat(1).text == "=>":
            closer_of_inputs = self._at - 2
            self._parameters(closer_of_inputs if breaks else start)

    def _parameters(self, line_start: int) -> bool:
        """Write a parameter list on the line that begins at token `line_start`; return whether it broke."""
        breaks = self._breaks(line_start)
        self._flat(1)
        while self._next.text != ")":
            if breaks:
                self._start_line(2, keep_blank=False)
            self._parameter()
        if breaks:
            self._start_line(1, keep_blank=False)
        self._flat(1)
        return breaks

    def _parameter(self) -> None:
        nesting = 0
        while nesting or self._next.text not in (",", ")"):
            text = self._flat(2).text
            nesting += (text in ("<", "[")) - (text in (">", "]"))
        if self._next.text == ",":
            self._flat(2)

    def _breaks(self, line_start: int) -> bool:
        """Whether the next list needs a line for each parameter."""
        after_opener = self._at + 1
        closer = next(at for at in count(after_opener) if self._tokens[at].text == ")")
        if closer == after_opener:
            return bool(self._tokens[closer].above)
        has_comments = any(placed.has_comments for placed in self._tokens[after_opener : closer + 1])
        return has_comments or len(_INDENTATION) + self._flat_width(line_start) > WIDTH

    def _flat_width(self, start: int) -> int:
        """The width of the message on one line, from token `start` on."""
        width = 0
        previous: Token | None = None
        for at in count(start):
            placed = self._tokens[at]
            width += len(_space(previous, placed.token) + placed.text)
            previous = placed.token
            ends_list = placed.text == ")" and self._tokens[at + 1].text not in ("=>", "=|")
            if ends_list or placed.text == "=|":
                break
        return width

    # --- tokens ---

    @property
    def _next(self) -> _Placed:
        return self._tokens[self._at]

    def _take(self) -> _Placed:
        placed = self._next
        self._at += 1
        self._previous = placed.token
        return placed

    def _start_line(self, depth: int, *, keep_blank: bool = True, set_off: bool = False) -> None:
        """End the line, write the comments above the next token, and begin its line.

        Comments above a closing bracket are indented as its contents.
        """
        placed = self._next
        self._out.hold(placed.trailing)
        self._out.end()
        if set_off and not placed.is_set_off:
            self._out.blank()
        depth_above = depth + (placed.text in (")", "}"))
        for comment in placed.above:
            if comment.follows_blank:
                self._out.blank()
            self._out.add(_INDENTATION * depth_above + comment.text)
            self._out.end()
        if placed.follows_blank and keep_blank and placed.token.kind is not Kind.END:
            self._out.blank()
        self._out.add(_INDENTATION * depth)
        self._previous = None

    def _flat(self, depth: int) -> _Placed:
        """Write the next token after the last one; comments above it force it onto a line of its own."""
        placed = self._next
        begins_line = self._previous is None
        if not begins_line and placed.above:
            self._start_line(depth + 1, keep_blank=False)
        elif not begins_line:
            self._out.hold(placed.trailing)
        self._out.add(_space(self._previous, placed.token) + placed.text)
        return self._take()


_MEMBERS: dict[str, Callable[[_Formatter], None]] = {
    "endpoint": _Formatter._message,
    "struct": _Formatter._field,
    "enum": _Formatter._enumerator,
}


def _space(previous: Token | None, token: Token) -> str:
    """The white space between two tokens of one line."""
    if (
        previous is None
        or previous.text in ("(", "<", "[", "::")
        or token.text in (",", ";", ")", ">", "]", "<")
    ):
        return ""
    if token.text == "(":
        return " " if previous.text == "=>" else ""
    return "" if token.text == "::" and previous.kind is Kind.NAME else " "
