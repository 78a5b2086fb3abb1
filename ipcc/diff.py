"""Owns the comparison of two versions of an interface: each change, and what it breaks.

Must not know how peers notice a change: only that they compare magics, ids and signatures.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import attrs

from ipcc.definitions import Definition, Enumeration, Enumerator, Member, Opaque, Struct
from ipcc.model import Compilation, Endpoint, Message, Pair, Parameter


class Breaks(enum.Flag):
    """What a change breaks."""

    NOTHING = 0
    SOURCE = enum.auto()
    """A program written for the old version must be edited to run with the new one."""
    WIRE = enum.auto()
    """A peer built from the old version and one built from the new one no longer understand each other."""
    BOTH = SOURCE | WIRE


@attrs.frozen
class Change:
    """One change of an interface."""

    subject: str
    """What changed, such as `ClockServer.add`."""
    how: str
    breaks: Breaks

    @property
    def verdict(self) -> str:
        """What it breaks, in words."""
        return _VERDICTS[self.breaks]

    def __str__(self) -> str:
        return f"{self.verdict}: {self.subject} {self.how}"

    def as_json(self) -> dict[str, object]:
        """The change for programs."""
        kinds = (("wire", Breaks.WIRE), ("source", Breaks.SOURCE))
        broken = [word for word, kind in kinds if kind in self.breaks]
        return {"subject": self.subject, "change": self.how, "breaks": broken}


_VERDICTS = {
    Breaks.NOTHING: "compatible",
    Breaks.SOURCE: "breaks source",
    Breaks.WIRE: "breaks the wire",
    Breaks.BOTH: "breaks the wire and source",
}


def compare(old: Compilation, new: Compilation) -> tuple[Change, ...]:
    """Every change: endpoint by endpoint in the order of the old version, then the structs and enums."""
    return (*_endpoints(old, new), *_definitions(old, new))


# --- pairing old and new by name and place ---


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Item = TypeVar("_Item", bound=_Named)


@attrs.frozen
class _Match(Generic[_Item]):
    """Old items with the new ones that they became."""

    kept: tuple[tuple[_Item, _Item], ...]
    removed: tuple[_Item, ...]
    added: tuple[_Item, ...]
    is_reordered: bool
    """Whether the kept items stand in another order."""


def _match(
    old: Sequence[_Item], new: Sequence[_Item], shape: Callable[[_Item, int], Hashable | None]
) -> _Match[_Item]:
    """Pair items by name, and removed items with added ones of the same shape, which were renamed.

    `shape` gets an item and its place; an item of which it is None was not renamed.
    """
    names = {item.name for item in old}
    named = {item.name: item for item in new}
    added = {item.name: item for item in new if item.name not in names}
    of_shape: dict[Hashable, deque[_Item]] = {}
    for at, item in enumerate(new):
        if item.name in added and (its := shape(item, at)) is not None:
            of_shape.setdefault(its, deque()).append(item)
    kept: list[tuple[_Item, _Item]] = []
    removed: list[_Item] = []
    for at, item in enumerate(old):
        candidates = of_shape.get(shape(item, at)) if item.name not in named else None
        successor = named.get(item.name) or (candidates.popleft() if candidates else None)
        if successor is None:
            removed.append(item)
        else:
            added.pop(successor.name, None)
            kept.append((item, successor))
    place = {item.name: at for at, item in enumerate(new)}
    places = [place[successor.name] for _, successor in kept]
    return _Match(tuple(kept), tuple(removed), tuple(added.values()), places != sorted(places))


# --- endpoints ---


def _endpoints(old: Compilation, new: Compilation) -> Iterator[Change]:
    matched = _match(old.endpoints, new.endpoints, _shape_of_endpoint)
    old_pairs, new_pairs = _pairs(old), _pairs(new)
    for before, after in matched.kept:
        if before.name != after.name:
            yield Change(before.name, f"was renamed to {after.name}, which has another magic", Breaks.BOTH)
        else:
            yield from _python_name(before.name, before.python, after.python)
        yield from _documentation(before.name, before, after)
        yield from _connections(before, old_pairs[before.name], new_pairs[after.name])
        yield from _messages(before, after)
    for endpoint in matched.removed:
        yield Change(endpoint.name, "was removed", Breaks.BOTH)
    kept = {after.name for _, after in matched.kept}
    for endpoint in matched.added:
        yield _added(endpoint, new_pairs[endpoint.name], kept)


def _pairs(compilation: Compilation) -> dict[str, Pair]:
    """The pair of each endpoint, by its name."""
    ends = ((end, pair) for pair in compilation.pairs for end in (pair.server, pair.client))
    return {end.name: pair for end, pair in ends if end}


def _shape_of_endpoint(endpoint: Endpoint, at: int) -> Hashable | None:
    shapes = tuple((message.name, *_shape_of_message(message, 0)) for message in endpoint.messages)
    return shapes or None


def _shape_of_message(message: Message, at: int) -> tuple[int, str, str | None]:
    outputs = message.outputs
    return message.id, message.inputs.canonical, outputs.canonical if outputs else None


def _added(endpoint: Endpoint, pair: Pair, kept: set[str]) -> Change:
    """The addition of an endpoint. A service that does not know it answers with an error and disconnects."""
    partner = pair.client if endpoint is pair.server else pair.server
    if partner and partner.name in kept and endpoint.messages:
        how = f"was added beside {partner.name}: an old peer closes the connection at its first message"
        return Change(endpoint.name, how, Breaks.WIRE)
    return Change(endpoint.name, "was added", Breaks.NOTHING)


def _connections(endpoint: Endpoint, before: Pair, after: Pair) -> Iterator[Change]:
    if before.prefix != after.prefix:
        names = _listed_change((before.to_server, before.from_client), (after.to_server, after.from_client))
        yield Change(endpoint.name, f"has other connection classes: {names}", Breaks.SOURCE)


# --- messages ---


def _messages(old: Endpoint, new: Endpoint) -> Iterator[Change]:
    matched = _match(old.messages, new.messages, _shape_of_message)
    for before, after in matched.kept:
        yield from _message(before, after)
    for message in matched.removed:
        yield Change(message.qualified_name, "was removed", Breaks.BOTH)
    for message in matched.added:
        yield Change(message.qualified_name, "was added", Breaks.NOTHING)


def _message(old: Message, new: Message) -> Iterator[Change]:
    changes = list(_message_changes(old, new))
    if not changes and old.text != new.text:
        changes.append(Change(old.qualified_name, "spells the same types differently", Breaks.NOTHING))
    yield from changes
    yield from _documentation(old.qualified_name, old, new)


def _message_changes(old: Message, new: Message) -> Iterator[Change]:
    subject = old.qualified_name
    if old.name != new.name:
        yield Change(subject, f"was renamed to {new.name}", Breaks.BOTH)
    else:
        yield from _python_name(subject, old.python, new.python)
        yield from _python_class(subject, "message", old.class_name, new.class_name)
        yield from _python_class(subject, "answer", old.response_class, new.response_class)
    if old.id != new.id:
        yield Change(subject, f"moved from id {old.id} to {new.id}", Breaks.WIRE)
    yield from _members(subject, "parameter", old.inputs.parameters, new.inputs.parameters, Breaks.BOTH)
    if old.outputs is None and new.outputs is not None:
        yield Change(subject, "became synchronous", Breaks.BOTH if new.outputs.parameters else Breaks.WIRE)
    elif old.outputs is not None and new.outputs is None:
        yield Change(subject, "became one-way", Breaks.BOTH)
    elif old.outputs is not None and new.outputs is not None:
        yield from _members(subject, "output", old.outputs.parameters, new.outputs.parameters, Breaks.BOTH)


# --- parameters of messages, fields of structs ---

_Part = TypeVar("_Part", Parameter, Member)


def _members(
    subject: str, noun: str, old: Sequence[_Part], new: Sequence[_Part], mask: Breaks
) -> Iterator[Change]:
    """The changes of values which the wire distinguishes by place and type, source by name and place."""

    def shape(part: _Part, at: int) -> tuple[int, str]:
        return at, part.type.canonical

    def change(how: str, breaks: Breaks) -> Change:
        return Change(subject, how, breaks & mask)

    matched = _match(old, new, shape)
    for before, after in matched.kept:
        called = f"{noun} '{before.name}'"
        if before.name != after.name:
            yield change(f"{called} was renamed to '{after.name}'", Breaks.SOURCE)
        else:
            yield from _python_name(f"{subject} {called}", before.python, after.python)
        if before.type.canonical != after.type.canonical:
            types = f"{before.type.canonical} -> {after.type.canonical}"
            yield change(f"{called} has another type: {types}", Breaks.WIRE | _in_python(before, after))
    for part in matched.removed:
        yield change(f"{noun} '{part.name}' was removed", Breaks.BOTH)
    for part in matched.added:
        yield change(f"{noun} '{part.name}' was added", Breaks.BOTH)
    if matched.is_reordered:
        order = _listed_change([before.name for before, _ in matched.kept], [part.name for part in new])
        yield change(f"{noun}s have another order: {order}", Breaks.BOTH)


def _in_python(old: _Part, new: _Part) -> Breaks:
    """Whether a value of another type also has another class in Python."""
    same = (old.type.annotation, old.type.accepted) == (new.type.annotation, new.type.accepted)
    return Breaks.NOTHING if same else Breaks.SOURCE


# --- structs and enums ---


def _definitions(old: Compilation, new: Compilation) -> Iterator[Change]:
    matched = _match(old.definitions.all, new.definitions.all, _shape_of_definition)
    used = set(_used(old))
    for before, after in matched.kept:
        mask = Breaks.BOTH if before.name in used else Breaks.SOURCE
        if before.name != after.name:
            yield Change(before.name, f"was renamed to {after.name}", mask)
        else:
            yield from _python_name(before.name, before.python, after.python)
            yield from _registration(before, after)
        yield from _definition(before, after, mask)
    for definition in matched.removed:
        yield Change(definition.name, "was removed", Breaks.SOURCE)
    for definition in matched.added:
        yield Change(definition.name, "was added", Breaks.NOTHING)


def _used(compilation: Compilation) -> Iterator[str]:
    """The names of the definitions that messages use, which their signatures spell out."""
    types = [parameter.type for payload in compilation.payloads for parameter in payload.parameters]
    return (definition.name for definition in compilation.definitions.reached(types))


def _shape_of_definition(definition: Definition, at: int) -> Hashable | None:
    if isinstance(definition, Struct):
        fields = tuple((field.name, field.type.canonical) for field in definition.fields)
        return ("struct", fields) if fields else None
    if isinstance(definition, Enumeration):
        numbers = tuple((enumerator.name, enumerator.number) for enumerator in definition.enumerators)
        return "enum", definition.underlying.canonical, numbers
    return None


def _definition(old: Definition, new: Definition, mask: Breaks) -> Iterator[Change]:
    if isinstance(old, Struct) and isinstance(new, Struct):
        yield from _members(old.name, "field", old.fields, new.fields, mask)
        yield from _documentation(old.name, old, new)
    elif isinstance(old, Enumeration) and isinstance(new, Enumeration):
        yield from _enumeration(old, new, mask)
        yield from _documentation(old.name, old, new)
    elif type(old) is not type(new):
        yield Change(old.name, f"became {_KINDS[type(new)]}", mask)


_KINDS: dict[type[Definition], str] = {
    Struct: "a struct",
    Enumeration: "an enum",
    Opaque: "a class with a codec of its own",
}


def _enumeration(old: Enumeration, new: Enumeration, mask: Breaks) -> Iterator[Change]:
    def change(how: str, breaks: Breaks) -> Change:
        return Change(old.name, how, breaks & mask)

    underlying = old.underlying.canonical, new.underlying.canonical
    if underlying[0] != underlying[1]:
        yield change(f"has another underlying type: {' -> '.join(underlying)}", Breaks.WIRE)
    matched = _match(old.enumerators, new.enumerators, _shape_of_enumerator)
    renumbered = False
    for before, after in matched.kept:
        if before.name != after.name:
            yield change(f"value '{before.name}' was renamed to '{after.name}'", Breaks.SOURCE)
            continue
        yield from _python_name(f"{old.name} value '{before.name}'", before.python, after.python)
        if before.number != after.number:
            renumbered = True
            yield change(
                f"value '{before.name}' was renumbered: {before.number} -> {after.number}", Breaks.WIRE
            )
    for enumerator in matched.removed:
        yield change(f"value '{enumerator.name}' was removed", Breaks.BOTH)
    for enumerator in matched.added:
        yield change(f"value '{enumerator.name}' was added", Breaks.WIRE)
    if matched.is_reordered and not renumbered:
        yield change("declares its values in another order", Breaks.WIRE)


def _shape_of_enumerator(enumerator: Enumerator, at: int) -> int:
    return enumerator.number


# --- documentation and names in Python ---


class _Documented(Protocol):
    @property
    def documentation(self) -> tuple[str, ...]: ...


def _documentation(subject: str, old: _Documented, new: _Documented) -> Iterator[Change]:
    if old.documentation != new.documentation:
        yield Change(subject, "is documented differently", Breaks.NOTHING)


def _python_name(subject: str, old: str, new: str) -> Iterator[Change]:
    if old != new:
        yield Change(subject, f"has another name in Python: {old} -> {new}", Breaks.SOURCE)


def _python_class(subject: str, what: str, old: str | None, new: str | None) -> Iterator[Change]:
    if old and new and old != new:
        how = f"has another class of its {what} in Python: {old} -> {new}"
        yield Change(subject, how, Breaks.SOURCE)


def _registration(old: Definition, new: Definition) -> Iterator[Change]:
    """The change of where a class comes from: classes of two modules are never equal."""
    before, after = (_origin(definition) for definition in (old, new))
    if before != after:
        yield Change(old.name, f"comes from elsewhere in Python: {before} -> {after}", Breaks.SOURCE)


def _origin(definition: Definition) -> str:
    found = definition.registered
    return f"{found.module}.{found.name}" if found else "the generated module"


def _listed_change(old: Iterable[str], new: Iterable[str]) -> str:
    return f"{', '.join(old)} -> {', '.join(new)}"
