"""Owns how registered classes are read from the text of a Python module, which is never executed.

Must not know ipclib: its decorator `ipc_type` and its annotations stand here as text. The results are
the nodes that an interface file would have, and go through the same checks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import attrs

from ipcc import nodes
from ipcc.builtin_types import BUILTIN_NAMES, BUILTIN_TYPES, INTEGERS
from ipcc.diagnostics import Report, did_you_mean
from ipcc.parser import MAX_BITS
from ipcc.source import Source, Span
from ipcc.tokens import is_utf8

_ENUMS = ("Enum", "IntEnum", "Flag", "IntFlag")
_ATTRS = ("define", "frozen", "mutable", "attrs")
_BUILTINS = {"bool": "bool", "str": "String", "bytes": "ByteString"}
_CONTAINERS = {"list": ("Vector", 1), "dict": ("HashMap", 2)}
_VALUES = {
    **{name: name for name in (*INTEGERS, "double", "Duration", "UnixDateTime")},
    "float_": "float",
    "File": "IPC::File",
    "URL": "URL::URL",
    "Origin": "URL::Origin",
    "ProxyData": "Core::ProxyData",
    "OpenMode": "Core::File::OpenMode",
    "AnonymousBuffer": "Core::AnonymousBuffer",
}
"""The names that ipclib and corelib export, with the types of interfaces that they mean in an annotation."""
_PREFIXES = {"ipclib": "", "corelib": "", "ipclib.gfx": "gfx.", "datetime": "datetime."}
"""The modules whose names an annotation may use, each with the prefix of those names' meanings."""
_MODULES = {"ipclib": "*", "corelib": "*", "datetime": "datetime"}
"""The modules that an annotation may name, as in `ipclib.i32`, each with its own meaning."""


@attrs.frozen
class RegisteredClass:
    """A registered class, with the declaration that an interface file would have for it."""

    name: nodes.Name
    """Its name in interfaces."""
    module: str
    """The module as an import statement spells it."""
    class_name: str
    is_hashable: bool
    node: nodes.Struct | nodes.Enum | None
    """None for a class with a codec of its own."""


def registered_classes(source: Source, module: str, report: Report) -> list[RegisteredClass]:
    """Read the registered classes of a module, which is imported as `module`. Mistakes are reported."""
    if not is_utf8(source, report):
        return []
    try:
        tree = ast.parse(source.text)
        return _Reader(source, module, tree, report).classes()
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _refuse_syntax(source, error, report)
        return []


def _refuse_syntax(source: Source, error: Exception, report: Report) -> None:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    line = (error.lineno if isinstance(error, SyntaxError) else None) or 1
    start = sum(len(source.line(number)) + 1 for number in range(1, min(line, source.line_count)))
    report.error(Span(source, start, start), f"this cannot be read as Python: {text}")


class _Reader:
    def __init__(self, source: Source, module: str, tree: ast.Module, report: Report) -> None:
        self._source = source
        self._module = module
        self._tree = tree
        self._report = report
        self._imported = dict(_imported_names(tree))
        self._registered_names: dict[str, str] = {}

    def classes(self) -> list[RegisteredClass]:
        found: list[tuple[ast.ClassDef, ast.Call, nodes.Name]] = []
        for node in self._tree.body:
            if isinstance(node, ast.ClassDef):
                for decorator in node.decorator_list:
                    name = self._registered_name(decorator, node)
                    if name and isinstance(decorator, ast.Call):
                        found.append((node, decorator, name))
                        self._registered_names[node.name] = name.text
        return [self._class(node, decorator, name) for node, decorator, name in found]

    def _registered_name(self, decorator: ast.expr, node: ast.ClassDef) -> nodes.Name | None:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if self._meaning(called) != "ipc_type":
            return None
        name = decorator.args[0] if isinstance(decorator, ast.Call) and decorator.args else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            if all(part.isidentifier() for part in name.value.split("::")):
                return nodes.Name(name.value, self._span(name))
            message = f"'{name.value}' is not a valid name of a type"
            self._report.error(
                self._span(name), message, "write it as in the interface, such as 'Geo::Point'"
            )
            return None
        hint = f"write '@ipc_type(\"{node.name}\")'"
        self._report.error(self._span(decorator), "ipc_type without the name of the type", hint)
        return None

    def _class(self, node: ast.ClassDef, decorator: ast.Call, name: nodes.Name) -> RegisteredClass:
        declared: nodes.Struct | nodes.Enum | None = None
        if any(_last(base) in _ENUMS for base in node.bases):
            enumerators = tuple(self._enumerators(node))
            declared = nodes.Enum(name, self._underlying(decorator), enumerators, _documentation(node))
        elif not _has_own_codec(node):
            declared = nodes.Struct(name, self._struct_fields(node), _documentation(node))
        return RegisteredClass(name, self._module, node.name, _is_hashable(node), declared)

    # --- enums ---

    def _underlying(self, decorator: ast.Call) -> nodes.Type | None:
        for keyword in decorator.keywords:
            if keyword.arg == "underlying":
                span = self._span(keyword.value)
                return nodes.Type(
                    self._meaning(keyword.value) or ast.unparse(keyword.value), span, None, span
                )
        return None

    def _enumerators(self, node: ast.ClassDef) -> Iterator[nodes.Enumerator]:
        for statement in node.body:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            if isinstance(target, ast.Name) and isinstance(statement, ast.Assign) and target.id[0] != "_":
                number = self._number(statement.value, target.id)
                yield nodes.Enumerator(nodes.Name(target.id, self._span(target)), number, ())

    def _number(self, value: ast.expr, name: str) -> nodes.Number:
        found = _constant(value)
        span = self._span(value)
        if found is None:
            hint = f"write it out, as in '{name} = 1'"
            self._report.error(span, f"the number of '{name}' cannot be read", hint)
        return nodes.Number(str(found or 0), span)

    # --- attrs classes ---

    def _struct_fields(self, node: ast.ClassDef) -> tuple[nodes.Field, ...]:
        is_attrs = any(_last(decorator) in _ATTRS for decorator in node.decorator_list)
        span = self._name_span(node)
        if not is_attrs:
            message = f"'{node.name}' is neither an attrs class nor an enum, and has no codec of its own"
            self._report.error(
                span, message, "decorate it with '@attrs.frozen', or give it encode and decode"
            )
            return ()
        if any(_last(base) not in ("object", "Generic", "Protocol") for base in node.bases):
            message = f"'{node.name}' has a base class, whose fields are not read"
            self._report.error(span, message, "declare all fields in the class itself")
            return ()
        return tuple(self._field(statement) for statement in node.body if _is_field(statement))

    def _field(self, statement: ast.stmt) -> nodes.Field:
        assert isinstance(statement, ast.AnnAssign)
        assert isinstance(statement.target, ast.Name)
        type = self._type(statement.annotation)
        return nodes.Field(type, nodes.Name(statement.target.id, self._span(statement.target)), ())

    def _type(self, node: ast.expr) -> nodes.Type:
        """The type of an annotation. Unsupported annotations are reported and treated as bool."""
        span = self._span(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._quoted(node, node.value, span)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union(list(_members(node)), span)
        if isinstance(node, ast.Subscript):
            return self._container(node, span)
        name = self._type_name(node)
        if name:
            return nodes.Type(name, span, None, span)
        return self._refuse_annotation(node, span)

    def _quoted(self, node: ast.Constant, text: str, span: Span) -> nodes.Type:
        try:
            inside = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError):
            return self._refuse_annotation(node, span)
        for part in ast.walk(inside):
            if isinstance(part, ast.expr):
                ast.copy_location(part, node)
        return self._type(inside)

    def _union(self, members: list[ast.expr], span: Span) -> nodes.Type:
        types = [member for member in members if not _is_none(member)]
        if len(types) != 1 or len(members) != 2:
            return self._refuse(span, "a union of several types", "only 'T | None' can be sent")
        return nodes.Type("Optional", span, (self._type(types[0]),), span)

    def _container(self, node: ast.Subscript, span: Span) -> nodes.Type:
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        name = _last(node.value)
        if name == "Optional" and len(arguments) == 1:
            return nodes.Type("Optional", span, (self._type(arguments[0]),), span)
        container, arity = _CONTAINERS.get(name, ("", 0))
        if not container or len(arguments) != arity:
            return self._refuse_annotation(node, span)
        types = tuple(map(self._type, arguments))
        if container == "Vector" and types[0].name == "u8":
            return self._refuse(span, "a list of u8 is bytes in Python", "write 'bytes'")
        return nodes.Type(container, span, types, span)

    def _type_name(self, node: ast.expr) -> str:
        written = ast.unparse(node)
        return (
            self._registered_names.get(written)
            or _VALUES.get(self._meaning(node))
            or _gfx_name(self._meaning(node))
            or _BUILTINS.get(written, "")
        )

    def _refuse_annotation(self, node: ast.expr, span: Span) -> nodes.Type:
        written = ast.unparse(node)
        if written in ("int", "float"):
            hint = f"write {'double or float_' if written == 'float' else 'one of i8 to u64'} from ipclib"
            return self._refuse(span, f"'{written}' does not say its size", hint)
        known = [*_VALUES, *_BUILTINS, *self._registered_names]
        hint = did_you_mean(written, known) or "use a type from ipclib, or register the class with ipc_type"
        return self._refuse(span, f"'{written}' is not a type that can be sent", hint)

    def _refuse(self, span: Span, message: str, hint: str) -> nodes.Type:
        self._report.error(span, message, hint)
        return nodes.Type("bool", span, None, span)

    # --- meanings of names, and spans ---

    def _meaning(self, node: ast.expr) -> str:
        """What an expression means in ipclib, corelib or datetime; empty if it means something else."""
        if isinstance(node, ast.Name):
            return self._imported.get(node.id, "")
        if isinstance(node, ast.Attribute):
            base = ast.unparse(node.value)
            module = self._imported.get(base, "")
            return node.attr if module == "*" else f"{module}.{node.attr}" if module else ""
        return ""

    def _span(self, node: ast.expr) -> Span:
        return self._between(node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)

    def _name_span(self, node: ast.ClassDef) -> Span:
        start = self._between(node.lineno, node.col_offset, node.lineno, node.col_offset).start
        at = self._source.text.index(node.name, start)
        return Span(self._source, at, at + len(node.name))

    def _between(self, line: int, column: int, end_line: int | None, end_column: int | None) -> Span:
        start = self._offset(line, column)
        same = end_line == line and end_column is not None
        return Span(self._source, start, self._offset(line, end_column or 0) if same else start)

    def _offset(self, line: int, column: int) -> int:
        """The offset of a place in the syntax tree, whose columns count bytes of UTF-8."""
        text = self._source.line(line)
        return self._source.offset(line, len(text.encode()[:column].decode(errors="ignore")))


def _imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Local names with their meanings; a module of ipclib or corelib itself means `*`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from _names_from(node)
        elif isinstance(node, ast.Import):
            yield from _modules_of(node)


def _names_from(node: ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """The names of `from ipclib import i32 as number`."""
    prefix = None if node.level else _PREFIXES.get(node.module or "")
    if prefix is not None:
        for alias in node.names:
            yield alias.asname or alias.name, prefix + alias.name


def _modules_of(node: ast.Import) -> Iterator[tuple[str, str]]:
    """The names of `import ipclib as ipc`."""
    for alias in node.names:
        if alias.name in _MODULES:
            yield alias.asname or alias.name, _MODULES[alias.name]


def _gfx_name(meaning: str) -> str:
    if meaning == "datetime.datetime":
        return "Core::DateTime"
    module, _, name = meaning.partition(".")
    return (
        f"Gfx::{name}"
        if module == "gfx" and f"Gfx::{name}" in BUILTIN_NAMES and name in BUILTIN_TYPES
        else ""
    )


def _is_field(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and "ClassVar" not in ast.unparse(statement.annotation)
    )


def _has_own_codec(node: ast.ClassDef) -> bool:
    return {"encode", "decode"} <= {part.name for part in node.body if isinstance(part, ast.FunctionDef)}


def _is_hashable(node: ast.ClassDef) -> bool:
    """Whether values can be hashed: an attrs class compares by value, so it must be frozen for that."""
    for decorator in node.decorator_list:
        keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
        given = {keyword.arg for keyword in keywords if _is_true(keyword.value)}
        if _last(decorator) in _ATTRS:
            return _last(decorator) == "frozen" or bool(given & {"frozen", "hash", "unsafe_hash"})
    return True


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _members(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _members(node.left)
        yield from _members(node.right)
    else:
        yield node


def _constant(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None
    return value if type(value) is int and value.bit_length() <= MAX_BITS else None


def _last(node: ast.expr) -> str:
    """The last part of a dotted name, or of the name that a call calls."""
    while isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _documentation(node: ast.ClassDef) -> tuple[str, ...]:
    return tuple((ast.get_docstring(node) or "").splitlines())
