"""Owns how source text is split into tokens. Comments belong to the token that follows them.

Must not know the rules of the grammar.
"""

from __future__ import annotations

import enum
import re
from difflib import get_close_matches

import attrs

from ipcc.diagnostics import Report
from ipcc.source import Source, Span


class Kind(enum.Enum):
    """The kinds of tokens."""

    NAME = "a name"
    NUMBER = "a number"
    SYMBOL = "a symbol"
    INCLUDE = "an include"
    END = "the end of the file"


@attrs.frozen
class Comment:
    """A `//` comment."""

    text: str
    """Its text from the slashes on."""
    span: Span
    starts_line: bool

    @property
    def is_documentation(self) -> bool:
        """Whether it documents the declaration that follows it."""
        return self.starts_line and self.text.startswith("///") and not self.text.startswith("////")


@attrs.frozen
class Token:
    """A token, with the comments before it."""

    kind: Kind
    text: str
    """As written; for an include, its path with the brackets around it."""
    span: Span
    comments: tuple[Comment, ...] = ()

    @property
    def documentation(self) -> tuple[str, ...]:
        """The lines of the `///` comments before the token, without the slashes and one blank after them."""
        lines = (comment.text[3:].rstrip() for comment in self.comments if comment.is_documentation)
        return tuple(line.removeprefix(" ") for line in lines)


TERMINALS = {
    "name": r"\w+",
    "number": r"-?[0-9]\w*",
    "path": r'[^<>"]+',
    "white-space": r"[ \t\r\n\f\v]+",
    "comment": r"//[^\n]*",
}
"""The terminals of docs/grammar.md that are not fixed texts, as regular expressions."""

_PATTERN = re.compile(
    rf"""
    (?P<space>     {TERMINALS["white-space"]} )
  | (?P<comment>   {TERMINALS["comment"]} )
  | (?P<block>     /\*.*?(?:\*/|\Z) )
  | (?P<directive> \#[^\n]* )
  | (?P<number>    {TERMINALS["number"]} )
  | (?P<name>      {TERMINALS["name"]} )
  | (?P<symbol>    :: | => | =\| | -> | [{{}}()\[\]<>,:;=|] )
  | (?P<stray>     [^\s\w\#{{}}()\[\]<>,:;=|/-]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_INCLUDE = re.compile(
    rf"""\#[ \t]*include[ \t]*(<{TERMINALS["path"]}>|"{TERMINALS["path"]}")[ \t]*({TERMINALS["comment"]})?$"""
)
_DIRECTIVES = ("pragma", "define", "undef", "if", "ifdef", "ifndef", "else", "elif", "endif", "import")
_BAD_BYTE = re.compile("[\udc80-\udcff]")
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def tokenize(source: Source, report: Report) -> tuple[Token, ...]:
    """Split a source into tokens, the last of which is END. Stray characters are reported and left out."""
    if not is_utf8(source, report):
        return (_end(source, ()),)
    tokens: list[Token] = []
    comments: list[Comment] = []
    for match in _PATTERN.finditer(source.text, _skip_mark(source, report)):
        kind, text, span = match.lastgroup, match.group(), Span(source, match.start(), match.end())
        before = tokens[-1].text if tokens and tokens[-1].span.end == match.start() else ""
        if kind == "comment":
            comments.append(Comment(text, span, _starts_line(source, match.start())))
        elif kind != "space" and (token := _token(str(kind), text, span, before, tuple(comments), report)):
            tokens.append(token)
            comments.clear()
    return (*tokens, _end(source, tuple(comments)))


def _token(
    group: str, text: str, span: Span, before: str, comments: tuple[Comment, ...], report: Report
) -> Token | None:
    """The token of a text, unless it is refused. `before` is the token that it touches."""
    if group == "directive":
        return _include(text, span, comments, report)
    if group == "block":
        report.error(span, "comments in '/*' and '*/' are not supported", "begin each line with '//'")
        return None
    if group == "stray" or (group == "name" and not text.isidentifier()):
        _refuse_stray(text, span, before, report)
        return None
    return Token(Kind[group.upper()], text, span, comments)


def _include(text: str, span: Span, comments: tuple[Comment, ...], report: Report) -> Token | None:
    match = _INCLUDE.match(text)
    if match is None:
        shown = Span(span.source, span.start, span.start + len(text.rstrip()))
        if _is_comment(text):
            report.error(shown, "'#' does not begin a comment", "begin it with '//'")
        else:
            report.error(shown, "malformed directive", "write '#include <path>' or '#include \"path\"'")
        return None
    return Token(Kind.INCLUDE, match[1], Span(span.source, span.start, span.start + match.end(1)), comments)


def _is_comment(directive: str) -> bool:
    """Whether a malformed directive is rather a comment of another language."""
    word = re.match(r"#[ \t]*(\w*)", directive)
    return word is None or not (word[1] in _DIRECTIVES or get_close_matches(word[1], ["include"]))


def _refuse_stray(text: str, span: Span, before: str, report: Report) -> None:
    shown = ", ".join(f"'{c}'" if c.isprintable() else f"U+{ord(c):04X}" for c in text)
    noun = "character" if len(text) == 1 else "characters"
    optional = f"Optional<{before if before.isidentifier() else '...'}>"
    hint = f"write '{optional}' for a value that may be missing" if text == "?" and before else ""
    report.error(span, f"stray {noun} {shown}", hint)


def is_utf8(source: Source, report: Report) -> bool:
    """Whether a file is UTF-8; if it is not, its first wrong byte is reported."""
    bad = _BAD_BYTE.search(source.text)
    if bad is None:
        return True
    byte = ord(bad.group()) - 0xDC00
    span = Span(source, bad.start(), bad.end())
    report.error(span, f"the file is not UTF-8: byte 0x{byte:02x}", "save it as UTF-8")
    return False


def _skip_mark(source: Source, report: Report) -> int:
    if not source.text.startswith(_MARK):
        return 0
    report.error(Span(source, 0, 1), "the file begins with a byte order mark", "save it as UTF-8 without one")
    return 1


def _starts_line(source: Source, offset: int) -> bool:
    line_start = source.text.rfind("\n", 0, offset) + 1
    return not source.text[line_start:offset].strip()


def _end(source: Source, comments: tuple[Comment, ...]) -> Token:
    return Token(Kind.END, "", Span(source, len(source.text), len(source.text)), comments)
