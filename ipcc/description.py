"""Owns the interface that a running service describes: its text as the declarations of one source.

Must not know how the service was asked. The text comes from another process, so it may include no file.
"""

from __future__ import annotations

import re
import stat
from os import stat as status_of

from ipcc import nodes
from ipcc.diagnostics import Report
from ipcc.python_types import RegisteredClass
from ipcc.schema import OWN_CODEC
from ipcc.source import Source, Span

SESSION = "%sid"
"""Stands for the session in the socket path of a service."""


def is_of_service(path: str) -> bool:
    """Whether a path is of a service's socket rather than of an interface file."""
    try:
        return SESSION in path or stat.S_ISSOCK(status_of(path).st_mode)
    except (OSError, ValueError):
        return False


def without_repetitions(file: nodes.File, report: Report) -> nodes.File:
    """The file with each struct and enum once: each endpoint's text begins with the types that it uses."""
    for include in file.includes:
        report.error(include.span, "a service's interface cannot include files")
    seen: set[tuple[str, ...]] = set()
    kept: list[nodes.Declaration] = []
    for node in file.declarations:
        if isinstance(node, nodes.Include):
            continue
        content = _content(node)
        if content not in seen:
            kept.append(node)
        if content:
            seen.add(content)
    return nodes.File(file.source, tuple(kept))


def _content(node: nodes.Declaration) -> tuple[str, ...]:
    """What makes two declarations of a type the same; nothing for an endpoint."""
    if isinstance(node, nodes.Struct):
        return ("struct", node.name.text, *(field.text for field in node.fields))
    if isinstance(node, nodes.Enum):
        underlying = node.underlying.text if node.underlying else ""
        return ("enum", node.name.text, underlying, *(value.text for value in node.enumerators))
    return ()


def own_codecs(source: Source, module: str) -> tuple[RegisteredClass, ...]:
    """The classes with codecs of their own, of which the text has only the names.

    A module that is made of the interface imports them from `module`, each under its name with `__` for `::`.
    """
    found: dict[str, RegisteredClass] = {}
    for line in re.finditer(re.escape(OWN_CODEC).replace("NAME", r"([\w:]+)"), source.text):
        name = nodes.Name(line[1], Span(source, line.start(1), line.end(1)))
        found[line[1]] = RegisteredClass(name, module, line[1].replace("::", "__"), True, None)
    return tuple(found.values())
