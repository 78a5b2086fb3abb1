"""Owns what a declared name becomes in Python, and the refusal of a name that is declared twice.

Must not know types.
"""

from __future__ import annotations

import builtins
import unicodedata
from keyword import iskeyword

from ipcc import nodes
from ipcc.diagnostics import Report, seen_from
from ipcc.reserved import is_reserved, is_reserved_class, is_reserved_enumerator, is_reserved_in_module


def normal(name: str) -> str:
    """A name as Python reads it: identifiers are compared in NFKC (PEP 3131)."""
    return unicodedata.normalize("NFKC", name)


def parameter_name(name: str, taken: frozenset[str]) -> str:
    """The Python name of a parameter. `taken` are the names of the module's classes."""
    name = normal(name)
    return f"{name}_" if is_reserved(name) or name in taken else name


def message_name(name: str, taken: frozenset[str]) -> str:
    """The Python name of a message, by which and by its async form no class of the module is hidden."""
    python = parameter_name(name, taken)
    return f"{python}_" if async_name(python) in taken else python


def async_name(python: str) -> str:
    """The name of the method that sends a message and does not wait."""
    return f"async_{python}"


def pascal_name(name: str) -> str:
    """`echo_string` to `EchoString`."""
    return normal("".join(part[:1].upper() + part[1:] for part in normal(name).split("_")))


def class_name(pascal: str, taken: frozenset[str]) -> str:
    """The name of a message class."""
    return f"{pascal}_" if is_reserved_class(pascal) or pascal in taken else pascal


def endpoint_name(name: str) -> str:
    """The Python name of an endpoint."""
    name = normal(name)
    return f"{name}_" if is_reserved_in_module(name) else name


def type_name(name: str) -> str:
    """The Python name of a struct, an enum or a registered class.

    It never hides a builtin, which earlier annotations may name. It does not begin with an underscore as a
    registered class may: such names are the generated module's own.
    """
    name = normal(name).lstrip("_") or "Unnamed"
    return f"{name}_" if is_reserved_in_module(name) or hasattr(builtins, name) else name


def field_name(name: str, taken: frozenset[str]) -> str:
    """The Python name of a struct's field."""
    name = normal(name)
    return f"{name}_" if iskeyword(name) or name in taken else name


def enumerator_name(name: str) -> str:
    """The Python name of an enumerator."""
    name = normal(name)
    return f"{name}_" if is_reserved_enumerator(name) else name


def refuse_underscore(name: nodes.Name, what: str, report: Report) -> None:
    """Report a name that begins with an underscore."""
    if normal(name.text).startswith("_"):
        message = f"the name of {what} cannot begin with an underscore"
        report.error(name.span, message, "such names are reserved for the runtime")


def is_new(name: nodes.Name, first: dict[str, nodes.Name], what: str, report: Report) -> bool:
    """Whether a name is new among `first`, the names so far; report it if it is not."""
    other = first.setdefault(name.text, name)
    if other is name:
        return True
    where = seen_from(name.span, other.span)
    report.error(name.span, f"duplicate {what} '{name.text}'", f"first declared {where}")
    return False
