"""Owns which codec objects a module makes, in which order, and their names there.

Must not know messages, nor what a codec does when it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import attrs

from ipcc.definitions import Definitions, Enumeration
from ipcc.loops import Loop, loop_of
from ipcc.types import Type, defined_type

_LONGEST = 60
"""A longer name would be harder to read than a short one with a number."""
_TAKEN = frozenset(
    {"_Struct", "_at", "_attrs", "_builtins", "_codecs", "_data", "_datetime", "_decode"}
    | {"_encode", "_enum", "_files", "_decoding", "_ipc", "_n", "_AROUND", "_TAG", "_cursor", "_deliver"}
    | {"_frame", "_handlers", "_next", "_serial", "_size", "_tail"}
    | {"_count", "_end", "_keys", "_packed", "_pieces", "_stop", "_text", "_values"}
)
"""The private names that generated code uses for itself."""
_PARAMETERS = frozenset({"self", "files", "data", "at", "decoding"})
"""The parameters of a codec's methods."""


@attrs.frozen
class Codec:
    """One line of the module: `name = expression`."""

    type: Type
    name: str
    expression: str
    annotation: str = ""
    """The Python type of its values, for recursive types only, which a type checker cannot infer."""
    class_name: str = ""
    """The class that the module writes out for it."""
    loop: Loop | None = None
    """What that class does; None if the codec is made of others."""


def named_codecs(
    types: Iterable[Type], formats: Iterable[str], definitions: Definitions, taken: Iterable[str]
) -> list[Codec]:
    """The codecs of all composite and defined types among these and in them.

    `formats` are the struct formats of the module's messages, whose names are taken; `taken` are the names
    that the variables of a function may not hide.
    """
    seen: set[str] = set()
    order = [found for type in types for found in _in_order(type, seen, definitions)]
    hidden = frozenset(taken) | _PARAMETERS
    loops = {type.canonical: loop_of(type, definitions, hidden) for type in order}
    own = [format for loop in loops.values() if loop for format in loop.formats]
    names = _Names([*formats, *own], definitions, loops)
    for type in order:
        names.give(type)
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

    def __init__(
        self, formats: Iterable[str], definitions: Definitions, loops: Mapping[str, Loop | None]
    ) -> None:
        self._definitions = definitions
        self._loops = loops
        self._classes: dict[str, str] = {}
        self._given: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._taken = {*_TAKEN, *(f"_{format}" for format in formats)}

    def give(self, type: Type) -> None:
        base = re.sub(r"\W+", "_", f"_{type.canonical}").rstrip("_")
        if len(base) > _LONGEST or base.startswith(("_raw_", "_frame_", "_head_", "_tail_")):
            word = re.split(r"\W", type.canonical)[0]
            base = f"_{word[0].upper()}{word[1:]}"
        self._given[type.canonical] = self._new(base)
        if self._loops[type.canonical]:
            self._classes[type.canonical] = self._new(f"{base}_Codec")

    def _new(self, base: str) -> str:
        name = base
        while name in self._taken:
            number = self._numbers[base] = self._numbers.get(base, 1) + 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name

    def codec(self, type: Type) -> Codec:
        is_recursive = any(d.facts.is_recursive for d in self._definitions.mentioned(type))
        annotation = type.annotation if is_recursive else ""
        name, class_name = self._given[type.canonical], self._classes.get(type.canonical, "")
        expression = f"{class_name}({self._arguments(type)})" if class_name else self._expression(type)
        return Codec(type, name, expression, annotation, class_name, self._loops[type.canonical])

    def _arguments(self, type: Type) -> str:
        """What the class of a written codec is made with, as the general class is."""
        definition = self._definitions.of(type)
        if definition:
            return ", ".join([definition.python, *map(self._of, definition.types)])
        name = {"hash_map": '"HashMap", ', "ordered_hash_map": '"OrderedHashMap", '}.get(type.maker, "")
        return name + ", ".join(map(self._of, type.parts))

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
