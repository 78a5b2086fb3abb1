"""Owns the nodes that the parser finds in a source, as immutable values with their spans.

Must not know what names mean: a node may name the type `Strng`, and two messages may share a name.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ipcc.source import Source, Span


@attrs.frozen
class Name:
    """A name, or a qualified name without white space: `Geo::Point`."""

    text: str
    span: Span


@attrs.frozen
class Number:
    """A number as written, in an argument (`Array<u8, 16>`) or an enumerator."""

    text: str
    span: Span

    @property
    def value(self) -> int:
        """The integer."""
        return int(self.text, 0)


@attrs.frozen
class Type:
    """A type as written: `::AK::HashMap<String, Vector<i32>>`."""

    name: str
    name_span: Span
    arguments: tuple[Type | Number, ...] | None
    """None without `<...>`."""
    span: Span

    @property
    def text(self) -> str:
        """The type in canonical white space."""
        if self.arguments is None:
            return self.name
        return f"{self.name}<{', '.join(argument.text for argument in self.arguments)}>"


@attrs.frozen
class Parameter:
    """A parameter as written: `[UTF8] ByteString name`."""

    attributes: tuple[Name, ...]
    type: Type | None
    """None if an attribute takes its place, as in `[File] name`."""
    name: Name | None
    """None if it is missing, which the resolver reports."""
    span: Span

    @property
    def text(self) -> str:
        """The parameter in canonical white space."""
        words = [f"[{', '.join(attribute.text for attribute in self.attributes)}]"] if self.attributes else []
        words += [node.text for node in (self.type, self.name) if node]
        return " ".join(words)


@attrs.frozen
class Message:
    """A message as written."""

    name: Name
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...] | None
    """None for a one-way message."""
    documentation: tuple[str, ...]

    @property
    def text(self) -> str:
        """The message in canonical white space: `add(i32 a, i32 b) => (i32 sum)`."""
        answer = "=|" if self.outputs is None else f"=> {listed(self.outputs)}"
        return f"{self.name.text}{listed(self.inputs)} {answer}"


@attrs.frozen
class Endpoint:
    """An endpoint as written."""

    name: Name
    messages: tuple[Message, ...]
    documentation: tuple[str, ...]


@attrs.frozen
class Field:
    """A field of a struct."""

    type: Type
    name: Name
    documentation: tuple[str, ...]

    @property
    def text(self) -> str:
        """The field in canonical white space: `i32 x;`."""
        return f"{self.type.text} {self.name.text};"


@attrs.frozen
class Struct:
    """A struct as written."""

    name: Name
    fields: tuple[Field, ...]
    documentation: tuple[str, ...]


@attrs.frozen
class Enumerator:
    """A value of an enum: `CITY`, or `CITY = 4`."""

    name: Name
    number: Number | None
    """None if it follows from the value before."""
    documentation: tuple[str, ...]

    @property
    def text(self) -> str:
        """The enumerator in canonical white space: `CITY = 4`."""
        return f"{self.name.text} = {self.number.text}" if self.number else self.name.text


@attrs.frozen
class Enum:
    """An enum as written: `enum Geo::Kind : u8 { ... }`."""

    name: Name
    underlying: Type | None
    """None if it is not written."""
    enumerators: tuple[Enumerator, ...]
    documentation: tuple[str, ...]


@attrs.frozen
class Include:
    """An include: `#include <path>`, or `#include "path"` if it is quoted."""

    path: str
    is_quoted: bool
    span: Span
    """The whole directive."""

    @property
    def text(self) -> str:
        """The directive in canonical white space."""
        return f'#include "{self.path}"' if self.is_quoted else f"#include <{self.path}>"


Declaration: TypeAlias = Include | Endpoint | Struct | Enum


@attrs.frozen
class File:
    """The declarations of a source, in order."""

    source: Source
    declarations: tuple[Declaration, ...]

    @property
    def includes(self) -> tuple[Include, ...]:
        """The includes among the declarations."""
        return tuple(node for node in self.declarations if isinstance(node, Include))

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints among the declarations."""
        return tuple(node for node in self.declarations if isinstance(node, Endpoint))

    @property
    def structs(self) -> tuple[Struct, ...]:
        """The structs among the declarations."""
        return tuple(node for node in self.declarations if isinstance(node, Struct))

    @property
    def enums(self) -> tuple[Enum, ...]:
        """The enums among the declarations."""
        return tuple(node for node in self.declarations if isinstance(node, Enum))


def listed(parameters: tuple[Parameter, ...]) -> str:
    """A parameter list in canonical white space, in parentheses."""
    return f"({', '.join(parameter.text for parameter in parameters)})"
