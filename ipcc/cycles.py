"""Owns structs that contain themselves: what a cycle means for its structs, and which cycles are refused.

Must not know how structs are declared in full: only their names, and the types of their fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import attrs

from ipcc import nodes
from ipcc.definitions import Facts, Member, depth, holds_files, is_empty, is_key
from ipcc.diagnostics import Report
from ipcc.parser import MAX_NESTING
from ipcc.strongly_connected import components
from ipcc.types import UNKNOWN

Fields = Mapping[str, tuple[Member, ...]]
"""The fields of each struct, by the struct's name."""


def without_impossible(fields: Fields, declared: Mapping[str, nodes.Struct], report: Report) -> Fields:
    """The fields, with an unknown type wherever structs would contain each other whole.

    Each such cycle is reported once, at the field that enters it in the struct that is declared first.
    """
    possible = dict(fields)
    rank = {name: number for number, name in enumerate(fields)}

    def held(name: str) -> list[str]:
        return [other for member in fields[name] for other in member.type.always_held if other in fields]

    for cycle in components(fields, held):
        first = min(cycle, key=rank.__getitem__)
        if len(cycle) > 1 or first in held(first):
            _refuse(declared[first], fields[first], cycle, report)
            for name in cycle:
                possible[name] = tuple(_without(cycle, member) for member in fields[name])
    return possible


def _without(cycle: Collection[str], member: Member) -> Member:
    is_part = any(name in cycle for name in member.type.always_held)
    return attrs.evolve(member, type=UNKNOWN) if is_part else member


def _refuse(struct: nodes.Struct, members: Sequence[Member], cycle: Collection[str], report: Report) -> None:
    name = struct.name.text
    types = {member.name: member.type for member in members}
    for field in struct.fields:
        inside = [other for other in types[field.name.text].always_held if other in cycle]
        if inside:
            by_way = "" if name in inside else f", by way of '{inside[0]}'"
            hint = f"write 'Optional<{field.type.text}>', or a Vector"
            report.error(field.type.span, f"struct '{name}' contains itself{by_way}", hint)
            return


def facts_of_structs(
    fields: Fields,
    others: Mapping[str, Facts],
    unhashable: frozenset[str],
    names: Mapping[str, nodes.Name],
    report: Report,
) -> Mapping[str, Facts]:
    """The facts about all definitions, from the fields of structs and the facts about `others`.

    The structs of a cycle hold files, and may be keys, together. A cycle that is too long is reported at the
    name of one of its structs; `unhashable` are the structs whose values Python cannot hash.
    """
    facts = dict(others)

    def mentioned(name: str) -> Iterator[str]:
        return (other for member in fields.get(name, ()) for other in member.type.mentioned)

    for cycle in components(names, mentioned):
        if len(cycle) > MAX_NESTING:
            message = f"a cycle of {len(cycle)} structs that contain each other"
            report.error(names[cycle[0]].span, message, f"at most {MAX_NESTING} may")
        structs = dict.fromkeys(name for name in cycle if name in fields)
        facts |= dict.fromkeys(structs, Facts())
        types = [member.type for name in structs for member in fields[name]]
        shared = Facts(
            is_key=all(is_key(type, facts) for type in types) and unhashable.isdisjoint(structs),
            holds_files=any(holds_files(type, facts) for type in types),
            depth=1 + max((depth(type, facts) for type in types), default=0),
            is_recursive=any(other in structs for name in structs for other in mentioned(name)),
        )
        empty = {name for name in structs if all(is_empty(member.type, facts) for member in fields[name])}
        facts |= {name: attrs.evolve(shared, is_empty=name in empty) for name in structs}
    return facts
