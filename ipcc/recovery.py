"""Owns where the parser goes on after an error: at the next message, field, enumerator or declaration.

Must not know the rules of the grammar beyond the words and signs that end what was given up.
"""

from __future__ import annotations

from ipcc.cursor import Cursor
from ipcc.tokens import Kind


class Recovery(Cursor):
    """A cursor that can skip what does not fit. `start` is where the failed rule began."""

    @property
    def _at_declaration(self) -> bool:
        """Whether a declaration begins here. A keyword alone proves nothing: it may name a message."""
        if self._is("endpoint"):
            return self._next.kind is Kind.NAME
        return (
            self._is("struct", "enum")
            and self._next.kind is Kind.NAME
            and self._ahead(2).text in ("{", ":", "::")
        )

    def _skip_message(self, start: int) -> None:
        """Skip to what looks like the next message, the end of the endpoint or the next declaration."""
        if self._at == start:
            self._take()
        depth = 0
        while not self._at_end and not self._at_declaration:
            if self._is("{"):
                depth += 1
            elif self._is("}"):
                if depth == 0:
                    return
                depth -= 1
            elif depth == 0 and self._is_name() and self._next.text == "(":
                return
            self._take()

    def _skip_member(self, start: int) -> None:
        """Skip past the next separator, or to the end of the braces or the next declaration."""
        while not self._at_end and not self._at_declaration and not self._is("}"):
            if self._take().text in (";", ","):
                return

    def _skip_declaration(self, start: int) -> None:
        """Skip past the next block in braces, or to the next declaration."""
        if self._at == start and self._take().text == "}":
            return
        depth = 0
        while self._token.kind not in (Kind.END, Kind.INCLUDE) and not self._at_declaration:
            text = self._take().text
            depth += (text == "{") - (text == "}")
            if text == "}" and depth <= 0:
                self._accept(";")
                return
