"""Owns what people write from other languages in place of this one's forms, and how to write it here.

Must not know the rules of the grammar: it looks at a few tokens after a place where a rule did not fit.
"""

from __future__ import annotations

from ipcc import nodes
from ipcc.builtin_types import ATTRIBUTES
from ipcc.cursor import Mismatch
from ipcc.recovery import Recovery
from ipcc.spelling import meant_by, meant_by_words
from ipcc.tokens import Kind, Token

_MOST_WORDS = 3
"""Words that may follow the first of a C type: `unsigned long long int`."""


class Foreign(Recovery):
    """A cursor that recognizes forms of other languages. Each method reports one, or does nothing."""

    def _refuse_foreign(self, type: nodes.Type) -> None:
        """Refuse what may stand after a type in other languages, where a name must follow here."""
        self._refuse_brackets(type)
        self._refuse_union(type)
        self._refuse_words(type)

    def _refuse_brackets(self, type: nodes.Type) -> None:
        """Refuse `List[str]`, `i32[]` and `i32[4]`, which begin at the type before the current token."""
        if not self._is("["):
            return
        opener = self._take()
        inside = self._until_closed()
        text = _as_arguments(inside)
        if len(inside) == 1 and text in ATTRIBUTES:
            hint = f"write '[{text}] {type.text}'"
            self._error(
                opener.span, f"'[{text}]' after '{type.text}': attributes stand before the type", hint
            )
            raise Mismatch
        if not inside:
            hint = f"write 'Vector<{type.text}>'"
        elif len(inside) == 1 and inside[0].kind is Kind.NUMBER:
            hint = f"write 'Array<{type.text}, {text}>'"
        else:
            hint = f"write '{_meant(type.name)}<{text}>'"
        self._error(opener.span, f"'[' after '{type.text}': type arguments stand between '<' and '>'", hint)
        raise Mismatch

    def _until_closed(self) -> list[Token]:
        """Take what stands inside of a bracket that was taken, and its closer."""
        inside: list[Token] = []
        depth = 1
        while not self._at_end and not self._is(")", "}", ";"):
            token = self._take()
            depth += (token.text == "[") - (token.text == "]")
            if depth == 0:
                break
            inside.append(token)
        return inside

    def _one_word(self, argument: nodes.Type) -> nodes.Type:
        """Return a type argument, unless it is a type of several words."""
        self._refuse_words(argument, names_something=False)
        return argument

    def _refuse_words(self, type: nodes.Type, *, names_something: bool = True) -> None:
        """Refuse `unsigned long x` and, where no name follows, `unsigned long`: a type of several words."""
        words = [type.text]
        for count in range(_MOST_WORDS):
            if (
                self._ahead(count + names_something).kind is not Kind.NAME
                or self._ahead(count).kind is not Kind.NAME
            ):
                break
            words.append(self._ahead(count).text)
        meant = meant_by_words(words)
        if meant:
            last = self._ahead(len(words) - 2).span
            message = f"'{' '.join(words)}' is not a type: a type is one word"
            self._error(type.span.to(last), message, f"write '{meant}'")
            raise Mismatch

    def _refuse_union(self, type: nodes.Type) -> None:
        """Refuse `String | None` and `i32 | String`."""
        if self._is("|") and self._next.kind is Kind.NAME:
            other = self._next.text
            is_optional = other in ("None", "null", "undefined", "nil")
            hint = (
                f"write 'Optional<{type.text}>'" if is_optional else f"write 'Variant<{type.text}, {other}>'"
            )
            self._error(self._token.span, f"'|' after '{type.text}'", hint)
            raise Mismatch

    def _refuse_type_after_name(self, name: nodes.Type) -> bool:
        """Refuse `name: type`, whose colon is the current token; return whether it is that."""
        if not self._is(":") or name.arguments is not None or self._next.kind is not Kind.NAME:
            return False
        hint = f"write '{_meant(self._next.text)} {name.text}'"
        if self._ahead(2).text in ("<", "::", "["):
            hint = f"write the type, then '{name.text}'"
        self._error(name.span.to(self._next.span), "a name before its type", hint)
        self._take()
        return True

    def _refuse_magic(self) -> None:
        """Refuse `= 804` and `[magic=804]` after an endpoint's name, as LibIPC had them until 2021."""
        start = self._token
        if self._is("=") and self._next.kind is Kind.NUMBER:
            self._take()
            end = self._take()
        elif self._is("["):
            self._take()
            self._until_closed()
            end = self._tokens[self._at - 1]
        else:
            return
        hint = "remove it: the number follows from the endpoint's name"
        self._error(start.span.to(end.span), "an endpoint with a number", hint)

    def _refuse_bare_answer(self) -> None:
        """Refuse `=> i32`: an answer without parentheses, after its arrow."""
        if self._is_name() and self._next.text != "(":
            hint = f"write '=> ({self._token.text} result)'"
            self._error(self._token.span, "an answer without parentheses", hint)
            raise Mismatch

    # --- after a field or enumerator ---

    def _refuse_end_of_field(self, field: nodes.Field) -> None:
        """Refuse what stands in place of the `;` after a field, as in `i32 x, y;`."""
        if self._is(",") and self._next.kind is Kind.NAME and self._ahead(2).text in (";", ","):
            hint = f"write '{field.text} {field.type.text} {self._next.text};'"
            self._error(self._token.span, "several fields in one declaration", hint)
            while self._accept(",") and self._is_name():
                self._take()
            self._accept(";")
            return
        message = f"expected ';' after field '{field.name.text}', found {self._found}"
        if self._accept(","):
            self._error(self._tokens[self._at - 1].span, message, f"write '{field.text}'")
            return
        if self._at_end or not (self._is("}") or self._at_declaration or self._is_name()):
            self._error(self._token.span, message)
            raise Mismatch
        self._error(field.name.span, message, f"write '{field.text}'")

    def _refuse_end_of_enumerator(self, enumerator: nodes.Enumerator) -> None:
        """Refuse what stands in place of the `,` after an enumerator, such as `;`."""
        if self._at_end or self._at_declaration:
            return
        message = f"expected ',' after enumerator '{enumerator.name.text}', found {self._found}"
        if not self._is_name() and not self._is(";"):
            self._error(self._token.span, message)
            raise Mismatch
        self._error(enumerator.name.span, message, f"write '{enumerator.text},'")
        self._accept(";")


def _as_arguments(tokens: list[Token]) -> str:
    """Tokens as type arguments of this language."""
    brackets = {"[": "<", "]": ">", ",": ", "}
    return "".join(brackets.get(token.text) or _meant(token.text) for token in tokens)


def _meant(word: str) -> str:
    return meant_by(word) or word
