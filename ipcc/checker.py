"""Owns the rules of a whole compilation, and the way from its nodes to the checked model.

Must not know the text that will be written, nor the rules of structs and enums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ipcc import nodes
from ipcc.collisions import refuse_collisions, refuse_member_collisions
from ipcc.definition_checker import Defined, define
from ipcc.definitions import Definitions, Struct, holds_files
from ipcc.diagnostics import Report, seen_from
from ipcc.model import BUILTINS, MODULE_BUILTINS, Compilation, Endpoint, Message, Pair, Parameter, Payload
from ipcc.names import (
    class_name,
    endpoint_name,
    is_new,
    message_name,
    normal,
    parameter_name,
    pascal_name,
    refuse_underscore,
)
from ipcc.python_types import RegisteredClass
from ipcc.schema import endpoint_schema
from ipcc.types import Type
from ipcc.wire_numbers import numbered, signed_definitions, signed_text

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
    defined = define((*files, *included), registered, taken, report)
    checker = _EndpointChecker(defined, taken | defined.taken, report)
    endpoints = tuple(checker.endpoint(node) for node in declared)
    defined.resolver.finish(defined.definitions)
    pairs = _pairs(endpoints)
    _refuse_equal_magics(declared, endpoints, report)
    refuse_collisions(declared, endpoints, pairs, defined.names, defined.definitions, report)
    sources = tuple(file.source.name for file in files)
    shadowed = _shadowed(endpoints, defined.definitions)
    return Compilation(sources, defined.definitions, endpoints, pairs, shadowed)


def _distinct(
    declared: Iterable[_Node], name_of: Callable[[_Node], nodes.Name], what: str, report: Report
) -> list[_Node]:
    """Those that share their name with no earlier one; the others are reported."""
    first: dict[str, nodes.Name] = {}
    return [node for node in declared if is_new(name_of(node), first, what, report)]


# --- endpoints and messages ---


class _EndpointChecker:
    def __init__(self, defined: Defined, taken: frozenset[str], report: Report) -> None:
        self._definitions = defined.definitions
        self._resolver = defined.resolver
        self._taken = taken
        """The Python names of the module's classes."""
        self._spelled: dict[tuple[str, ...], str] = {}
        self._report = report

    def endpoint(self, node: nodes.Endpoint) -> Endpoint:
        name = node.name.text
        refuse_underscore(node.name, "an endpoint", self._report)
        distinct = _distinct(node.messages, lambda message: message.name, "message", self._report)
        messages = tuple(self._message(name, message, id) for id, message in numbered(distinct))
        used = self._definitions.reached(type for message in messages for type in message.types)
        texts = ((message.text, message.documentation) for message in messages)
        schema = endpoint_schema(name, node.documentation, texts, used)
        return Endpoint(name, endpoint_name(name), messages, node.documentation, schema)

    def _message(self, endpoint: str, node: nodes.Message, id: int) -> Message:
        refuse_underscore(node.name, "a message", self._report)
        name = node.name.text
        pascal = pascal_name(name)
        inputs = self._payload(node.inputs)
        outputs = None if node.outputs is None else self._payload(node.outputs)
        types = (*inputs.types, *(outputs.types if outputs else ()))
        return Message(
            endpoint=endpoint,
            endpoint_python=endpoint_name(endpoint),
            name=name,
            python=message_name(name, self._taken),
            class_name=class_name(pascal, self._taken),
            response_class=None if outputs is None else class_name(f"{pascal}Response", self._taken),
            id=id,
            inputs=inputs,
            outputs=outputs,
            text=node.text,
            outputs_text="" if node.outputs is None else nodes.listed(node.outputs),
            signed_text=signed_text(
                f"{endpoint}.{name}",
                inputs.canonical,
                outputs.canonical if outputs else None,
                self._spelled_out(types),
            ),
            documentation=node.documentation,
        )

    def _spelled_out(self, types: Iterable[Type]) -> str:
        """The definitions that types lead to, as a signature has them; many messages use the same."""
        mentioned = tuple(dict.fromkeys(name for type in types for name in type.mentioned))
        if mentioned not in self._spelled:
            reached = self._definitions.reached_from(mentioned)
            self._spelled[mentioned] = signed_definitions(reached)
        return self._spelled[mentioned]

    def _payload(self, declared: Iterable[nodes.Parameter]) -> Payload:
        parameters: list[Parameter] = []
        names: list[nodes.Name] = []
        first: dict[str, nodes.Name] = {}
        for node in declared:
            type = self._resolver.parameter(node)
            if node.name and is_new(node.name, first, "parameter", self._report):
                _check_parameter_name(node.name, self._report)
                names.append(node.name)
                parameters.append(
                    Parameter(node.name.text, parameter_name(node.name.text, self._taken), type)
                )
        refuse_member_collisions("parameter", names, parameters, self._report)
        facts = self._definitions.facts
        return Payload(tuple(parameters), any(holds_files(p.type, facts) for p in parameters))


def _check_parameter_name(name: nodes.Name, report: Report) -> None:
    refuse_underscore(name, "a parameter", report)
    if normal(name.text) == "self":
        report.error(
            name.span, "a parameter cannot be named 'self'", "Python's methods use that name: choose another"
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
            report.error(node.name.span, message, f"rename one; '{other.text}' is {where}")


def _shadowed(endpoints: Iterable[Endpoint], definitions: Definitions) -> frozenset[str]:
    names: set[str] = set()
    for endpoint in endpoints:
        names |= {endpoint.python}
        for message in endpoint.messages:
            names |= {message.python, message.class_name}
            names |= {parameter.python for payload in message.payloads for parameter in payload.parameters}
    for definition in definitions:
        if isinstance(definition, Struct):
            names |= {field.python for field in definition.fields}
    return BUILTINS & names | MODULE_BUILTINS & {endpoint.python for endpoint in endpoints}
