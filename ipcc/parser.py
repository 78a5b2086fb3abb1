"""Tokens to nodes, by recursive descent; the grammar rule stands above each method.

Knows the grammar alone: what names mean is the checker's. After an error it goes on with the next message.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipcc import nodes
from ipcc.diagnostics import Report, did_you_mean
from ipcc.source import Source, Span
from ipcc.tokens import Kind, Token

MAX_NESTING = 64
"""The deepest that types may nest."""

_CLOSERS = {"(": ")", "[": "]", "<": ">", "{": "}"}


def parse(source: Source, tokens: Sequence[Token], report: Report) -> nodes.File:
    """The nodes of one file. Errors are reported, and what could be read around them is in the result."""
    return _Parser(source, tokens, report).file()


class _Mismatch(Exception):
    """The tokens at hand fit no rule: what is being read is given up. The error is reported already."""


class _Parser:
    def __init__(self, source: Source, tokens: Sequence[Token], report: Report) -> None:
        self._source = source
        self._tokens = tokens
        self._at = 0
        self._report = report
        self._open: list[Token] = []

    # file = { include | endpoint } ;
    def file(self) -> nodes.File:
        includes: list[nodes.Include] = []
        endpoints: list[nodes.Endpoint] = []
        while not self._at_end:
            start = self._at
            try:
                if self._token.kind is Kind.INCLUDE:
                    includes.append(self.include())
                else:
                    endpoints.append(self.endpoint())
            except _Mismatch:
                self._skip_declaration(start)
        return nodes.File(self._source, tuple(includes), tuple(endpoints))

    # include = "#include" ( "<" path ">" | '"' path '"' ) end-of-line ;
    def include(self) -> nodes.Include:
        token = self._take()
        return nodes.Include(token.text[1:-1], token.span)

    # endpoint = "endpoint" name "{" { message } "}" ;
    def endpoint(self) -> nodes.Endpoint:
        documentation = self._token.documentation
        self._endpoint_keyword()
        name = self._name("the endpoint's name")
        brace = self._accept("{")
        if brace is None:
            self._error(
                name.span, f"no '{{' after 'endpoint {name.text}'", f"expected it before {self._found}"
            )
        return nodes.Endpoint(name, self._messages(brace), documentation)

    def _endpoint_keyword(self) -> None:
        if self._accept("endpoint"):
            return
        if self._is_name() and self._next.text == "{":
            self._error(self._token.span, "missing 'endpoint'", f"write 'endpoint {self._token.text}'")
        elif self._next.kind is Kind.NAME and (hint := did_you_mean(self._token.text, ["endpoint"])):
            self._error(self._token.span, f"expected 'endpoint', found {self._found}", hint)
            self._take()
        else:
            self._fail("'endpoint' or '#include'")

    def _messages(self, brace: Token | None) -> tuple[nodes.Message, ...]:
        messages: list[nodes.Message] = []
        while not self._accept("}"):
            if self._at_end or self._at_endpoint:
                if brace:
                    self._error(brace.span, "'{' is never closed", f"expected '}}' before {self._found}")
                break
            start = self._at
            try:
                messages.append(self.message())
            except _Mismatch:
                if self._at_end:  # the file is cut off: one mistake, and it is reported
                    brace = None
                self._skip_message(start)
        return tuple(messages)

    # message = name "(" [ parameters ] ")" ( "=>" "(" [ parameters ] ")" | "=|" ) ;
    def message(self) -> nodes.Message:
        self._open.clear()
        if self._token.kind is Kind.INCLUDE:
            self._error(self._take().span, "'#include' inside an endpoint", "move it out of the braces")
            raise _Mismatch
        if self._token.text in (",", ";"):
            self._error(self._take().span, "a separator between messages", "remove it: they need none")
            raise _Mismatch
        documentation = self._token.documentation
        name = self._name("a message's name")
        inputs = self.parameters(f"'{name.text}'")
        outputs = self._answer(name)
        return nodes.Message(name, inputs, outputs, documentation)

    def _answer(self, name: nodes.Name) -> tuple[nodes.Parameter, ...] | None:
        if self._accept("=|"):
            return None
        if self._accept("=>"):
            return self.parameters("'=>'")
        if self._closes_nothing():
            self._fail("")
        self._error(
            name.span,
            f"message '{name.text}' has neither '=>' nor '=|'",
            "end it with '=> (...)' if it has an answer, with '=|' if it is one-way",
        )
        if not self._is_name() and not self._is("}"):
            raise _Mismatch
        return None

    # parameters = parameter { "," parameter } ;
    def parameters(self, after: str) -> tuple[nodes.Parameter, ...]:
        opener = self._opener("(", after)
        parameters: list[nodes.Parameter] = []
        while not self._is(")"):
            parameters.append(self.parameter())
            comma = self._accept(",")
            if comma is None:
                break
            if self._is(")"):
                self._error(comma.span, "no parameter after ','", "remove the comma")
        self._close(opener)
        return tuple(parameters)

    # parameter = [ "[" attribute { "," attribute } "]" ] type name | "[" ( "File" | "Bitmap" ) "]" name ;
    def parameter(self) -> nodes.Parameter:
        if self._is_name() and self._next.text == "(":
            self._close_or_fail("a type")
        start = self._token.span
        attributes = self.attributes() if self._is("[") else ()
        if attributes and self._is_name() and self._next.text in (",", ")"):
            name = self._name("a name")
            return nodes.Parameter(attributes, None, name, start.to(name.span))
        if attributes and self._ends_parameter:
            return nodes.Parameter(attributes, None, None, start.to(attributes[-1].span))
        type = self.type()
        if self._ends_parameter:
            return nodes.Parameter(attributes, type, None, start.to(type.span))
        name = self._name("a parameter's name")
        return nodes.Parameter(attributes, type, name, start.to(name.span))

    @property
    def _ends_parameter(self) -> bool:
        return self._is(",") or self._is(")")

    def attributes(self) -> tuple[nodes.Name, ...]:
        opener = self._opener("[", "")
        names = [self._name("an attribute")]
        while self._accept(","):
            names.append(self._name("an attribute"))
        self._close(opener)
        return tuple(names)

    # type = [ "::" ] name { "::" name } [ "<" argument { "," argument } ">" ] ;
    def type(self, depth: int = 0) -> nodes.Type:
        start = self._token.span
        text = "::" if self._accept("::") else ""
        name = self._name("a type")
        text += name.text
        while self._accept("::"):
            name = self._name("a name after '::'")
            text += "::" + name.text
        name_span = start.to(name.span)
        if not self._is("<"):
            return nodes.Type(text, name_span, None, name_span)
        if depth == MAX_NESTING:
            self._error(name_span, f"types nest deeper than {MAX_NESTING}", "split the type")
            raise _Mismatch
        arguments, end = self._arguments(depth)
        return nodes.Type(text, name_span, arguments, start.to(end))

    def _arguments(self, depth: int) -> tuple[tuple[nodes.Type | nodes.Number, ...], Span]:
        opener = self._opener("<", "")
        arguments: list[nodes.Type | nodes.Number] = []
        while not self._is(">"):
            arguments.append(self.argument(depth + 1))
            if not self._accept(","):
                break
        return tuple(arguments), self._close(opener).span

    # argument = type | number ;
    def argument(self, depth: int) -> nodes.Type | nodes.Number:
        if self._token.kind is not Kind.NUMBER:
            return self.type(depth)
        token = self._take()
        try:
            int(token.text, 0)
        except ValueError:
            self._error(token.span, f"malformed number '{token.text}'")
            raise _Mismatch from None
        return nodes.Number(token.text, token.span)

    # --- tokens ---

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    @property
    def _next(self) -> Token:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    @property
    def _found(self) -> str:
        return "the end of the file" if self._at_end else f"'{self._token.text}'"

    @property
    def _at_end(self) -> bool:
        return self._token.kind is Kind.END

    @property
    def _at_endpoint(self) -> bool:
        return self._is("endpoint") and self._next.kind is Kind.NAME

    def _is(self, text: str) -> bool:
        return self._token.text == text

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
            self._error(
                self._token.span, f"expected {what}, found {self._found}", "no name begins with a digit"
            )
        elif not self._is_name():
            self._close_or_fail(what)
        token = self._take()
        return nodes.Name(token.text, token.span)

    # --- brackets ---

    def _opener(self, text: str, after: str) -> Token:
        if not self._is(text):
            self._error(self._token.span, f"expected '{text}' after {after}, found {self._found}")
            raise _Mismatch
        self._open.append(self._token)
        return self._take()

    def _close(self, opener: Token) -> Token:
        closer = _CLOSERS[opener.text]
        if not self._is(closer):
            self._close_or_fail(f"',' or '{closer}'")
        self._open.pop()
        return self._take()

    def _close_or_fail(self, expected: str) -> None:
        """Refuse the token at hand: where it shows that the innermost bracket was never closed, say so."""
        if self._open and not self._closes_nothing() and self._ends_innermost():
            opener = self._open[-1]
            closer = _CLOSERS[opener.text]
            message = f"'{opener.text}' is never closed"
            self._error(opener.span, message, f"expected '{closer}' before {self._found}")
            raise _Mismatch
        self._fail(expected)

    def _ends_innermost(self) -> bool:
        """Whether the token cannot stand in the innermost bracket, so that its closer must be missing."""
        innermost = self._open[-1].text
        if innermost == "(" and self._is_name():
            return self._next.text == "("
        if self._is(_CLOSERS[innermost]):
            return False
        return self._is_name() or self._token.text in ("=>", "=|", "{", *_CLOSERS.values()) or self._is("")

    def _closes_nothing(self) -> bool:
        text = self._token.text
        open_closers = [_CLOSERS[token.text] for token in self._open]
        return text in (")", "]", ">") and text not in open_closers

    # --- errors ---

    def _error(self, span: Span, message: str, hint: str = "") -> None:
        self._report.error(span, message, hint)

    def _fail(self, expected: str) -> None:
        if self._closes_nothing() or (self._is("}") and expected == "'endpoint' or '#include'"):
            self._error(self._token.span, f"{self._found} closes nothing", "remove it, or open it before")
        else:
            self._error(self._token.span, f"expected {expected}, found {self._found}")
        raise _Mismatch

    def _skip_message(self, start: int) -> None:
        """Go on to where the next message, the endpoint's end or the next endpoint seems to begin."""
        if self._at == start:
            self._take()
        depth = 0
        while not self._at_end and not self._at_endpoint:
            if self._is("{"):
                depth += 1
            elif self._is("}"):
                if depth == 0:
                    return
                depth -= 1
            elif depth == 0 and self._is_name() and self._next.text == "(":
                return
            self._take()

    def _skip_declaration(self, start: int) -> None:
        """Go on behind the next block in braces, or to the next endpoint or include."""
        if self._at == start and self._take().text == "}":
            return
        depth = 0
        while self._token.kind not in (Kind.END, Kind.INCLUDE) and not self._at_endpoint:
            text = self._take().text
            depth += (text == "{") - (text == "}")
            if text == "}" and depth <= 0:
                self._accept(";")
                return
