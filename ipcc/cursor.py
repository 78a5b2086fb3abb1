"""Owns a place in a file's tokens: looking, taking, open brackets, and refusing what does not fit.

Must not know the rules of the grammar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ipcc import nodes
from ipcc.diagnostics import Report
from ipcc.source import Span
from ipcc.tokens import Kind, Token

_CLOSERS = {"(": ")", "[": "]", "<": ">", "{": "}"}


class Mismatch(Exception):
    """The tokens fit no rule, so the rule is given up. The error is reported already."""


class Cursor:
    """A position in a file's tokens, and the brackets that are open there."""

    def __init__(self, tokens: Sequence[Token], report: Report) -> None:
        self._tokens = tokens
        self._at = 0
        self._report = report
        self._open: list[Token] = []

    # --- tokens ---

    @property
    def _token(self) -> Token:
        return self._ahead(0)

    @property
    def _next(self) -> Token:
        return self._ahead(1)

    def _ahead(self, count: int) -> Token:
        return self._tokens[min(self._at + count, len(self._tokens) - 1)]

    @property
    def _found(self) -> str:
        return "the end of the file" if self._at_end else f"'{self._token.text}'"

    @property
    def _at_end(self) -> bool:
        return self._token.kind is Kind.END

    def _is(self, *texts: str) -> bool:
        return self._token.text in texts

    def _is_name(self) -> bool:
        return self._token.kind is Kind.NAME

    def _take(self) -> Token:
        token = self._token
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _accept(self, text: str) -> Token | None:
        return self._take() if self._is(text) else None

    def _name(self, what: str) -> nodes.Name:
        if self._token.kind is Kind.NUMBER:
            message = f"expected {what}, found {self._found}"
            self._error(self._token.span, message, "a name cannot begin with a digit")
        elif not self._is_name():
            self._close_or_fail(what)
        token = self._take()
        return nodes.Name(token.text, token.span)

    # --- brackets ---

    def _brace(self, name: nodes.Name, after: str) -> Token | None:
        """Take an opening brace; if there is none, report that, and go on as if it were there."""
        brace = self._accept("{")
        if brace is None:
            self._error(name.span, f"no '{{' after '{after}'", f"expected it before {self._found}")
        return brace

    def _opener(self, text: str, after: str) -> Token:
        if not self._is(text):
            self._error(self._token.span, f"expected '{text}' after {after}, found {self._found}")
            raise Mismatch
        self._open.append(self._token)
        return self._take()

    def _close(self, opener: Token) -> Token:
        closer = _CLOSERS[opener.text]
        if not self._is(closer):
            self._close_or_fail(f"',' or '{closer}'")
        self._open.pop()
        return self._take()

    def _close_or_fail(self, expected: str) -> NoReturn:
        """Refuse the current token, or the innermost bracket if the token shows that it was never closed."""
        if self._open and not self._closes_nothing() and self._ends_innermost():
            self._never_closed(self._open[-1], self._found)
            raise Mismatch
        self._fail(expected)

    def _never_closed(self, opener: Token, found: str) -> None:
        message = f"'{opener.text}' is never closed"
        self._error(opener.span, message, f"expected '{_CLOSERS[opener.text]}' before {found}")

    def _ends_innermost(self) -> bool:
        """Whether the current token cannot stand in the innermost bracket, whose closer must be missing."""
        innermost = self._open[-1].text
        if innermost == "(" and self._is_name():
            return self._next.text == "("
        if self._is(_CLOSERS[innermost]):
            return False
        return self._is_name() or self._is("=>", "=|", "{", ";", "", *_CLOSERS.values())

    def _closes_nothing(self) -> bool:
        open_closers = [_CLOSERS[token.text] for token in self._open]
        return self._is(")", "]", ">") and not self._is(*open_closers)

    # --- errors ---

    def _error(self, span: Span, message: str, hint: str = "") -> None:
        self._report.error(span, message, hint)

    def _fail(self, expected: str, closable: tuple[str, ...] = ()) -> NoReturn:
        """Refuse the current token. Closers in `closable` are reported as unmatched."""
        if self._closes_nothing() or self._is(*closable):
            self._error(
                self._token.span,
                f"{self._found} closes nothing",
                "remove it, or add the bracket that it closes",
            )
        else:
            self._error(self._token.span, f"expected {expected}, found {self._found}")
        raise Mismatch
