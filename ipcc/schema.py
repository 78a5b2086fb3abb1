"""Owns the canonical `.ipc` text of endpoints, structs and enums: what a module's SCHEMA and `describe` show.

Must not know how that text is read back, nor how it is embedded in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipcc.definitions import Definition, Enumeration, Enumerator, Member, Struct

OWN_CODEC = "// NAME has a codec of its own."
"""The line that stands for a registered class with a codec of its own, of which only the name is known."""

_INDENTATION = "    "


def endpoint_schema(
    name: str,
    documentation: Iterable[str],
    messages: Iterable[tuple[str, Iterable[str]]],
    definitions: Iterable[Definition],
) -> str:
    """The text of an endpoint after that of the types it uses.

    `messages` are the text and the documentation of each, `definitions` those that its messages lead to.
    """
    lines: list[str] = []
    for definition in definitions:
        lines += [*definition_lines(definition), ""]
    lines += [*_comments(documentation, ""), f"endpoint {name}", "{"]
    for text, comments in messages:
        lines += [*_comments(comments, _INDENTATION), f"{_INDENTATION}{text}"]
    return "\n".join([*lines, "}", ""])


def definition_lines(definition: Definition) -> list[str]:
    """The lines that declare a struct or an enum; a comment for a class with a codec of its own."""
    if isinstance(definition, Struct):
        fields = ((field, f"{field.type.canonical} {field.name};") for field in definition.fields)
        return _declaration(f"struct {definition.name}", definition.documentation, fields)
    if isinstance(definition, Enumeration):
        head = f"enum {definition.name} : {definition.underlying.canonical}"
        values = ((value, f"{value.name} = {value.number},") for value in definition.enumerators)
        return _declaration(head, definition.documentation, values)
    return [OWN_CODEC.replace("NAME", definition.name)]


def _declaration(
    head: str, documentation: Iterable[str], members: Iterable[tuple[Member | Enumerator, str]]
) -> list[str]:
    lines = [*_comments(documentation, ""), head, "{"]
    for member, text in members:
        lines += [*_comments(member.documentation, _INDENTATION), f"{_INDENTATION}{text}"]
    return [*lines, "}"]


def _comments(documentation: Iterable[str], indentation: str) -> Iterator[str]:
    for line in documentation:
        yield f"{indentation}/// {line}".rstrip()
