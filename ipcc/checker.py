"""Nodes to the checked model: numbers messages, gives Python names, pairs endpoints, refuses what cannot be.

Knows the language's rules; knows nothing of the text that will be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ipcc import nodes
from ipcc.collisions import refuse_collisions, refuse_member_collisions
from ipcc.definitions import define
from ipcc.diagnostics import Report, seen_from
from ipcc.model import BUILTINS, Compilation, Endpoint, Message, Pair, Parameter, Payload
from ipcc.names import (
    class_name,
    endpoint_name,
    is_new,
    normal,
    pascal_name,
    python_name,
    refuse_underscore,
)
from ipcc.python_types import RegisteredClass
from ipcc.resolver import Resolver
from ipcc.types import Definition, Struct

_Node = TypeVar("_Node")


def check(
    files: Sequence[nodes.File],
    report: Report,
    included: Sequence[nodes.File] = (),
    registered: Sequence[RegisteredClass] = (),
) -> Compilation:
    """The model of the files together. It is whole only if nothing was reported.

    `included` files give structs and enums alone, `registered` are the classes of Python modules.
    """
    all_declared = (endpoint for file in files for endpoint in file.endpoints)
    declared = _distinct(all_declared, lambda endpoint: endpoint.name, "endpoint", report)
    taken = frozenset(endpoint_name(node.name.text) for node in declared)
    definitions = define((*files, *included), registered, taken, report)
    taken |= definitions.taken
    endpoints = tuple(_endpoint(node, taken, definitions.resolver, report) for node in declared)
    definitions.resolver.finish()
    pairs = _pairs(endpoints)
    _refuse_equal_magics(declared, endpoints, report)
    refuse_collisions(declared, endpoints, pairs, definitions.declared, report)
    sources = tuple(file.source.name for file in files)
    defined = tuple(definition for _, definition in definitions.declared)
    return Compilation(sources, defined, endpoints, pairs, _shadowed(endpoints, defined))


def _distinct(
    declared: Iterable[_Node], name_of: Callable[[_Node], nodes.Name], what: str, report: Report
) -> list[_Node]:
    """Those that share their name with no earlier one; the others are reported."""
    first: dict[str, nodes.Name] = {}
    return [node for node in declared if is_new(name_of(node), first, what, report)]


# --- endpoints and messages ---


def _endpoint(node: nodes.Endpoint, taken: frozenset[str], resolver: Resolver, report: Report) -> Endpoint:
    refuse_underscore(node.name, "an endpoint", report)
    messages: list[Message] = []
    id = 1
    for message in _distinct(node.messages, lambda message: message.name, "message", report):
        messages.append(_message(node.name.text, message, id, taken, resolver, report))
        id += 1 if message.outputs is None else 2
    return Endpoint(node.name.text, endpoint_name(node.name.text), tuple(messages), node.documentation)


def _message(
    endpoint: str, node: nodes.Message, id: int, taken: frozenset[str], resolver: Resolver, report: Report
) -> Message:
    refuse_underscore(node.name, "a message", report)
    pascal = pascal_name(node.name.text)
    outputs = node.outputs
    return Message(
        endpoint=endpoint,
        endpoint_python=endpoint_name(endpoint),
        name=node.name.text,
        python=python_name(node.name.text, taken),
        class_name=class_name(pascal, taken),
        response_class=None if outputs is None else class_name(f"{pascal}Response", taken),
        id=id,
        inputs=_payload(node.inputs, taken, resolver, report),
        outputs=None if outputs is None else _payload(outputs, taken, resolver, report),
        line=node.text,
        answer_line="" if outputs is None else nodes.listed(outputs),
        documentation=node.documentation,
    )


def _payload(
    declared: Iterable[nodes.Parameter], taken: frozenset[str], resolver: Resolver, report: Report
) -> Payload:
    parameters: list[Parameter] = []
    names: list[nodes.Name] = []
    first: dict[str, nodes.Name] = {}
    for node in declared:
        type = resolver.parameter(node)
        if node.name and is_new(node.name, first, "parameter", report):
            _check_parameter_name(node.name, report)
            names.append(node.name)
            parameters.append(Parameter(node.name.text, python_name(node.name.text, taken), type))
    refuse_member_collisions("parameter", names, parameters, report)
    return Payload(tuple(parameters))


def _check_parameter_name(name: nodes.Name, report: Report) -> None:
    refuse_underscore(name, "a parameter", report)
    if normal(name.text) == "self":
        report.error(
            name.span, "a parameter cannot be named 'self'", "Python's methods use that name; take another"
        )


# --- what only the whole shows ---


def _pairs(endpoints: Sequence[Endpoint]) -> tuple[Pair, ...]:
    servers = {_pair_key(endpoint): endpoint for endpoint in endpoints if not _is_client(endpoint)}
    clients = {_pair_key(endpoint): endpoint for endpoint in endpoints if _is_client(endpoint)}
    keys = list(dict.fromkeys(map(_pair_key, endpoints)))
    return tuple(Pair(servers.get(key), clients.get(key), key[0] if len(keys) > 1 else "") for key in keys)


def _is_client(endpoint: Endpoint) -> bool:
    return endpoint.name.endswith("Client")


def _pair_key(endpoint: Endpoint) -> tuple[str, bool]:
    """What the two of a pair share: the name without its suffix. One without suffix pairs with no other."""
    for suffix in ("Server", "Client"):
        if endpoint.name.endswith(suffix):
            return normal(endpoint.name.removesuffix(suffix)), True
    return normal(endpoint.name), False


def _refuse_equal_magics(
    declared: Sequence[nodes.Endpoint], endpoints: Sequence[Endpoint], report: Report
) -> None:
    first: dict[int, nodes.Name] = {}
    for node, endpoint in zip(declared, endpoints, strict=True):
        other = first.setdefault(endpoint.magic, node.name)
        if other is not node.name:
            message = (
                f"endpoints '{node.name.text}' and '{other.text}' have the same magic 0x{endpoint.magic:08X}"
            )
            where = seen_from(node.name.span, other.span)
            report.error(node.name.span, message, f"rename one; '{other.text}' is in {where}")


def _shadowed(endpoints: Iterable[Endpoint], definitions: Iterable[Definition]) -> frozenset[str]:
    names: set[str] = set()
    for endpoint in endpoints:
        names |= {endpoint.python}
        for message in endpoint.messages:
            names |= {message.python, message.class_name}
            names |= {parameter.python for payload in message.payloads for parameter in payload.parameters}
    for definition in definitions:
        if isinstance(definition, Struct):
            names |= {field.python for field in definition.fields}
    return BUILTINS & names
