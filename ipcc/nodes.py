"""What the grammar finds in a source, as immutable values with their spans.

Nothing is checked or resolved here: `Strng` is a fine type and two messages may share a name.
"""

from __future__ import annotations

import attrs

from ipcc.source import Source, Span


@attrs.frozen
class Name:
    text: str
    span: Span


@attrs.frozen
class Number:
    """A number among a type's arguments, as in `Array<u8, 16>`."""

    text: str
    span: Span


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
class Include:
    """`#include <path>` or `#include "path"`; the span covers the directive."""

    path: str
    span: Span


@attrs.frozen
class File:
    source: Source
    includes: tuple[Include, ...]
    endpoints: tuple[Endpoint, ...]


def listed(parameters: tuple[Parameter, ...]) -> str:
    """A parameter list in canonical white space, with its parentheses."""
    return f"({', '.join(parameter.text for parameter in parameters)})"
