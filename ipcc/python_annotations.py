"""Owns which type an annotation of a Python field means, and how one that means none is refused.

Must not know which fields a class has. An annotation is read by what its names mean, never by their spelling.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from ipcc import nodes
from ipcc.builtin_types import BUILTIN_NAMES, BUILTIN_TYPES, INTEGERS
from ipcc.diagnostics import Report
from ipcc.python_scope import Scope
from ipcc.python_source import PythonFile
from ipcc.source import Span
from ipcc.spelling import did_you_mean_type, meant_by

_VALUES = {
    **{
        name: name
        for name in (*(name for name in INTEGERS if name != "int"), "double", "Duration", "UnixDateTime")
    },
    "float_": "float",
    "File": "IPC::File",
    "URL": "URL::URL",
    "Origin": "URL::Origin",
    "ProxyData": "Core::ProxyData",
    "OpenMode": "Core::File::OpenMode",
    "AnonymousBuffer": "Core::AnonymousBuffer",
}
"""The names that ipclib and corelib export, with the types of interfaces that they mean in an annotation."""
_MEANINGS = {
    **{f"{module}.{name}": type for module in ("ipclib", "corelib") for name, type in _VALUES.items()},
    **{f"ipclib.gfx.{name}": f"Gfx::{name}" for name in BUILTIN_TYPES if f"Gfx::{name}" in BUILTIN_NAMES},
    "datetime.datetime": "Core::DateTime",
    "builtins.bool": "bool",
    "builtins.str": "String",
    "builtins.bytes": "ByteString",
}
_CONTAINERS = {
    "builtins.list": ("Vector", 1),
    "builtins.dict": ("HashMap", 2),
    "typing.Optional": ("Optional", 1),
}
_CLASS_VARIABLES = ("typing.ClassVar", "typing_extensions.ClassVar")
_SEEN_BY_ATTRS = ("typing.ClassVar", "t.ClassVar", "ClassVar", "typing_extensions.ClassVar")
"""attrs takes an annotation for a class variable's if its text begins with one of these."""
_PYTHON = {"String": "str", "ByteString": "bytes", "Vector": "list", "HashMap": "dict", "float": "float_"}
"""How an annotation spells a type that has another name in interfaces."""


class AnnotationReader:
    """Reads the annotations of one module. `registered` are its classes, with their names in interfaces."""

    def __init__(self, file: PythonFile, scope: Scope, registered: Mapping[str, str], report: Report) -> None:
        self._file = file
        self._scope = scope
        self._registered = registered
        self._report = report

    def is_class_variable(self, node: ast.expr) -> bool:
        """Whether attrs makes no field of an annotation, which it decides by the annotation's text.

        The text is as written under `from __future__ import annotations`, and by typing's own spelling
        without it. Where the two differ, the annotation is reported.
        """
        unquoted = _unquoted(node) or node
        outer = unquoted.value if isinstance(unquoted, ast.Subscript) else unquoted
        is_meant = self._scope.meaning(outer) in _CLASS_VARIABLES
        is_seen = ast.unparse(unquoted).startswith(_SEEN_BY_ATTRS)
        if is_meant != is_seen:
            message = f"'{ast.unparse(unquoted)}' may be a class variable or a field to attrs, by its text"
            hint = (
                "write 'ClassVar[...]' after 'from typing import ClassVar'"
                if is_meant
                else "rename the class"
            )
            self._report.error(self._file.span(node), message, hint)
        return is_meant or is_seen

    def type(self, node: ast.expr) -> nodes.Type:
        """The type of an annotation. Unsupported annotations are reported and treated as bool."""
        span = self._file.span(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            inside = _unquoted(node)
            return self.type(inside) if inside else self._refuse_annotation(node, span)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union(list(_members(node)), span)
        if isinstance(node, ast.Subscript):
            return self._container(node, span)
        name = self._type_name(node)
        return nodes.Type(name, span, None, span) if name else self._refuse_annotation(node, span)

    def number(self, node: ast.expr) -> nodes.Type:
        """The type of an enum's numbers. Anything but an integer type of ipclib is reported."""
        span = self._file.span(node)
        type = _MEANINGS.get(self._scope.meaning(node), "")
        if type in INTEGERS:
            return nodes.Type(type, span, None, span)
        message = f"'{ast.unparse(node)}' cannot be the type of an enum"
        self._report.error(span, message, "write one of i8, i16, i32, i64, u8, u16, u32 and u64 from ipclib")
        return nodes.Type("i64", span, None, span)

    def _union(self, members: list[ast.expr], span: Span) -> nodes.Type:
        types = [member for member in members if not _is_none(member)]
        if len(types) != 1 or len(members) != 2:
            return self._refuse(span, "a union of several types", "only 'T | None' can be sent")
        return self._optional(types[0], span)

    def _optional(self, node: ast.expr, span: Span) -> nodes.Type:
        """The Optional of a type; to Python, that of an Optional is the Optional itself."""
        type = self.type(node)
        return type if type.name == "Optional" else nodes.Type("Optional", span, (type,), span)

    def _container(self, node: ast.Subscript, span: Span) -> nodes.Type:
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        container, arity = _CONTAINERS.get(self._scope.meaning(node.value), ("", 0))
        if not container or len(arguments) != arity:
            return self._refuse_annotation(node, span)
        if container == "Optional":
            return self._optional(arguments[0], span)
        types = tuple(map(self.type, arguments))
        if container == "Vector" and types[0].name == "u8":
            return self._refuse(span, "a list of u8 is bytes in Python", "write 'bytes'")
        return nodes.Type(container, span, types, span)

    def _type_name(self, node: ast.expr) -> str:
        own = self._scope.class_named(node)
        if own:
            return self._registered.get(own.name, "")
        return _MEANINGS.get(self._scope.meaning(node), "")

    def _refuse_annotation(self, node: ast.expr, span: Span) -> nodes.Type:
        written = ast.unparse(node)
        if written in ("int", "float"):
            hint = f"write {'double or float_' if written == 'float' else 'one of i8 to u64'} from ipclib"
            return self._refuse(span, f"'{written}' does not say its size", hint)
        message = f"'{written}' is not a type that can be sent"
        if isinstance(node, ast.Name) and self._scope.has_several_meanings(node.id):
            return self._refuse(span, message, f"the module gives '{written}' several meanings: rename one")
        return self._refuse(span, message, self._nearest(node, written))

    def _nearest(self, node: ast.expr, written: str) -> str:
        name = ast.unparse(node.value) if isinstance(node, ast.Subscript) else written
        meant = meant_by(name)
        spelled = _PYTHON.get(meant, meant)
        if spelled in (*_VALUES, "str", "bytes", "bool", "list", "dict") and spelled != name:
            source = " from ipclib" if spelled in _VALUES else ""
            return f"write '{spelled}'{source}"
        known = [*_VALUES, "bool", "str", "bytes", *self._registered]
        return (
            did_you_mean_type(written, known) or "use a type from ipclib, or register the class with ipc_type"
        )

    def _refuse(self, span: Span, message: str, hint: str) -> nodes.Type:
        self._report.error(span, message, hint)
        return nodes.Type("bool", span, None, span)


def _unquoted(node: ast.expr) -> ast.expr | None:
    """The annotation inside of a string, at the place of the string."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return None
    try:
        inside = ast.parse(node.value.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for part in ast.walk(inside):
        if isinstance(part, ast.expr):
            ast.copy_location(part, node)
    return inside


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _members(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _members(node.left)
        yield from _members(node.right)
    else:
        yield node
