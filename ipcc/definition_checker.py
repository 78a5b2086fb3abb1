"""Owns the way from declared structs, enums and registered classes to definitions, and the rules they obey.

Must not know endpoints, nor how Python files are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from ipcc import nodes
from ipcc.builtin_types import BUILTIN_TYPES, INTEGERS, look_up
from ipcc.collisions import refuse_member_collisions
from ipcc.cycles import Fields, facts_of_structs, without_impossible
from ipcc.definitions import (
    Definition,
    Definitions,
    Enumeration,
    Enumerator,
    Member,
    Opaque,
    PythonClass,
    Struct,
)
from ipcc.diagnostics import Report
from ipcc.names import enumerator_name, field_name, is_new, normal, refuse_underscore, type_name
from ipcc.python_types import RegisteredClass
from ipcc.resolver import Resolver
from ipcc.spelling import did_you_mean_type
from ipcc.types import Type, defined_type


@attrs.frozen
class _Declared:
    """A declaration whose name is new."""

    name: nodes.Name
    node: nodes.Struct | nodes.Enum | None
    """None for a registered class with a codec of its own."""
    registered: RegisteredClass | None
    """None for a declaration of an interface file."""

    @property
    def python_class(self) -> PythonClass | None:
        """Where to import a registered class from."""
        found = self.registered
        return PythonClass(found.module, found.class_name) if found else None


@attrs.frozen
class Defined:
    """All definitions of a compilation, the names that declare them in the same order, and their resolver."""

    definitions: Definitions
    names: tuple[nodes.Name, ...]
    resolver: Resolver

    @property
    def taken(self) -> frozenset[str]:
        """The Python names that they take in the module."""
        return frozenset(definition.python for definition in self.definitions)


def define(
    files: Sequence[nodes.File], registered: Sequence[RegisteredClass], taken: frozenset[str], report: Report
) -> Defined:
    """Define all that files declare and Python modules register.

    `taken` are the Python names of endpoints.
    """
    declared = _distinct(files, registered, report)
    names = {entry.name.text: entry.name for entry in declared}
    pythons = _python_names(declared)
    resolver = Resolver({name: defined_type(name, python) for name, python in pythons.items()}, report)
    definitions: dict[str, Definition] = {}
    structs: dict[str, tuple[_Declared, nodes.Struct]] = {}
    for entry in declared:
        name = entry.name.text
        if isinstance(entry.node, nodes.Struct):
            structs[name] = entry, entry.node
        elif isinstance(entry.node, nodes.Enum):
            definitions[name] = _enumeration(entry.node, pythons[name], entry.python_class, report)
        elif entry.python_class:
            definitions[name] = Opaque(name, pythons[name], entry.python_class)
    definitions |= _structs(structs, definitions, pythons, names, resolver, taken, report)
    return Defined(Definitions(tuple(definitions[name] for name in names)), tuple(names.values()), resolver)


def _distinct(
    files: Sequence[nodes.File], registered: Sequence[RegisteredClass], report: Report
) -> list[_Declared]:
    """The declarations whose name is new and not a built-in type's; the others are reported."""
    found = [
        _Declared(node.name, node, None)
        for file in files
        for node in file.declarations
        if isinstance(node, (nodes.Struct, nodes.Enum))
    ]
    found += [_Declared(entry.name, entry.node, entry) for entry in registered]
    first: dict[str, nodes.Name] = {}
    return [e for e in found if _may_define(e.name, report) and is_new(e.name, first, "type", report)]


def _may_define(name: nodes.Name, report: Report) -> bool:
    for part in name.text.split("::"):
        refuse_underscore(nodes.Name(part, name.span), "a type", report)
    if look_up(name.text) is None:
        return True
    report.error(name.span, f"'{name.text}' is a built-in type", "choose another name")
    return False


def _python_names(declared: Sequence[_Declared]) -> dict[str, str]:
    """The Python name of each: the last part of its name, or the registered class's own name.

    Where two would share it, it is the whole name.
    """
    short = [
        type_name(entry.registered.class_name if entry.registered else entry.name.text.rpartition("::")[2])
        for entry in declared
    ]
    uses = Counter(map(normal, short))
    return {
        entry.name.text: python if uses[normal(python)] == 1 else type_name(entry.name.text.replace("::", ""))
        for python, entry in zip(short, declared, strict=True)
    }


# --- enums ---


def _enumeration(
    node: nodes.Enum, python: str, registered: PythonClass | None, report: Report
) -> Enumeration:
    underlying = _underlying(node.underlying, report)
    enumerators: list[Enumerator] = []
    names: list[nodes.Name] = []
    first: dict[str, nodes.Name] = {}
    number = -1
    for entry in node.enumerators:
        number = entry.number.value if entry.number else number + 1
        if is_new(entry.name, first, "enumerator", report):
            if not registered:
                refuse_underscore(entry.name, "an enumerator", report)
            number = _in_range(entry, number, underlying, report)
            names.append(entry.name)
            own = enumerator_name(entry.name.text)
            enumerators.append(Enumerator(entry.name.text, own, number, entry.documentation))
    refuse_member_collisions("enumerator", names, enumerators, report)
    return Enumeration(node.name.text, python, node.documentation, registered, underlying, tuple(enumerators))


def _underlying(node: nodes.Type | None, report: Report) -> Type:
    default = BUILTIN_TYPES["i32"].make()
    if node is None:
        return default
    row = look_up(node.name)
    if row and node.name.rpartition("::")[2] in INTEGERS and node.arguments is None:
        return row.make()
    hint = did_you_mean_type(node.name, INTEGERS)
    if not any(f"'{name}'" in hint for name in INTEGERS):
        hint = f"it must be one of {', '.join(INTEGERS)}"
    report.error(node.span, f"'{node.text}' cannot be the type of an enum", hint)
    return default


def _in_range(node: nodes.Enumerator, number: int, underlying: Type, report: Report) -> int:
    bits = {"b": 8, "h": 16, "i": 32, "q": 64}[underlying.format.lower()]
    low, high = (
        (-(1 << bits - 1), (1 << bits - 1) - 1) if underlying.format.islower() else (0, (1 << bits) - 1)
    )
    if low <= number <= high:
        return number
    span = node.number.span if node.number else node.name.span
    message = f"enumerator '{node.name.text}' is {number}, out of range for {underlying.canonical}"
    report.error(span, message, f"{underlying.canonical} holds {low} to {high}")
    return low


# --- structs ---


def _structs(
    declared: Mapping[str, tuple[_Declared, nodes.Struct]],
    others: Mapping[str, Definition],
    pythons: Mapping[str, str],
    names: Mapping[str, nodes.Name],
    resolver: Resolver,
    taken: frozenset[str],
    report: Report,
) -> dict[str, Definition]:
    """The structs. Their fields come first, since the facts about one struct depend on those of others."""
    taken |= frozenset(pythons.values())
    fields: Fields = {
        name: _fields(node, entry.registered, resolver, taken, report)
        for name, (entry, node) in declared.items()
    }
    fields = without_impossible(fields, {name: node for name, (_, node) in declared.items()}, report)
    unhashable = frozenset(
        name for name, (entry, _) in declared.items() if entry.registered and not entry.registered.is_hashable
    )
    known = {name: definition.facts for name, definition in others.items()}
    facts = facts_of_structs(fields, known, unhashable, names, report)
    return {
        name: Struct(name, pythons[name], node.documentation, entry.python_class, fields[name], facts[name])
        for name, (entry, node) in declared.items()
    }


def _fields(
    node: nodes.Struct,
    registered: RegisteredClass | None,
    resolver: Resolver,
    taken: frozenset[str],
    report: Report,
) -> tuple[Member, ...]:
    members: list[Member] = []
    names: list[nodes.Name] = []
    first: dict[str, nodes.Name] = {}
    for field in node.fields:
        type = resolver.type(field.type)
        if is_new(field.name, first, "field", report):
            if not registered:
                _check_field_name(field.name, report)
            names.append(field.name)
            python = field.name.text if registered else field_name(field.name.text, taken)
            members.append(Member(field.name.text, python, type, field.documentation))
    refuse_member_collisions("field", names, members, report)
    return tuple(members)


def _check_field_name(name: nodes.Name, report: Report) -> None:
    refuse_underscore(name, "a field", report)
    if normal(name.text) == "self":
        report.error(
            name.span, "a field cannot be named 'self'", "Python's methods use that name: choose another"
        )
