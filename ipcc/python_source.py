"""Owns the text of a Python file as Python decodes it, its syntax tree, and the places of the tree's nodes.

Must not know what is declared in it, and never runs it.
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings

from ipcc.diagnostics import Report
from ipcc.source import Source, Span, with_plain_line_ends
from ipcc.tokens import is_utf8


def read_python(path: str) -> Source:
    """Read a Python file by its byte order mark or its coding declaration (PEP 263); otherwise it is UTF-8.

    Bytes that are not UTF-8 stay in a file that should be, and `parsed` refuses them.

    Raises:
        OSError: the file cannot be read.
        ValueError: the path is impossible, or the text is not in the encoding that the file declares.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as error:
        if not str(error.msg).startswith("invalid or missing encoding declaration"):
            raise ValueError(str(error.msg)) from None
        encoding = "utf-8"
    is_default = encoding in ("utf-8", "utf-8-sig")
    try:
        text = data.decode(encoding, "surrogateescape" if is_default else "strict")
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"the file is not {encoding}: {error}") from None
    return Source(path, with_plain_line_ends(text))


class PythonFile:
    """A Python file and its syntax tree."""

    def __init__(self, source: Source, tree: ast.Module) -> None:
        self.source = source
        self.tree = tree

    def span(self, node: ast.expr | ast.stmt) -> Span:
        """The place of a node, up to its first line's end; of a class, its name."""
        if isinstance(node, ast.ClassDef):
            return self._name_span(node)
        start = self._offset(node.lineno, node.col_offset)
        if node.end_lineno != node.lineno or node.end_col_offset is None or isinstance(node, ast.stmt):
            return Span(self.source, start, start)
        return Span(self.source, start, self._offset(node.lineno, node.end_col_offset))

    def _name_span(self, node: ast.ClassDef) -> Span:
        """The place of a class's name; Python may have another form of it (PEP 3131: NFKC)."""
        start = self._offset(node.lineno, node.col_offset)
        at = self.source.text.find(node.name, start, start + len("class ") + 2 * len(node.name))
        return Span(self.source, start, start) if at < 0 else Span(self.source, at, at + len(node.name))

    def _offset(self, line: int, column: int) -> int:
        """The offset of a place in the syntax tree, whose columns count bytes of UTF-8."""
        text = self.source.line(line)
        if not text.isascii():
            column = len(text.encode()[:column].decode(errors="ignore"))
        return self.source.offset(line, column)


def parsed(source: Source, report: Report) -> PythonFile | None:
    """Parse a Python file. A text that is not Python is reported."""
    if not is_utf8(source, report):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return PythonFile(source, ast.parse(source.text))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _refuse_syntax(source, error, report)
        return None


def _refuse_syntax(source: Source, error: Exception, report: Report) -> None:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    line = (error.lineno if isinstance(error, SyntaxError) else None) or 1
    start = source.offset(min(line, source.line_count), 0)
    report.error(Span(source, start, start), f"this cannot be read as Python: {text}")


def documentation(node: ast.ClassDef) -> tuple[str, ...]:
    """The lines of a class's docstring. Lone surrogates, which no file can hold, are replaced."""
    text = with_plain_line_ends(ast.get_docstring(node) or "")
    lines = text.encode("utf-8", "replace").decode().split("\n")
    return tuple(lines) if text else ()
