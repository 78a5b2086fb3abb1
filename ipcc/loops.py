"""Owns which codecs a module writes out as loops, and the steps by which each packs and unpacks one value.

Must not know the text of those steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import attrs

from ipcc.definitions import Definitions, Enumeration, Struct
from ipcc.types import Packing, Type

_MOST_LEAVES = 16
_DEEPEST = 4
"""Values with more parts, or with structs nested deeper, have codecs that are made of others."""
_SIZES = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4, "d": 8}


@attrs.frozen
class Leaf:
    """A number, bool, text, byte string or enum in a value."""

    path: tuple[str, ...]
    """How it is read: the variable of the value, and the attributes that lead from there."""
    local: str
    """The variable that it is unpacked into."""
    type: Type
    enumeration: Enumeration | None = None

    @property
    def has_length(self) -> bool:
        """Whether its length is packed, and its bytes follow."""
        return self.type.packing in (Packing.TEXT, Packing.OCTETS)

    @property
    def is_flag(self) -> bool:
        """Whether it is a bool."""
        return self.type.packing is Packing.FLAG

    @property
    def format(self) -> str:
        """The character of what is packed: of its number, or of its length."""
        if self.has_length:
            return "I"
        return self.enumeration.underlying.format if self.enumeration else self.type.format


@attrs.frozen
class Group:
    """A struct in a value, with its fields."""

    path: tuple[str, ...]
    local: str
    type: Type
    struct: Struct
    fields: tuple[Part, ...]


Part: TypeAlias = Leaf | Group


@attrs.frozen
class Step:
    """Leaves that one struct packs; of the last, which has a length, the bytes follow."""

    leaves: tuple[Leaf, ...]

    @property
    def format(self) -> str:
        """The struct format."""
        return "".join(leaf.format for leaf in self.leaves)

    @property
    def size(self) -> int:
        """The bytes that the struct packs."""
        return sum(_SIZES[character] for character in self.format)

    @property
    def text(self) -> Leaf | None:
        """The leaf whose bytes follow."""
        return self.leaves[-1] if self.leaves[-1].has_length else None


@attrs.frozen
class Loop:
    """A codec that the module writes out: of a struct, or of a vector or map that it loops over."""

    parts: tuple[Part, ...]
    """The element of a vector, the key and the value of a map, or the struct itself."""

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """All leaves of one element, in the order of the wire."""
        return tuple(leaf for part in self.parts for leaf in leaves_of(part))

    @property
    def groups(self) -> tuple[Group, ...]:
        """All structs of one element, parts before wholes."""
        return tuple(group for part in self.parts for group in _groups_of(part))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that pack one element."""
        steps, run = [], []
        for leaf in self.leaves:
            run.append(leaf)
            if leaf.has_length:
                steps.append(Step(tuple(run)))
                run = []
        return (*steps, Step(tuple(run))) if run else tuple(steps)

    @property
    def is_fixed(self) -> bool:
        """Whether every element takes the same number of bytes."""
        return not any(leaf.has_length for leaf in self.leaves)

    @property
    def smallest(self) -> int:
        """The least bytes that an element takes."""
        return sum(step.size for step in self.steps)

    @property
    def formats(self) -> Iterator[str]:
        """The struct formats that it needs, with that of a count."""
        return (step.format for step in self.steps)


def loop_of(type: Type, definitions: Definitions, taken: Iterable[str]) -> Loop | None:
    """How the codec of a type is written out; None if it is made of other codecs.

    Written out are structs, vectors and maps whose elements consist of numbers, bools, texts, byte strings,
    enums, and structs of those. A vector of numbers needs no loop. No variable hides a name of `taken`.
    """
    locals = _Locals(taken)
    definition = definitions.of(type)
    if isinstance(definition, Struct):
        named = [("value", type)]
    elif type.maker == "vector" and type.parts[0].packing is not Packing.NUMBER:
        named = [("element", type.parts[0])]
    elif type.maker in ("hash_map", "ordered_hash_map"):
        named = [("key", type.parts[0]), ("element", type.parts[1])]
    else:
        return None
    parts = _parts([((name,), part) for name, part in named], "", definitions, locals)
    return None if parts is None else Loop(parts)


class _Locals:
    """Gives each leaf a variable of its own."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self.leaves = 0
        """How many leaves have one."""

    def give_leaf(self, name: str) -> str | None:
        """A variable for a leaf; None if it is one too many."""
        self.leaves += 1
        return self.give(name) if self.leaves <= _MOST_LEAVES else None

    def give(self, name: str) -> str:
        """A variable that no other has."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _parts(
    named: Iterable[tuple[tuple[str, ...], Type]], prefix: str, definitions: Definitions, locals: _Locals
) -> tuple[Part, ...] | None:
    """The parts of these paths and types; None, without a look at the rest, if one is not simple."""
    parts = []
    for path, type in named:
        part = _part(path, prefix, type, definitions, locals)
        if part is None:
            return None
        parts.append(part)
    return tuple(parts)


def _part(
    path: tuple[str, ...], prefix: str, type: Type, definitions: Definitions, locals: _Locals
) -> Part | None:
    definition = definitions.of(type)
    if definition and definition.registered:
        return None
    if isinstance(definition, Struct):
        return _group(path, prefix, type, definition, definitions, locals)
    is_leaf = isinstance(definition, Enumeration) or type.packing is not Packing.CODED
    local = locals.give_leaf(f"{prefix}{path[-1]}") if is_leaf else None
    enumeration = definition if isinstance(definition, Enumeration) else None
    return Leaf(path, local, type, enumeration) if local else None


def _group(
    path: tuple[str, ...],
    prefix: str,
    type: Type,
    struct: Struct,
    definitions: Definitions,
    locals: _Locals,
) -> Group | None:
    if struct.facts.is_recursive or not struct.fields or len(path) > _DEEPEST:
        return None
    own = locals.give(f"{prefix}{path[-1]}")
    deeper = f"{own}_" if len(path) > 1 or path[0] == "key" else ""
    named = (((*path, field.python), field.type) for field in struct.fields)
    fields = _parts(named, deeper, definitions, locals)
    return None if fields is None else Group(path, own, type, struct, fields)


def leaves_of(part: Part) -> Iterator[Leaf]:
    """The leaves of a part, in the order of the wire."""
    if isinstance(part, Leaf):
        yield part
    else:
        for field in part.fields:
            yield from leaves_of(field)


def _groups_of(part: Part) -> Iterator[Group]:
    if isinstance(part, Group):
        for field in part.fields:
            yield from _groups_of(field)
        yield part
