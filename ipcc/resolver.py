"""Owns how types as written, and the attributes before them, are resolved; and the rules of both.

Must not know messages, nor how definitions are checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ipcc import nodes
from ipcc.builtin_types import ATTRIBUTES, BUILTIN_NAMES, STRING, Argument, Row, look_up
from ipcc.definitions import Definitions, depth, is_empty, is_key
from ipcc.diagnostics import Report
from ipcc.names import is_new
from ipcc.parser import MAX_NESTING
from ipcc.spelling import did_you_mean_type
from ipcc.types import UNKNOWN, Type

_MAX_COUNT = 2**32 - 1
_MAX_ALTERNATIVES = 256


class Resolver:
    """Resolves types. `finish` checks the rules that depend on fields, once all structs have theirs."""

    def __init__(self, defined: Mapping[str, Type], report: Report) -> None:
        self._defined = defined
        self._report = report
        self._arguments: list[tuple[nodes.Type, Type, Argument]] = []
        self._outermost: list[tuple[nodes.Type, Type]] = []

    def parameter(self, node: nodes.Parameter) -> Type:
        """The type of a parameter; UNKNOWN, with the reason reported, if it is wrong."""
        if node.type and node.name is None and self._is_unknown_word(node.type):
            self._refuse_word(node.type)
            return UNKNOWN
        type = self.type(node.type) if node.type else UNKNOWN
        if not self._check_attributes(node.attributes):
            return UNKNOWN
        attributes = {attribute.text for attribute in node.attributes}
        for alone in ("File", "Bitmap"):
            if alone in attributes:
                return self._in_place_of_a_type(alone, node)
        if node.type is None or node.name is None:
            self._refuse_unnamed(node)
            return type
        return self._utf8(node.type, type) if "UTF8" in attributes else type

    def type(self, node: nodes.Type) -> Type:
        """The type of a parameter or field."""
        type = self._resolve(node)
        self._outermost.append((node, type))
        return type

    def finish(self, definitions: Definitions) -> None:
        """Refuse keys, elements and depths that are wrong because of the fields of structs."""
        facts = definitions.facts
        for node, type, argument in self._arguments:
            if argument is Argument.KEY and not is_key(type, facts):
                hint = "a key is a bool, an integer, a string, a byte string, an enum or a struct of these"
                self._report.error(node.span, f"'{node.text}' cannot be a key", hint)
            elif argument is Argument.ELEMENT and is_empty(type, facts):
                message = f"'{node.text}' takes no bytes, so it cannot be an element"
                self._report.error(node.span, message, "send the number of elements instead")
        for node, type in self._outermost:
            if depth(type, facts) <= MAX_NESTING:
                continue
            fields = (field for definition in definitions.mentioned(type) for field in definition.types)
            if all(depth(field, facts) <= MAX_NESTING for field in fields):
                self._report.error(node.span, f"types nest deeper than {MAX_NESTING}", "split the type")

    # --- types ---

    def _resolve(self, node: nodes.Type) -> Type:
        arguments = {id(a): self._resolve(a) for a in node.arguments or () if isinstance(a, nodes.Type)}
        defined = self._defined.get(node.name.removeprefix("::"))
        if defined:
            return defined if self._takes_none(node) else UNKNOWN
        row = look_up(node.name)
        if row is None:
            self._refuse_unknown(node)
            return UNKNOWN
        if not self._check_arity(node, row):
            return UNKNOWN
        made: list[Type | int] = []
        for argument, kind in zip(node.arguments or (), _kinds(node, row), strict=True):
            made.append(self._argument(argument, kind, arguments.get(id(argument), UNKNOWN)))
        return UNKNOWN if UNKNOWN in made else row.make(*made)

    def _argument(self, node: nodes.Type | nodes.Number, kind: Argument, type: Type) -> Type | int:
        if isinstance(node, nodes.Type):
            if kind is Argument.COUNT:
                self._report.error(
                    node.span, f"expected a number, found '{node.text}'", "the number of elements"
                )
                return UNKNOWN
            if type is not UNKNOWN:
                self._arguments.append((node, type, kind))
            return type
        if kind is not Argument.COUNT:
            self._report.error(node.span, f"expected a type, found the number {node.text}")
            return UNKNOWN
        if not 0 <= node.value <= _MAX_COUNT:
            hint = f"it must be between 0 and {_MAX_COUNT}"
            self._report.error(node.span, f"{node.value} is out of range for a number of elements", hint)
            return UNKNOWN
        return node.value

    def _takes_none(self, node: nodes.Type) -> bool:
        if node.arguments is None:
            return True
        self._report.error(node.span, f"'{node.name}' takes no type arguments", f"write '{node.name}'")
        return False

    def _check_arity(self, node: nodes.Type, row: Row) -> bool:
        if not row.arguments:
            return self._takes_none(node)
        arity, given = len(row.arguments), len(node.arguments or ())
        if given == arity or (row.is_variadic and arity < given <= _MAX_ALTERNATIVES):
            return True
        if given > _MAX_ALTERNATIVES and row.is_variadic:
            self._report.error(
                node.span, f"{given} alternatives are too many", f"a Variant has at most {_MAX_ALTERNATIVES}"
            )
            return False
        noun = "argument" if arity == 1 else "arguments"
        least = "at least " if row.is_variadic else ""
        message = f"'{node.name}' takes {least}{arity} type {noun}, not {given}"
        self._report.error(node.span, message, f"write '{node.name}<{row.example}>'")
        return False

    def _refuse_unknown(self, node: nodes.Type) -> None:
        def hint() -> str:
            plain = node.name.rpartition("::")[2]
            same = [name for name in self._known if name.rpartition("::")[2] == plain]
            near = did_you_mean_type(node.name.removeprefix("::"), same or self._known)
            is_foreign = not near and "::" in node.name
            return "declare it as a struct or enum, or register a Python class for it" if is_foreign else near

        self._report.error(node.name_span, f"unknown type '{node.name}'", hint)

    @property
    def _known(self) -> Iterable[str]:
        return (*BUILTIN_NAMES, *self._defined)

    # --- attributes ---

    def _check_attributes(self, attributes: Iterable[nodes.Name]) -> bool:
        known = [f"[{attribute}]" for attribute in ATTRIBUTES]
        first: dict[str, nodes.Name] = {}
        holds = True
        for attribute in attributes:
            if attribute.text not in ATTRIBUTES:
                hint = f"the attributes are {', '.join(known[:-1])} and {known[-1]}"
                self._report.error(attribute.span, f"unknown attribute '{attribute.text}'", hint)
                holds = False
            elif not is_new(attribute, first, "attribute", self._report):
                holds = False
        return holds

    def _in_place_of_a_type(self, attribute: str, node: nodes.Parameter) -> Type:
        if node.type is not None or len(node.attributes) > 1:
            name = node.name.text if node.name else "name"
            hint = f"write '[{attribute}] {name}'"
            self._report.error(node.span, f"[{attribute}] takes the place of a type", hint)
        elif node.name is None:
            self._report.error(node.span, "parameter without a name", f"write '[{attribute}] name'")
        return ATTRIBUTES[attribute]

    def _utf8(self, written: nodes.Type, type: Type) -> Type:
        if type is UNKNOWN:
            return type
        if type is STRING or written.name.removeprefix("::") in ("ByteString", "AK::ByteString"):
            return type if type is STRING else ATTRIBUTES["UTF8"]
        hint = "only a ByteString, String or StringView can have it"
        self._report.error(written.span, f"[UTF8] on '{written.text}'", hint)
        return ATTRIBUTES["UTF8"]

    # --- incomplete parameters ---

    def _is_unknown_word(self, type: nodes.Type) -> bool:
        is_known = look_up(type.name) or type.name.removeprefix("::") in self._defined
        return type.arguments is None and not is_known

    def _refuse_word(self, word: nodes.Type) -> None:
        message = f"'{word.name}' alone is not a parameter: its type or its name is missing"
        self._report.error(
            word.span, message, lambda: did_you_mean_type(word.name, self._known) or "write a type and a name"
        )

    def _refuse_unnamed(self, node: nodes.Parameter) -> None:
        written = node.type.text if node.type else node.name.text if node.name else "ByteString"
        if node.type is None and node.name and look_up(written) is None:
            message = f"parameter '{written}' without a type"
            self._report.error(node.span, message, f"write '[UTF8] ByteString {written}'")
        else:
            brackets = f"[{node.attributes[0].text}] " if node.attributes else ""
            hint = f"write '{brackets}{written} name'"
            self._report.error(node.span, "parameter without a name", hint)


def _kinds(node: nodes.Type, row: Row) -> tuple[Argument, ...]:
    more = len(node.arguments or ()) - len(row.arguments)
    return row.arguments + row.arguments[-1:] * more
