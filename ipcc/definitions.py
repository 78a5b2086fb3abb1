"""Owns the structs, enums and registered classes of a compilation, as immutable values.

Must not know how they are declared. They refer to each other by name: a struct may contain itself, and no
immutable value can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

import attrs

from ipcc.strongly_connected import components
from ipcc.types import Type


@attrs.frozen
class Facts:
    """The consequences of a definition's fields for the types that mention it."""

    is_key: bool = True
    """Whether its values may be keys of a map: hashable, and equal to themselves."""
    is_empty: bool = False
    """Whether its values take neither bytes nor descriptors."""
    holds_files: bool = False
    depth: int = 1
    """How deep it nests; a struct that contains itself counts once."""
    is_recursive: bool = False


@attrs.frozen
class PythonClass:
    """A registered class: the module as an import statement spells it, and the class's name there."""

    module: str
    name: str


@attrs.frozen
class Member:
    """A field of a struct."""

    name: str
    python: str
    """The name of the attribute in Python."""
    type: Type
    documentation: tuple[str, ...] = ()


@attrs.frozen
class Enumerator:
    """A value of an enum."""

    name: str
    python: str
    number: int
    documentation: tuple[str, ...] = ()


@attrs.frozen
class Struct:
    """A struct of an interface file, or a registered attrs class."""

    name: str
    python: str
    documentation: tuple[str, ...]
    registered: PythonClass | None
    fields: tuple[Member, ...]
    facts: Facts

    @property
    def types(self) -> tuple[Type, ...]:
        """The types of its fields."""
        return tuple(field.type for field in self.fields)

    @property
    def canonical(self) -> str:
        """The definition as a signature spells it out."""
        return f"{self.name}{{{','.join(type.canonical for type in self.types)}}}"


@attrs.frozen
class Enumeration:
    """An enum of an interface file, or a registered Python enum."""

    name: str
    python: str
    documentation: tuple[str, ...]
    registered: PythonClass | None
    underlying: Type
    enumerators: tuple[Enumerator, ...]
    facts = Facts()
    types: tuple[Type, ...] = attrs.field(default=(), init=False)

    @property
    def canonical(self) -> str:
        """The definition as a signature spells it out."""
        numbers = ",".join(str(enumerator.number) for enumerator in self.enumerators)
        return f"{self.name}:{self.underlying.canonical}{{{numbers}}}"


@attrs.frozen
class Opaque:
    """A registered class with a codec of its own, of which only the name is known."""

    name: str
    python: str
    registered: PythonClass
    facts = Facts(holds_files=True)
    types: tuple[Type, ...] = attrs.field(default=(), init=False)
    canonical = ""


Definition: TypeAlias = Struct | Enumeration | Opaque


@attrs.frozen
class Definitions:
    """All definitions of a compilation, in order; found by the types that mention them."""

    all: tuple[Definition, ...]
    facts: Mapping[str, Facts] = attrs.field(init=False, eq=False, repr=False)
    """The facts about each definition, by its name."""
    _by_name: Mapping[str, Definition] = attrs.field(init=False, eq=False, repr=False)
    _cycles: Mapping[str, int] = attrs.field(init=False, eq=False, repr=False)
    """The same number for definitions that lead to each other."""

    @facts.default
    def _gather(self) -> Mapping[str, Facts]:
        return MappingProxyType({definition.name: definition.facts for definition in self.all})

    @_by_name.default
    def _index(self) -> Mapping[str, Definition]:
        return MappingProxyType({definition.name: definition for definition in self.all})

    @_cycles.default
    def _number_cycles(self) -> Mapping[str, int]:
        found = components(self._by_name, self._mentioned_by)
        return MappingProxyType({name: number for number, cycle in enumerate(found) for name in cycle})

    def _mentioned_by(self, name: str) -> Iterator[str]:
        return (other for type in self._by_name[name].types for other in type.mentioned)

    def __iter__(self) -> Iterator[Definition]:
        return iter(self.all)

    def of(self, type: Type) -> Definition | None:
        """The definition that a type is, if it is one."""
        return self._by_name[type.defined] if type.defined else None

    def mentioned(self, type: Type) -> Iterator[Definition]:
        """The definitions that a type mentions, in order, without those that their own fields mention."""
        return (self._by_name[name] for name in type.mentioned)

    def leads_back(self, part: Type, definition: Definition) -> bool:
        """Whether a part of a definition mentions it, itself or by way of others."""
        return any(self._cycles[name] == self._cycles[definition.name] for name in part.mentioned)

    def reached(self, types: Iterable[Type]) -> tuple[Definition, ...]:
        """The definitions that types mention and that those mention in turn, in order of first use."""
        return self.reached_from(dict.fromkeys(name for type in types for name in type.mentioned))

    def reached_from(self, names: Iterable[str]) -> tuple[Definition, ...]:
        """The definitions of these names and those that they mention in turn, in order of first use."""
        found = list(names)
        seen = set(found)
        for name in found:
            for type in self._by_name[name].types:
                new = [other for other in dict.fromkeys(type.mentioned) if other not in seen]
                seen.update(new)
                found += new
        return tuple(self._by_name[name] for name in found)


# --- what definitions mean for a type ---


def is_key(type: Type, facts: Mapping[str, Facts]) -> bool:
    """Whether values of a type may be keys of a map."""
    return facts[type.defined].is_key if type.defined else type.can_be_key


def is_empty(type: Type, facts: Mapping[str, Facts]) -> bool:
    """Whether values of a type take neither bytes nor descriptors."""
    return facts[type.defined].is_empty if type.defined else type.takes_no_bytes


def holds_files(type: Type, facts: Mapping[str, Facts]) -> bool:
    """Whether values of a type may hold descriptors."""
    own = facts[type.defined].holds_files if type.defined else type.carries_files
    return own or any(holds_files(part, facts) for part in type.parts)


def depth(type: Type, facts: Mapping[str, Facts]) -> int:
    """How deep a type nests, structs included; a struct that contains itself counts once."""
    own = facts[type.defined].depth if type.defined else 0
    return max(own, *(1 + depth(part, facts) for part in type.parts)) if type.parts else own
