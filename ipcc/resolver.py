"""A parameter's attributes and type, as written, to a row of the type table.

Knows the table and the rules of attributes and type arguments; no messages.
"""

from __future__ import annotations

from collections.abc import Iterable

from ipcc import nodes, types
from ipcc.diagnostics import Report, did_you_mean
from ipcc.names import is_new

ATTRIBUTES = ("UTF8", "File")
"""The attributes that a parameter may carry."""


def resolve_parameter(node: nodes.Parameter, report: Report) -> types.Type:
    """The type of a parameter; UNKNOWN, with the reason reported, if it has none."""
    if node.type and node.name is None and _is_unknown_word(node.type):
        _refuse_word(node.type, report)
        return types.UNKNOWN
    type = _resolve(node.type, report) if node.type else types.UNKNOWN
    if not _check_attributes(node.attributes, report):
        return types.UNKNOWN
    attributes = {attribute.text for attribute in node.attributes}
    if "File" in attributes:
        return _file(node, report)
    if node.type is None or node.name is None:
        _refuse_unnamed(node, report)
        return type
    return _utf8(node.type, type, report) if "UTF8" in attributes else type


def _check_attributes(attributes: Iterable[nodes.Name], report: Report) -> bool:
    known = " and ".join(f"[{attribute}]" for attribute in ATTRIBUTES)
    first: dict[str, nodes.Name] = {}
    holds = True
    for attribute in attributes:
        if attribute.text not in ATTRIBUTES:
            report.error(
                attribute.span, f"unknown attribute '{attribute.text}'", f"the known ones are {known}"
            )
            holds = False
        elif not is_new(attribute, first, "attribute", report):
            holds = False
    return holds


def _file(node: nodes.Parameter, report: Report) -> types.Type:
    if node.type is not None or len(node.attributes) > 1:
        name = node.name.text if node.name else "name"
        report.error(node.span, "[File] stands in the place of a type", f"write '[File] {name}'")
    elif node.name is None:
        report.error(node.span, "parameter without a name", "write '[File] name'")
    return types.file()


def _is_unknown_word(type: nodes.Type) -> bool:
    return type.arguments is None and types.look_up(type.name) is None


def _refuse_word(word: nodes.Type, report: Report) -> None:
    hint = did_you_mean(word.name, types.KNOWN_NAMES) or "write a type and a name"
    report.error(word.span, f"'{word.name}' alone is no parameter: its type or its name is missing", hint)


def _refuse_unnamed(node: nodes.Parameter, report: Report) -> None:
    written = node.type.text if node.type else node.name.text if node.name else "ByteString"
    if node.type is None and node.name and types.look_up(written) is None:
        report.error(
            node.span, f"parameter '{written}' without a type", f"write '[UTF8] ByteString {written}'"
        )
    else:
        brackets = f"[{node.attributes[0].text}] " if node.attributes else ""
        report.error(node.span, "parameter without a name", f"write '{brackets}{written} name'")


def _utf8(written: nodes.Type, type: types.Type, report: Report) -> types.Type:
    if type is types.UNKNOWN:
        return type
    if types.plain_name(written.name) != "ByteString":
        report.error(written.span, f"[UTF8] on '{written.text}'", "it belongs to a ByteString only")
    return types.utf8_byte_string()


def _resolve(node: nodes.Type, report: Report) -> types.Type:
    arguments = [_argument(argument, report) for argument in node.arguments or ()]
    row = types.look_up(node.name)
    if row is None:
        hint = did_you_mean(node.name.removeprefix("::"), types.KNOWN_NAMES)
        report.error(node.name_span, f"unknown type '{node.name}'", hint)
        return types.UNKNOWN
    if not _check_arity(node, row.arity, report):
        return types.UNKNOWN
    if row.has_key and not arguments[0].is_hashable:
        _refuse_key(node, report)
    return types.UNKNOWN if types.UNKNOWN in arguments else row.make(*arguments)


def _argument(node: nodes.Type | nodes.Number, report: Report) -> types.Type:
    if isinstance(node, nodes.Type):
        return _resolve(node, report)
    return types.UNKNOWN


def _check_arity(node: nodes.Type, arity: int, report: Report) -> bool:
    numbers = [argument for argument in node.arguments or () if isinstance(argument, nodes.Number)]
    given = len(node.arguments or ())
    if arity == 0 and node.arguments is not None:
        report.error(node.span, f"'{node.name}' takes no type arguments", f"write '{node.name}'")
        return False
    if given != arity:
        noun = "argument" if arity == 1 else "arguments"
        example = f"{node.name}<{', '.join(['...'] * arity)}>"
        report.error(node.span, f"'{node.name}' takes {arity} type {noun}, not {given}", f"write '{example}'")
        return False
    for number in numbers:
        report.error(number.span, f"expected a type, found the number {number.text}")
    return not numbers


def _refuse_key(node: nodes.Type, report: Report) -> None:
    key = (node.arguments or ())[0]
    hint = "a key is a bool, an integer, a string or a byte string"
    report.error(key.span, f"'{key.text}' cannot be a key", hint)
