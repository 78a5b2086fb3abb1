"""Which codec objects a module makes, in which order, and what they are called there.

Knows types and the names that generated code keeps for itself; no messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import attrs

from ipcc.types import Enumeration, Type, reached

_LONGEST = 60
"""Longer names say less than a number."""
_TAKEN = frozenset(
    {"_Struct", "_at", "_attrs", "_builtins", "_codecs", "_data", "_datetime", "_decode"}
    | {"_encode", "_enum", "_files", "_frame", "_ipc", "_n"}
)


@attrs.frozen
class Codec:
    """One line of the module: `name = expression`.

    `annotation` is the Python type of its values, where structs that contain themselves are among them: a
    type checker could not infer it.
    """

    type: Type
    name: str
    expression: str
    annotation: str = ""


def named_codecs(types: Iterable[Type], formats: Iterable[str]) -> list[Codec]:
    """The codecs of all composite and defined types among these and in them. `formats` take names, too."""
    names = _Names(formats)
    order: list[Type] = []
    seen: set[str] = set()
    for type in types:
        for found in _in_order(type, seen):
            order.append(found)
            names.give(found)
    return [names.codec(type) for type in order]


def _in_order(type: Type, seen: set[str]) -> Iterator[Type]:
    """The types to name: parts before wholes, those that lead back to a struct behind it."""
    if type.codec or type.canonical in seen:
        return
    seen.add(type.canonical)
    definition = type.definition
    parts = definition.types if definition and not definition.module else type.parts
    leading_back = [part for part in parts if definition and definition in reached((part,))]
    for part in parts:
        if part not in leading_back:
            yield from _in_order(part, seen)
    yield type
    for part in leading_back:
        yield from _in_order(part, seen)


class _Names:
    """Gives each type a name of its own, that nothing else in the module has."""

    def __init__(self, formats: Iterable[str]) -> None:
        self._given: dict[str, str] = {}
        self._taken = {*_TAKEN, *(f"_{format}" for format in formats)}

    def give(self, type: Type) -> None:
        base = re.sub(r"\W+", "_", f"_{type.canonical}").rstrip("_")
        if len(base) > _LONGEST or base.startswith("_raw_"):
            word = re.split(r"\W", type.canonical)[0]
            base = f"_{word[0].upper()}{word[1:]}"
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        self._given[type.canonical] = name

    def codec(self, type: Type) -> Codec:
        annotation = type.annotation if any(d.is_recursive for d in type.mentioned) else ""
        return Codec(type, self._given[type.canonical], self._expression(type), annotation)

    def _expression(self, type: Type) -> str:
        definition = type.definition
        if definition is None:
            arguments = [*map(self._of, type.parts), *([] if type.count is None else [str(type.count)])]
            return f"_ipc.{type.maker}({', '.join(arguments)})"
        if definition.module:
            return f"_ipc.registered({definition.python})"
        if isinstance(definition, Enumeration):
            return f"_ipc.enumeration({definition.python}, {definition.underlying.codec})"
        made = f"_ipc.structure({', '.join([definition.python, *map(self._of, definition.types)])})"
        return f"_ipc.recursive(lambda: {made})" if definition.is_recursive else made

    def _of(self, type: Type) -> str:
        return type.codec or self._given[type.canonical]
