"""Owns the Python names that declarations take, scope by scope, and the refusal of two that would be equal.

Must not know the text that is written, only which classes and methods are made from the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from ipcc import nodes
from ipcc.definitions import Definitions, Enumerator, Member
from ipcc.diagnostics import Report, seen_from
from ipcc.model import Endpoint, Message, Pair, Parameter
from ipcc.names import normal
from ipcc.source import Span


@attrs.frozen
class _Use:
    """A Python name that a declaration takes."""

    python: str
    what: str
    """What takes the name, as a diagnostic says it."""
    name: str
    """The declared name."""
    span: Span
    order: int
    """The place of the declaration among all."""
    is_message: bool = False


_Forms = Callable[[Message], Iterator[tuple[str, str]]]
"""Lists the Python names that a message takes in a class, each with what takes it."""


def refuse_collisions(
    declared: Sequence[nodes.Endpoint],
    endpoints: Sequence[Endpoint],
    pairs: Iterable[Pair],
    names: Sequence[nodes.Name],
    definitions: Definitions,
    report: Report,
) -> None:
    """Report each declaration that would share a Python name with an earlier one in some scope, once.

    `names` are those that declare the definitions, in the same order.
    """
    places = _Places(declared)
    types = [
        _Use(d.python, f"type '{d.name}'", d.name, name.span, number - len(names))
        for number, (name, d) in enumerate(zip(names, definitions, strict=True))
    ]
    scopes = [[*types, *_module_scope(endpoints, pairs, places)]]
    for endpoint in endpoints:
        scopes.append(list(_uses(endpoint, _classes, places)))
    for pair in pairs:
        for calls, serves in ((pair.server, pair.client), (pair.client, pair.server)):
            scopes.append([*_uses(calls, _calls, places), *_uses(serves, _handlers, places)])
    _refuse_in(scopes, report)


def refuse_member_collisions(
    what: str,
    names: Iterable[nodes.Name],
    members: Iterable[Parameter | Member | Enumerator],
    report: Report,
) -> None:
    """Report parameters, fields or enumerators (`what`) of one list that would share a Python name."""
    both = enumerate(zip(names, members, strict=True))
    uses = [_Use(m.python, f"{what} '{m.name}'", m.name, name.span, order) for order, (name, m) in both]
    _refuse_in([uses], report)


class _Places:
    """The place of each declared name, and its rank among all."""

    def __init__(self, declared: Iterable[nodes.Endpoint]) -> None:
        self._spans: dict[tuple[str, ...], Span] = {}
        for endpoint in declared:
            self._spans[(endpoint.name.text,)] = endpoint.name.span
            for message in endpoint.messages:
                self._spans.setdefault((endpoint.name.text, message.name.text), message.name.span)
        self._order = {path: number for number, path in enumerate(self._spans)}

    def use(self, python: str, what: str, *path: str) -> _Use:
        return _Use(python, what, path[-1], self._spans[path], self._order[path], len(path) > 1)


# --- scopes ---


def _module_scope(endpoints: Iterable[Endpoint], pairs: Iterable[Pair], places: _Places) -> Iterator[_Use]:
    for endpoint in endpoints:
        name = endpoint.name
        yield places.use(endpoint.python, f"endpoint '{name}'", name)
        yield places.use(endpoint.proxy, f"the proxy of '{name}'", name)
        yield places.use(endpoint.stub, f"the stub of '{name}'", name)
    for pair in pairs:
        names = [endpoint.name for endpoint in (pair.server, pair.client) if endpoint]
        for python in (pair.to_server, pair.from_client):
            yield places.use(python, f"the connection class of '{names[0]}'", names[0])


def _uses(endpoint: Endpoint | None, forms: _Forms, places: _Places) -> Iterator[_Use]:
    if endpoint is None:
        return
    for message in endpoint.messages:
        for python, what in forms(message):
            yield places.use(python, what, endpoint.name, message.name)


def _classes(message: Message) -> Iterator[tuple[str, str]]:
    yield message.class_name, f"the class of message '{message.name}'"
    if message.response_class:
        yield message.response_class, f"the response class of '{message.name}'"


def _calls(message: Message) -> Iterator[tuple[str, str]]:
    if message.outputs is not None:
        yield message.python, f"the call '{message.name}'"
    yield message.async_python, f"the async form of '{message.name}'"


def _handlers(message: Message) -> Iterator[tuple[str, str]]:
    yield message.python, f"the handler of '{message.name}'"


# --- reporting ---


def _refuse_in(scopes: Iterable[Iterable[_Use]], report: Report) -> None:
    reported: set[Span] = set()
    for scope in scopes:
        first: dict[str, _Use] = {}
        for use in sorted(scope, key=lambda use: use.order):
            other = first.setdefault(normal(use.python), use)
            if other is not use and use.span not in reported:
                reported.add(use.span)
                _refuse(use, other, report)


def _refuse(use: _Use, other: _Use, report: Report) -> None:
    message = f"{use.what} and {other.what} would both be '{use.python}' in Python"
    hint = f"rename one; '{other.name}' is {seen_from(use.span, other.span)}"
    if use.span == other.span:
        hint = "rename it"
    elif use.name == other.name and use.is_message:
        message = f"message '{use.name}' is in both endpoints of a pair, and synchronous in one"
    report.error(use.span, message, hint)
