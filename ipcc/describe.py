"""Owns the description of a compilation, for people and for programs: magics, ids, signatures, types.

Must not know how any of it was computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ipcc.definitions import Definition, Enumeration, Member, Struct
from ipcc.model import BUILTINS, Compilation, Endpoint, Message, Parameter, Payload
from ipcc.schema import definition_lines
from ipcc.types import Type

_BUILTINS = {name: name for name in BUILTINS}
_MODULES = {"_ipc.": "ipclib.", "_datetime.": "datetime."}
"""The names of modules in generated code, and their real names."""


def described(compilation: Compilation) -> str:
    """The compilation as text, for people."""
    paragraphs = [_endpoint_lines(endpoint) for endpoint in compilation.endpoints]
    paragraphs += [definition_lines(definition) for definition in compilation.definitions]
    paragraphs.append(_type_lines(_types(compilation)))
    return "\n".join("".join(f"{line}\n" for line in lines) for lines in paragraphs if lines)


def as_json(compilation: Compilation) -> dict[str, object]:
    """The compilation as JSON, for programs. Magics and signatures are unsigned numbers."""
    return {
        "sources": list(compilation.sources),
        "endpoints": [_endpoint(endpoint) for endpoint in compilation.endpoints],
        "definitions": [_definition(definition) for definition in compilation.definitions],
        "types": {type.canonical: _in_python(type) for type in _types(compilation)},
    }


def _types(compilation: Compilation) -> list[Type]:
    """The types of all parameters, by spelling."""
    types = {p.type.canonical: p.type for payload in compilation.payloads for p in payload.parameters}
    return [types[canonical] for canonical in sorted(types)]


def _in_python(type: Type) -> str:
    written = type.annotation.format_map(_BUILTINS)
    return re.sub(r"\b(_ipc|_datetime)\.", lambda match: _MODULES[match.group()], written)


# --- as text ---


def _endpoint_lines(endpoint: Endpoint) -> list[str]:
    head = f"endpoint {endpoint.name}: magic 0x{endpoint.magic:08X} ({endpoint.magic})"
    rows = [(_ids(message), f"0x{message.signature:08X}", message.text) for message in endpoint.messages]
    return [head, *_columns(rows)]


def _ids(message: Message) -> str:
    return str(message.id) if message.outputs is None else f"{message.id}, {message.id + 1}"


def _type_lines(types: Iterable[Type]) -> list[str]:
    rows = [(type.canonical, _in_python(type)) for type in types]
    return ["types of parameters, and in Python", *_columns(rows)] if rows else []


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"    {'  '.join(cells)}".rstrip()


# --- as JSON ---


def _endpoint(endpoint: Endpoint) -> dict[str, object]:
    return {
        "name": endpoint.name,
        "python": endpoint.python,
        "magic": endpoint.magic,
        "documentation": list(endpoint.documentation),
        "messages": [_message(message) for message in endpoint.messages],
    }


def _message(message: Message) -> dict[str, object]:
    return {
        "name": message.name,
        "python": message.python,
        "id": message.id,
        "response_id": None if message.outputs is None else message.id + 1,
        "signature": message.signature,
        "signed": message.signed_text,
        "inputs": _payload(message.inputs),
        "outputs": None if message.outputs is None else _payload(message.outputs),
        "documentation": list(message.documentation),
    }


def _payload(payload: Payload) -> list[dict[str, object]]:
    return [_member(parameter) for parameter in payload.parameters]


def _member(member: Parameter | Member) -> dict[str, object]:
    return {"name": member.name, "python": member.python, "type": member.type.canonical}


def _definition(definition: Definition) -> dict[str, object]:
    shared: dict[str, object] = {"name": definition.name, "python": definition.python}
    if isinstance(definition, Struct):
        return {"kind": "struct", **shared, "fields": [_member(field) for field in definition.fields]}
    if isinstance(definition, Enumeration):
        values = {enumerator.name: enumerator.number for enumerator in definition.enumerators}
        return {"kind": "enum", **shared, "underlying": definition.underlying.canonical, "values": values}
    return {"kind": "class with a codec of its own", **shared}
