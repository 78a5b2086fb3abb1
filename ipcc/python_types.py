"""Owns how registered classes are read from the text of a Python module, which is never executed.

Must not know ipclib: its decorator `ipc_type` stands here as text. The results are the nodes that an
interface file would have, and go through the same checks. At import, generated code compares the classes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import attrs

from ipcc import nodes
from ipcc.diagnostics import Report
from ipcc.python_annotations import AnnotationReader
from ipcc.python_enums import EnumReader
from ipcc.python_scope import Scope, bound_names
from ipcc.python_source import PythonFile, documentation, parsed
from ipcc.source import Source

_IPC_TYPE = "ipclib.ipc_type"
_BY_ANNOTATIONS = frozenset(
    {"attrs.define", "attrs.frozen", "attrs.mutable", "attr.define", "attr.frozen", "attr.mutable"}
    | {"attr.dataclass"}
)
_CLASSIC = frozenset({"attr.s", "attr.attrs", "attr.attributes"})
"""Decorators that take annotations for fields only with `auto_attribs=True`."""
_FROZEN = frozenset({"attrs.frozen", "attr.frozen"})
_FIELDS = frozenset({"attrs.field", "attr.field", "attr.ib", "attr.attrib"})
_CHANGES_FIELDS = ("these", "field_transformer")
_EMPTY_BASES = frozenset({"builtins.object", "typing.Generic", "typing.Protocol"})
_CODEC = ("encode", "decode")


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
    file = parsed(source, report)
    if file is None:
        return []
    try:
        return _Reader(file, module, report).classes()
    except RecursionError:
        report.error(source.path, "cannot be read as Python", "it nests too deep")
        return []


@attrs.frozen
class _Registration:
    """A class with its decorator `ipc_type`."""

    node: ast.ClassDef
    decorator: ast.Call
    name: nodes.Name


class _Reader:
    def __init__(self, file: PythonFile, module: str, report: Report) -> None:
        self._file = file
        self._module = module
        self._report = report
        self._scope = Scope(file.tree)
        self._found = list(self._registrations())
        registered = {found.node.name: found.name.text for found in self._found}
        self._annotations = AnnotationReader(file, self._scope, registered, report)
        self._enums = EnumReader(file, self._scope, report)

    def classes(self) -> list[RegisteredClass]:
        return [self._class(found) for found in self._found]

    # --- which classes are registered ---

    def _registrations(self) -> Iterator[_Registration]:
        for node in self._file.tree.body:
            if isinstance(node, ast.ClassDef):
                yield from self._registration(node)
            elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._refuse_inside(node)

    def _registration(self, node: ast.ClassDef) -> Iterator[_Registration]:
        decorators = [d for d in node.decorator_list if self._is_ipc_type(d)]
        for decorator in decorators[1:]:
            self._refuse(decorator, f"'{node.name}' is registered twice", "register it once")
        for decorator in decorators[:1]:
            name = self._registered_name(decorator, node)
            if name and isinstance(decorator, ast.Call):
                if self._scope.has_several_meanings(node.name):
                    hint = "rename one: the module's import gets the last"
                    self._refuse(
                        node, f"the module gives the name '{node.name}' to more than this class", hint
                    )
                yield _Registration(node, decorator, name)

    def _refuse_inside(self, node: ast.stmt) -> None:
        """Refuse registered classes of which only running the module tells whether they are there."""
        for part in ast.walk(node):
            if isinstance(part, ast.ClassDef) and any(map(self._is_ipc_type, part.decorator_list)):
                message = f"the registered class '{part.name}' stands inside another statement"
                self._refuse(part, message, "declare it at the top level of its module")

    def _is_ipc_type(self, decorator: ast.expr) -> bool:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        return self._scope.meaning(called) == _IPC_TYPE

    def _registered_name(self, decorator: ast.expr, node: ast.ClassDef) -> nodes.Name | None:
        name = decorator.args[0] if isinstance(decorator, ast.Call) and decorator.args else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            if all(part.isidentifier() for part in name.value.split("::")):
                return nodes.Name(name.value, self._file.span(name))
            message = f"'{name.value}' is not a valid name of a type"
            self._refuse(name, message, "write it as in the interface, such as 'Geo::Point'")
            return None
        hint = f"write '@ipc_type(\"{node.name}\")'"
        self._refuse(decorator, "ipc_type without the name of the type", hint)
        return None

    # --- one class ---

    def _class(self, found: _Registration) -> RegisteredClass:
        node, name = found.node, found.name
        declared: nodes.Struct | nodes.Enum | None = None
        if self._enums.is_enum(node):
            enumerators = self._enums.enumerators(node)
            declared = nodes.Enum(name, self._underlying(found.decorator), enumerators, documentation(node))
        elif not self._has_own_codec(node):
            declared = nodes.Struct(name, self._struct_fields(node), documentation(node))
        return RegisteredClass(name, self._module, node.name, self._is_hashable(node), declared)

    def _underlying(self, decorator: ast.Call) -> nodes.Type | None:
        for keyword in decorator.keywords:
            if keyword.arg == "underlying":
                return self._annotations.number(keyword.value)
            if keyword.arg is None:
                self._refuse(
                    keyword.value, "arguments of ipc_type that cannot be read", "write 'underlying=u8'"
                )
        return None

    def _has_own_codec(self, node: ast.ClassDef) -> bool:
        annotated = {
            s.target.id for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
        }
        own = [name for name in _CODEC if name in bound_names(node.body) - annotated]
        if len(own) == 1:
            message = f"'{node.name}' has {own[0]}() alone"
            self._refuse(node, message, "give it both encode() and decode(), or neither")
        return bool(own)

    # --- attrs classes ---

    def _struct_fields(self, node: ast.ClassDef) -> tuple[nodes.Field, ...]:
        decorators = [d for d in node.decorator_list if self._decorator(d) in _BY_ANNOTATIONS | _CLASSIC]
        if not decorators:
            message = f"'{node.name}' is neither an attrs class nor an enum, and has no codec of its own"
            self._refuse(node, message, "decorate it with '@attrs.frozen', or give it encode and decode")
            return ()
        if any(self._scope.meaning(base) not in _EMPTY_BASES for base in node.bases):
            message = f"'{node.name}' has a base class, whose fields are not read"
            self._refuse(node, message, "declare all fields in the class itself")
            return ()
        if not all(map(self._check_decorator, decorators)):
            return ()
        bound = bound_names(node.body)
        return tuple(self._field(s, bound) for s in node.body if self._is_field(s, node))

    def _decorator(self, decorator: ast.expr) -> str:
        return self._scope.meaning(decorator.func if isinstance(decorator, ast.Call) else decorator)

    def _check_decorator(self, decorator: ast.expr) -> bool:
        """Whether attrs takes just the annotations for fields; report it if not."""
        keywords = {k.arg: k.value for k in decorator.keywords} if isinstance(decorator, ast.Call) else {}
        is_classic = self._decorator(decorator) in _CLASSIC
        given = keywords.pop("auto_attribs", ast.Constant(False if is_classic else None))
        if not _is(given, True) and (is_classic or not _is(given, None)):
            self._refuse(decorator, "fields that are not declared by annotations", "use '@attrs.define'")
            return False
        for name, value in keywords.items():
            if name is None or (name in _CHANGES_FIELDS and not _is(value, None)):
                self._refuse(value, "an argument that may change which fields there are", "remove it")
                return False
        return True

    def _is_field(self, statement: ast.stmt, node: ast.ClassDef) -> bool:
        """Whether a statement declares a field. One that may, but cannot be read, is reported."""
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            return not self._annotations.is_class_variable(statement.annotation)
        if isinstance(statement, ast.Assign) and self._assigns_no_field(statement):
            return False
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_text and not isinstance(
            statement, (ast.Pass, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        ):
            message = f"this statement may change the fields of '{node.name}'"
            self._refuse(statement, message, "declare each field as 'name: i32' in the class itself")
        return False

    def _assigns_no_field(self, statement: ast.Assign) -> bool:
        targets = (part for target in statement.targets for part in ast.walk(target))
        are_names = all(
            isinstance(part, (ast.Name, ast.Tuple, ast.List, ast.expr_context)) for part in targets
        )
        calls = (part.func for part in ast.walk(statement.value) if isinstance(part, ast.Call))
        return are_names and not any(self._scope.meaning(call) in _FIELDS for call in calls)

    def _field(self, statement: ast.stmt, bound: set[str]) -> nodes.Field:
        assert isinstance(statement, ast.AnnAssign)
        assert isinstance(statement.target, ast.Name)
        named = {part.id for part in ast.walk(statement.annotation) if isinstance(part, ast.Name)}
        for name in sorted(named & bound):
            hint = "rename what the class has of this name"
            self._refuse(statement.annotation, f"'{name}' means something else inside of the class", hint)
        type = self._annotations.type(statement.annotation)
        return nodes.Field(type, nodes.Name(statement.target.id, self._file.span(statement.target)), ())

    def _is_hashable(self, node: ast.ClassDef) -> bool:
        """Whether values can be hashed: an attrs class compares by value, so it must be frozen for that."""
        for decorator in node.decorator_list:
            if self._decorator(decorator) in _BY_ANNOTATIONS | _CLASSIC:
                keywords = (
                    {k.arg: k.value for k in decorator.keywords} if isinstance(decorator, ast.Call) else {}
                )
                hash = keywords.get("unsafe_hash", keywords.get("hash"))
                if hash is not None and not _is(hash, None):
                    return _is(hash, True)
                frozen = keywords.get("frozen")
                is_frozen = self._decorator(decorator) in _FROZEN if frozen is None else _is(frozen, True)
                return is_frozen and not _is(keywords.get("eq"), False)
        return True

    def _refuse(self, node: ast.expr | ast.stmt, message: str, hint: str) -> None:
        self._report.error(self._file.span(node), message, hint)


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
