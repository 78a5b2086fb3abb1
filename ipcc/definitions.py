"""Structs, enums and registered classes: from their declarations to what types and generated code need.

Knows the rules of definitions; no endpoints, and not how Python files are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import attrs

from ipcc import nodes
from ipcc.builtin_types import BUILTIN_TYPES, INTEGERS, look_up
from ipcc.collisions import refuse_member_collisions
from ipcc.cycles import components
from ipcc.diagnostics import Report, did_you_mean
from ipcc.names import enumerator_name, field_name, is_new, normal, refuse_underscore, type_name
from ipcc.parser import MAX_NESTING
from ipcc.python_types import RegisteredClass
from ipcc.resolver import Resolver, depth
from ipcc.types import (
    UNKNOWN,
    Definition,
    Enumeration,
    Enumerator,
    Member,
    Module,
    Opaque,
    Struct,
    Type,
)


@attrs.frozen
class _Declared:
    """A declaration and what will become of it; one of an interface file has no `registered`."""

    name: nodes.Name
    node: nodes.Struct | nodes.Enum | None
    registered: RegisteredClass | None
    definition: Definition


@attrs.frozen
class Definitions:
    """All definitions of a compilation, each with the name that declares it; and their resolver."""

    declared: tuple[tuple[nodes.Name, Definition], ...]
    resolver: Resolver

    @property
    def taken(self) -> frozenset[str]:
        """The Python names that they take in the module."""
        return frozenset(definition.python for _, definition in self.declared)


def define(
    files: Sequence[nodes.File], registered: Sequence[RegisteredClass], taken: frozenset[str], report: Report
) -> Definitions:
    """Define all that files declare and Python modules register. `taken` are names that endpoints take."""
    distinct = _distinct(files, registered, report)
    pythons = _python_names([(name, r.class_name if r else "") for name, _, r in distinct])
    declared = [
        _Declared(name, node, r, _blank(name, node, r, python, report))
        for (name, node, r), python in zip(distinct, pythons, strict=True)
    ]
    resolver = Resolver({entry.definition.name: entry.definition for entry in declared}, report)
    taken |= frozenset(pythons)
    for entry in declared:
        if isinstance(entry.node, nodes.Struct) and isinstance(entry.definition, Struct):
            entry.definition.fields = _fields(entry.node, entry.registered, resolver, taken, report)
    _refuse_self_containing(declared, report)
    _derive(declared, report)
    return Definitions(tuple((entry.name, entry.definition) for entry in declared), resolver)


def _distinct(
    files: Sequence[nodes.File], registered: Sequence[RegisteredClass], report: Report
) -> list[tuple[nodes.Name, nodes.Struct | nodes.Enum | None, RegisteredClass | None]]:
    """Those whose name is new and no type of the language; the others are reported."""
    nodes_of_files = [
        node for file in files for node in file.declarations if isinstance(node, (nodes.Struct, nodes.Enum))
    ]
    found: list[tuple[nodes.Name, nodes.Struct | nodes.Enum | None, RegisteredClass | None]] = [
        *((node.name, node, None) for node in nodes_of_files),
        *((entry.name, entry.node, entry) for entry in registered),
    ]
    first: dict[str, nodes.Name] = {}
    return [
        entry for entry in found if _may_define(entry[0], report) and is_new(entry[0], first, "type", report)
    ]


def _may_define(name: nodes.Name, report: Report) -> bool:
    for part in name.text.split("::"):
        refuse_underscore(nodes.Name(part, name.span), "a type", report)
    if look_up(name.text) is None:
        return True
    report.error(name.span, f"'{name.text}' is a type of the language", "take another name")
    return False


def _python_names(names: Sequence[tuple[nodes.Name, str]]) -> list[str]:
    """The last part of each name, or the class's own name; where two would share it, the whole name."""
    short = [type_name(own or name.text.rpartition("::")[2]) for name, own in names]
    uses = Counter(map(normal, short))
    return [
        python if uses[normal(python)] == 1 else type_name(name.text.replace("::", ""))
        for python, (name, _) in zip(short, names, strict=True)
    ]


def _blank(
    name: nodes.Name,
    node: nodes.Struct | nodes.Enum | None,
    registered: RegisteredClass | None,
    python: str,
    report: Report,
) -> Definition:
    """The definition, a struct without its fields."""
    module = Module(registered.module, registered.class_name) if registered else None
    if isinstance(node, nodes.Struct):
        is_hashable = registered is None or registered.is_hashable
        return Struct(name.text, python, node.documentation, module, is_hashable)
    if isinstance(node, nodes.Enum):
        return _enumeration(node, python, module, report)
    assert module, "what is no struct or enum is registered"
    return Opaque(name.text, python, module)


# --- enums ---


def _enumeration(node: nodes.Enum, python: str, module: Module | None, report: Report) -> Enumeration:
    underlying = _underlying(node.underlying, report)
    enumerators: list[Enumerator] = []
    names: list[nodes.Name] = []
    first: dict[str, nodes.Name] = {}
    number = -1
    for entry in node.enumerators:
        number = entry.number.value if entry.number else number + 1
        if is_new(entry.name, first, "enumerator", report):
            if not module:
                refuse_underscore(entry.name, "an enumerator", report)
            number = _in_range(entry, number, underlying, report)
            names.append(entry.name)
            own = enumerator_name(entry.name.text)
            enumerators.append(Enumerator(entry.name.text, own, number, entry.documentation))
    refuse_member_collisions("enumerator", names, enumerators, report)
    return Enumeration(node.name.text, python, underlying, node.documentation, module, tuple(enumerators))


def _underlying(node: nodes.Type | None, report: Report) -> Type:
    default = BUILTIN_TYPES["i32"].make()
    if node is None:
        return default
    row = look_up(node.name)
    if row and node.name.rpartition("::")[2] in INTEGERS and node.arguments is None:
        return row.make()
    hint = did_you_mean(node.name, INTEGERS) or f"it is one of {', '.join(INTEGERS)}"
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
            name.span, "a field cannot be named 'self'", "Python's methods use that name; take another"
        )


def _refuse_self_containing(declared: Iterable[_Declared], report: Report) -> None:
    """Report each circle of structs that contain each other whole, at the first field that enters it."""
    entries = {entry.definition: entry for entry in declared if isinstance(entry.definition, Struct)}
    structs = [definition for definition in entries if isinstance(definition, Struct)]
    rank = {struct: number for number, struct in enumerate(structs)}
    for component in components(structs, _contained):
        first = min(component, key=rank.__getitem__)
        if len(component) > 1 or first in _contained(first):
            _refuse_circle(first, entries[first], component, report)
            for struct in component:
                struct.fields = tuple(_without(component, field) for field in struct.fields)


def _contained(struct: Struct) -> list[Struct]:
    """The structs of which each value of this one holds one."""
    return [d for type in struct.types for d in type.mentioned_directly if isinstance(d, Struct)]


def _without(circle: Sequence[Struct], field: Member) -> Member:
    """The field, of no known type if it is part of the circle."""
    is_part = any(definition in circle for definition in field.type.mentioned_directly)
    return attrs.evolve(field, type=UNKNOWN) if is_part else field


def _refuse_circle(struct: Struct, entry: _Declared, circle: Sequence[Struct], report: Report) -> None:
    assert isinstance(entry.node, nodes.Struct)
    types = {field.name: field.type for field in struct.fields}
    for field in entry.node.fields:
        inside = [d for d in types[field.name.text].mentioned_directly if d in circle]
        if inside:
            by_way = "" if struct in inside else f", by way of '{inside[0].name}'"
            hint = f"write 'Optional<{field.type.text}>', or a Vector"
            report.error(field.type.span, f"struct '{struct.name}' contains itself{by_way}", hint)
            return


def _derive(declared: Sequence[_Declared], report: Report) -> None:
    """What follows from the fields of structs; those in a circle hold files, or are keys, together."""
    names = {entry.definition: entry.name for entry in declared}

    def mentioned(definition: Definition) -> list[Definition]:
        return [d for type in definition.types for d in type.mentioned]

    for component in components(names, mentioned):
        if len(component) > MAX_NESTING:
            message = f"a circle of {len(component)} structs that contain each other"
            report.error(names[component[0]].span, message, f"at most {MAX_NESTING} are possible")
        structs = [definition for definition in component if isinstance(definition, Struct)]
        types = [type for struct in structs for type in struct.types]
        is_recursive = any(d in component for struct in structs for d in mentioned(struct))
        for struct in structs:
            struct.is_recursive = is_recursive
            struct.is_empty = all(type.is_empty for type in struct.types)
        holds_files = any(type.holds_files for type in types)
        is_key = all(type.is_key for type in types) and all(struct.is_hashable for struct in structs)
        deepest = max(map(depth, types), default=0)
        for struct in structs:
            struct.holds_files, struct.is_key, struct.depth = holds_files, is_key, 1 + deepest
