"""What the grammar finds in a source, as immutable values with their spans.

Nothing is checked or resolved here: `Strng` is a fine type and two messages may share a name.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ipcc.source import Source, Span


@attrs.frozen
class Name:
    """A name, or a qualified one: `Geo::Point` without white space."""

    text: str
    span: Span


@attrs.frozen
class Number:
    """A number as written: an argument as in `Array<u8, 16>`, or an enumerator's."""

    text: str
    span: Span

    @property
    def value(self) -> int:
        return int(self.text, 0)


@attrs.frozen
class Type:
    """A type as written: `::AK::HashMap<String, Vector<i32>>`. `arguments` is None without `<...>`."""

    name: str
    name_span: Span
    arguments: tuple[Type | Number, ...] | None
    span: Span

    @property
    def text(self) -> str:
        """The type in canonical white space."""
        if self.arguments is None:
            return self.name
        return f"{self.name}<{', '.join(argument.text for argument in self.arguments)}>"


@attrs.frozen
class Parameter:
    """`[UTF8] ByteString name`. A nameless one has no `name`, one such as `[File] x` no `type`."""

    attributes: tuple[Name, ...]
    type: Type | None
    name: Name | None
    span: Span

    @property
    def text(self) -> str:
        words = [f"[{', '.join(attribute.text for attribute in self.attributes)}]"] if self.attributes else []
        words += [node.text for node in (self.type, self.name) if node]
        return " ".join(words)


@attrs.frozen
class Message:
    """A message; `outputs` is None for a one-way one."""

    name: Name
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...] | None
    documentation: tuple[str, ...]

    @property
    def text(self) -> str:
        """The message in canonical white space: `add(i32 a, i32 b) => (i32 sum)`."""
        answer = "=|" if self.outputs is None else f"=> {listed(self.outputs)}"
        return f"{self.name.text}{listed(self.inputs)} {answer}"


@attrs.frozen
class Endpoint:
    name: Name
    messages: tuple[Message, ...]
    documentation: tuple[str, ...]


@attrs.frozen
class Field:
    type: Type
    name: Name
    documentation: tuple[str, ...]

    @property
    def text(self) -> str:
        """The field in canonical white space: `i32 x;`."""
        return f"{self.type.text} {self.name.text};"


@attrs.frozen
class Struct:
    name: Name
    fields: tuple[Field, ...]
    documentation: tuple[str, ...]


@attrs.frozen
class Enumerator:
    """`CITY` or `CITY = 4`; `number` is None where it follows from the one before."""

    name: Name
    number: Number | None
    documentation: tuple[str, ...]

    @property
    def text(self) -> str:
        """The enumerator in canonical white space: `CITY = 4`."""
        return f"{self.name.text} = {self.number.text}" if self.number else self.name.text


@attrs.frozen
class Enum:
    """`enum Geo::Kind : u8 { ... }`; `underlying` is None where none is written."""

    name: Name
    underlying: Type | None
    enumerators: tuple[Enumerator, ...]
    documentation: tuple[str, ...]


@attrs.frozen
class Include:
    """`#include <path>` or, `is_quoted`, `#include "path"`; the span covers the directive."""

    path: str
    is_quoted: bool
    span: Span

    @property
    def text(self) -> str:
        """The directive in canonical white space."""
        return f'#include "{self.path}"' if self.is_quoted else f"#include <{self.path}>"


Declaration: TypeAlias = Include | Endpoint | Struct | Enum


@attrs.frozen
class File:
    """All that a source declares, in its order."""

    source: Source
    declarations: tuple[Declaration, ...]

    @property
    def includes(self) -> tuple[Include, ...]:
        return tuple(node for node in self.declarations if isinstance(node, Include))

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(node for node in self.declarations if isinstance(node, Endpoint))

    @property
    def structs(self) -> tuple[Struct, ...]:
        return tuple(node for node in self.declarations if isinstance(node, Struct))

    @property
    def enums(self) -> tuple[Enum, ...]:
        return tuple(node for node in self.declarations if isinstance(node, Enum))


def listed(parameters: tuple[Parameter, ...]) -> str:
    """A parameter list in canonical white space, with its parentheses."""
    return f"({', '.join(parameter.text for parameter in parameters)})"
