"""Owns the grammar: tokens to nodes by recursive descent, with the rule above each method.

Must not know what names mean, which is the checker's part. The rules are in docs/grammar.md too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ipcc import nodes
from ipcc.cursor import Mismatch
from ipcc.diagnostics import Report, did_you_mean
from ipcc.foreign import Foreign
from ipcc.source import Source, Span
from ipcc.tokens import Kind, Token

MAX_NESTING = 64
"""How deep types may nest."""

MAX_BITS = 128
"""A number of more bits is malformed; a shorter one that its type cannot hold is reported as out of range."""

_KEYWORDS = ("endpoint", "struct", "enum")
_DECLARATION = "'endpoint', 'struct', 'enum' or '#include'"

_Member = TypeVar("_Member")


def parse(source: Source, tokens: Sequence[Token], report: Report) -> nodes.File:
    """Parse one file. Errors are reported, and the result holds everything that could be read around them."""
    return nodes.File(source, _Parser(tokens, report).declarations())


class _Parser(Foreign):
    def __init__(self, tokens: Sequence[Token], report: Report) -> None:
        super().__init__(tokens, report)
        self._declared: list[nodes.Declaration] = []
        self._depth = 0
        """How many braces are open around the current place."""

    # file = { include | endpoint | struct | enum } ;
    def declarations(self) -> tuple[nodes.Declaration, ...]:
        while not self._at_end:
            start = self._at
            self._open.clear()
            try:
                self._declared.append(self.declaration())
            except Mismatch:
                self._skip_declaration(start)
        return tuple(self._declared)

    def declaration(self) -> nodes.Declaration:
        if self._token.kind is Kind.INCLUDE:
            return self.include()
        documentation = self._token.documentation
        keyword = self._keyword()
        if keyword == "struct":
            return self.struct(documentation)
        if keyword == "enum":
            return self.enum(documentation)
        return self.endpoint(documentation)

    # include = "#include" ( "<" path ">" | '"' path '"' ) ;
    def include(self) -> nodes.Include:
        token = self._take()
        return nodes.Include(token.text[1:-1], token.text.startswith('"'), token.span)

    def _keyword(self) -> str:
        if self._is(*_KEYWORDS):
            return self._take().text
        if self._is_name() and self._next.text == "{":
            self._error(self._token.span, "missing 'endpoint'", f"write 'endpoint {self._token.text}'")
            return "endpoint"
        if self._next.kind is not Kind.NAME or not (hint := did_you_mean(self._token.text, _KEYWORDS)):
            self._fail(_DECLARATION, closable=("}",))
        meant = hint.split("'")[1]
        self._error(self._token.span, f"expected '{meant}', found {self._found}", hint)
        self._take()
        return meant

    # endpoint = "endpoint" name "{" { message } "}" ;
    def endpoint(self, documentation: tuple[str, ...]) -> nodes.Endpoint:
        name = self._name("the endpoint's name")
        self._refuse_magic()
        brace = self._brace(name, f"endpoint {name.text}")
        return nodes.Endpoint(
            name, self._members(self.message, self._skip_message, brace, "an endpoint"), documentation
        )

    # message = name "(" [ parameters ] ")" ( "=>" "(" [ parameters ] ")" | "=|" ) ;
    def message(self) -> nodes.Message:
        if self._is(",", ";"):
            self._error(self._take().span, "a separator between messages", "remove it: messages need none")
            raise Mismatch
        documentation = self._token.documentation
        name = self._name("a message's name")
        inputs = self.parameters(f"'{name.text}'")
        outputs = self._answer(name)
        return nodes.Message(name, inputs, outputs, documentation)

    def _answer(self, name: nodes.Name) -> tuple[nodes.Parameter, ...] | None:
        if self._accept("=|"):
            return None
        arrow = self._accept("->")
        if arrow:
            self._error(arrow.span, f"'->' after message '{name.text}'", "write '=>'")
        if arrow or self._accept("=>"):
            self._refuse_bare_answer()
            return self.parameters(f"'{'->' if arrow else '=>'}'")
        if self._closes_nothing():
            self._fail("")
        self._error(
            name.span,
            f"message '{name.text}' has neither '=>' nor '=|'",
            "end it with '=> (...)' if it has an answer, with '=|' if it is one-way",
        )
        if not self._is_name() and not self._is("}"):
            raise Mismatch
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

    # parameter = [ attributes ] type name | attributes name ;
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
        if self._refuse_type_after_name(type):
            swapped = nodes.Name(type.name, type.span)
            type = self.type()
            return nodes.Parameter(attributes, type, swapped, start.to(type.span))
        self._refuse_foreign(type)
        name = self._name("a parameter's name")
        return nodes.Parameter(attributes, type, name, start.to(name.span))

    @property
    def _ends_parameter(self) -> bool:
        return self._is(",", ")")

    # attributes = "[" name { "," name } "]" ;
    def attributes(self) -> tuple[nodes.Name, ...]:
        opener = self._opener("[", "")
        names = [self._name("an attribute")]
        while self._accept(","):
            names.append(self._name("an attribute"))
        self._close(opener)
        return tuple(names)

    # struct = "struct" type-name "{" { field } "}" [ ";" ] ;
    def struct(self, documentation: tuple[str, ...]) -> nodes.Struct:
        name = self.type_name("the struct's name")
        brace = self._brace(name, f"struct {name.text}")
        fields = self._members(self.field, self._skip_member, brace, "a struct")
        self._accept(";")
        return nodes.Struct(name, fields, documentation)

    # field = type name ";" ;
    def field(self) -> nodes.Field:
        documentation = self._token.documentation
        if self._is("["):
            self._refuse_attributes()
        type = self.type()
        if self._is("("):
            self._error(type.span, "a message inside a struct", "move it into an endpoint")
            raise Mismatch
        if self._is(";", ",", "=", "}"):
            message = f"'{type.text}' alone is not a field: its type or its name is missing"
            self._error(type.span, message, "write a type and a name")
            raise Mismatch
        if self._refuse_type_after_name(type):
            name, type = nodes.Name(type.name, type.span), self.type()
        else:
            self._refuse_foreign(type)
            name = self._name("a field's name")
        field = nodes.Field(type, name, documentation)
        if not self._accept(";"):
            self._refuse_end_of_field(field)
        return field

    def _refuse_attributes(self) -> None:
        start = self._token.span
        attributes = self.attributes()
        known = {"UTF8": "a String", "File": "an IPC::File", "Bitmap": "a Gfx::ShareableBitmap"}
        use = known.get(attributes[0].text)
        hint = f"make the field {use}" if use else "remove it"
        self._error(
            start.to(attributes[-1].span),
            "an attribute on a field: only parameters can have attributes",
            hint,
        )
        raise Mismatch

    # enum = "enum" type-name [ ":" type ] "{" enumerator { "," enumerator } [ "," ] "}" [ ";" ] ;
    def enum(self, documentation: tuple[str, ...]) -> nodes.Enum:
        if self._is("class", "struct") and self._next.kind is Kind.NAME:
            hint = f"write 'enum {self._next.text}'"
            self._error(self._token.span, f"{self._found} after 'enum'", hint)
            self._take()
        name = self.type_name("the enum's name")
        underlying = self.type() if self._accept(":") else None
        brace = self._brace(name, f"enum {name.text}")
        if brace and self._is("}"):
            self._error(name.span, f"enum '{name.text}' has no enumerators", "give it at least one")
        enumerators = self._members(self.enumerator, self._skip_member, brace, "an enum")
        self._accept(";")
        return nodes.Enum(name, underlying, enumerators, documentation)

    # enumerator = name [ "=" number ] ;
    def enumerator(self) -> nodes.Enumerator:
        documentation = self._token.documentation
        name = self._name("an enumerator's name")
        number = self.number() if self._accept("=") else None
        enumerator = nodes.Enumerator(name, number, documentation)
        if not self._accept(",") and not self._is("}"):
            self._refuse_end_of_enumerator(enumerator)
        return enumerator

    def number(self) -> nodes.Number:
        if self._token.kind is not Kind.NUMBER:
            self._fail("a number")
        token = self._take()
        try:
            is_number = int(token.text, 0).bit_length() <= MAX_BITS
        except ValueError:
            is_number = False
        if not is_number:
            self._error(token.span, f"malformed number '{token.text}'")
            raise Mismatch
        return nodes.Number(token.text, token.span)

    # type-name = name { "::" name } ;
    def type_name(self, what: str) -> nodes.Name:
        name = self._name(what)
        text, end = name.text, name.span
        while self._accept("::"):
            part = self._name("a name after '::'")
            text, end = f"{text}::{part.text}", part.span
        return nodes.Name(text, name.span.to(end))

    # type = [ "::" ] type-name [ arguments ] ;
    def type(self, depth: int = 0) -> nodes.Type:
        start = self._token.span
        text = "::" if self._accept("::") else ""
        name = self.type_name("a type")
        text += name.text
        name_span = start.to(name.span)
        if not self._is("<"):
            return nodes.Type(text, name_span, None, name_span)
        if depth == MAX_NESTING:
            self._error(name_span, f"types nest deeper than {MAX_NESTING}", "split the type")
            raise Mismatch
        arguments, end = self.arguments(depth)
        return nodes.Type(text, name_span, arguments, start.to(end))

    # arguments = "<" argument { "," argument } [ "," ] ">" ;
    def arguments(self, depth: int) -> tuple[tuple[nodes.Type | nodes.Number, ...], Span]:
        opener = self._opener("<", "")
        arguments: list[nodes.Type | nodes.Number] = []
        while not self._is(">"):
            arguments.append(self.argument(depth + 1))
            if not self._accept(","):
                break
        return tuple(arguments), self._close(opener).span

    # argument = type | number ;
    def argument(self, depth: int) -> nodes.Type | nodes.Number:
        return self.number() if self._token.kind is Kind.NUMBER else self._one_word(self.type(depth))

    # --- members in braces ---

    def _members(
        self, rule: Callable[[], _Member], skip: Callable[[int], None], brace: Token | None, inside: str
    ) -> tuple[_Member, ...]:
        """Read members by a rule up to the closing brace; a declaration among them is read and reported."""
        members: list[_Member] = []
        strangers: list[Token] = []
        while not self._accept("}"):
            if self._at_end or (self._at_declaration and not self._is("struct", "enum")):
                if brace:
                    self._never_closed(brace, f"'{strangers[0].text}'" if strangers else self._found)
                return tuple(members)
            start = self._at
            self._open.clear()
            try:
                if self._token.kind is Kind.INCLUDE:
                    self._error(self._take().span, f"'#include' inside {inside}", "move it out of the braces")
                elif self._at_declaration:
                    strangers.append(self._token)
                    self._declared.append(self._inner_declaration())
                else:
                    members.append(rule())
            except Mismatch:
                if self._at_end:  # the file is cut off: one mistake, which is reported already
                    brace = None
                skip(start)
        for token in strangers:
            self._error(token.span, f"'{token.text}' inside {inside}", "move it out of the braces")
        return tuple(members)

    def _inner_declaration(self) -> nodes.Declaration:
        """Read a declaration among members. Each takes stack, so that those too deep end the file."""
        if self._depth == MAX_NESTING:
            self._error(self._token.span, f"braces nest deeper than {MAX_NESTING}", "close them")
            self._at = len(self._tokens) - 1
            raise Mismatch
        self._depth += 1
        try:
            return self.declaration()
        finally:
            self._depth -= 1
