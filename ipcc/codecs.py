"""Owns which codec objects a module makes, in which order, and their names there.

Must not know messages, nor what a codec does when it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import attrs

from ipcc.definitions import Definitions, Enumeration
from ipcc.types import Type, defined_type

_LONGEST = 60
"""A longer name would be harder to read than a short one with a number."""
_TAKEN = frozenset(
    {"_Struct", "_at", "_attrs", "_builtins", "_codecs", "_data", "_datetime", "_decode"}
    | {
        "_encode",
        "_enum",
        "_files",
        "_decoding",
        "_ipc",
        "_n",
        "_AROUND",
        "_TAG",
        "_cursor",
        "_deliver",
        "_end",
    }
    | {"_frame", "_handlers", "_next", "_serial", "_size", "_tail"}
)
"""The private names that generated code uses for itself."""


@attrs.frozen
class Codec:
    """One line of the module: `name = expression`."""

    type: Type
    name: str
    expression: str
    annotation: str = ""
    """The Python type of its values, for recursive types only, which a type checker cannot infer."""


def named_codecs(types: Iterable[Type], formats: Iterable[str], definitions: Definitions) -> list[Codec]:
    """The codecs of all composite and defined types among these and in them.

    `formats` are the struct formats of the module, whose names are taken.
    """
    names = _Names(formats, definitions)
    order: list[Type] = []
    seen: set[str] = set()
    for type in types:
        for found in _in_order(type, seen, definitions):
            order.append(found)
            names.give(found)
    return [names.codec(type) for type in order]


def _in_order(type: Type, seen: set[str], definitions: Definitions) -> Iterator[Type]:
    """The types to name: parts before wholes, but those that lead back to a struct after it.

    Of a registered class they are the classes that it leads to, since each is compared with what was read.
    """
    if type.codec or type.canonical in seen:
        return
    seen.add(type.canonical)
    definition = definitions.of(type)
    parts = definition.types if definition else type.parts
    if definition and definition.registered:
        parts = tuple(defined_type(d.name, d.python) for part in parts for d in definitions.mentioned(part))
    leading_back = [part for part in parts if definition and definitions.leads_back(part, definition)]
    for part in parts:
        if part not in leading_back:
            yield from _in_order(part, seen, definitions)
    yield type
    for part in leading_back:
        yield from _in_order(part, seen, definitions)


class _Names:
    """Gives each type a name that nothing else in the module has."""

    def __init__(self, formats: Iterable[str], definitions: Definitions) -> None:
        self._definitions = definitions
        self._given: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._taken = {*_TAKEN, *(f"_{format}" for format in formats)}

    def give(self, type: Type) -> None:
        base = re.sub(r"\W+", "_", f"_{type.canonical}").rstrip("_")
        if len(base) > _LONGEST or base.startswith(("_raw_", "_frame_", "_head_", "_tail_")):
            word = re.split(r"\W", type.canonical)[0]
            base = f"_{word[0].upper()}{word[1:]}"
        name = base
        while name in self._taken:
            number = self._numbers[base] = self._numbers.get(base, 1) + 1
            name = f"{base}_{number}"
        self._taken.add(name)
        self._given[type.canonical] = name

    def codec(self, type: Type) -> Codec:
        is_recursive = any(d.facts.is_recursive for d in self._definitions.mentioned(type))
        annotation = type.annotation if is_recursive else ""
        return Codec(type, self._given[type.canonical], self._expression(type), annotation)

    def _expression(self, type: Type) -> str:
        definition = self._definitions.of(type)
        if definition is None:
            arguments = [*map(self._of, type.parts), *([] if type.count is None else [str(type.count)])]
            return f"_ipc.{type.maker}({', '.join(arguments)})"
        if definition.registered:
            return f'_ipc.registered({definition.python}, "{definition.canonical or definition.name}")'
        if isinstance(definition, Enumeration):
            return f"_ipc.enumeration({definition.python}, {definition.underlying.codec})"
        made = f"_ipc.structure({', '.join([definition.python, *map(self._of, definition.types)])})"
        return f"_ipc.recursive(lambda: {made})" if definition.facts.is_recursive else made

    def _of(self, type: Type) -> str:
        return type.codec or self._given[type.canonical]
