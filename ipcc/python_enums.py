"""Owns which members a Python enum has, as far as its text tells; what it does not tell is refused.

Must not know interfaces beyond their enumerators. Each statement of a class is understood or refused, so
that no member is overlooked.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ipcc import nodes
from ipcc.diagnostics import Report
from ipcc.parser import MAX_BITS
from ipcc.python_scope import Scope
from ipcc.python_source import PythonFile

_FLAGS = ("enum.Flag", "enum.IntFlag")
_ENUMS = ("enum.Enum", "enum.IntEnum", "enum.ReprEnum", *_FLAGS)
_PLAIN = ("builtins.int", "builtins.object")
"""Base classes beside those of `enum` that leave a number as it is."""
_CHANGES_VALUES = frozenset(
    {"__new__", "__init__", "__init_subclass__", "__prepare__", "__set_name__", "__setattr__"}
    | {"__getattribute__", "value", "_value_"}
)
"""Methods by which a member's value may become another than the one that is written."""
_DECORATORS = (
    *("builtins.classmethod", "builtins.property", "builtins.staticmethod", "enum.property"),
    *("enum.nonmember", "abc.abstractmethod", "functools.cached_property", "typing.override"),
)
"""What a method of an enum may be decorated with; anything else may make a member of it."""
_SILENT = frozenset({"_order_", "_generate_next_value_", "_missing_"})
"""Names of the enum's machinery that make no member."""


class EnumReader:
    """Reads the enums of one module."""

    def __init__(self, file: PythonFile, scope: Scope, report: Report) -> None:
        self._file = file
        self._scope = scope
        self._report = report

    # --- base classes ---

    def is_enum(self, node: ast.ClassDef) -> bool:
        """Whether a class is an enum, by one of its base classes."""
        return not self._bases(node).isdisjoint(_ENUMS)

    def _bases(self, node: ast.ClassDef) -> set[str]:
        """The meanings of all base classes, and of those of the module's own classes among them."""
        return {self._scope.meaning(base) for own in self._family(node) for base in own.bases}

    def _family(self, node: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """A class, and its base classes in the same module, each once."""
        seen = {node.name}
        waiting = [node]
        while waiting:
            part = waiting.pop()
            yield part
            for own in filter(None, (self._earlier_class(base, part) for base in part.bases)):
                if own.name not in seen:
                    seen.add(own.name)
                    waiting.append(own)

    def _earlier_class(self, base: ast.expr, node: ast.ClassDef) -> ast.ClassDef | None:
        own = self._scope.class_named(base)
        return own if own and own.lineno < node.lineno else None

    # --- members ---

    def enumerators(self, node: ast.ClassDef) -> tuple[nodes.Enumerator, ...]:
        """The members in order, aliases among them. What cannot be read is reported."""
        if not all(self._check_class(own, node) for own in self._family(node)):
            return ()
        is_flag = not self._bases(node).isdisjoint(_FLAGS)
        return _Members(node, self._file, self._scope, self._report, is_flag=is_flag).all()

    def _check_class(self, node: ast.ClassDef, enum: ast.ClassDef) -> bool:
        """Whether an enum, or a base class of it, leaves numbers as they are written; report it if not."""
        for keyword in node.keywords:
            if keyword.arg != "boundary":
                message = f"an argument of the class of enum '{enum.name}' is not read"
                return self._refuse(keyword.value, message, "remove it")
        for base in node.bases:
            is_known = self._scope.meaning(base) in (*_ENUMS, *_PLAIN)
            if not is_known and not self._earlier_class(base, node):
                written = ast.unparse(base)
                message = f"'{enum.name}' has the base class '{written}', which may change its members"
                hint = "an enum may be based on those of the module enum, and on int"
                return self._refuse(base, message, hint)
        is_base = node is not enum
        return self._check_methods(node, enum.name) and (
            not is_base or self._check_base_body(node, enum.name)
        )

    def _check_base_body(self, base: ast.ClassDef, enum: str) -> bool:
        for statement in base.body:
            is_annotation = isinstance(statement, ast.AnnAssign) and statement.value is None
            if not is_annotation and not _makes_nothing(statement):
                message = f"the base class '{base.name}' of enum '{enum}' has more than methods"
                self._refuse(statement, message, f"move it to '{enum}'")
                return False
        return not base.decorator_list or self._refuse(
            base.decorator_list[0], f"the base class '{base.name}' of enum '{enum}' is decorated", "remove it"
        )

    def _check_methods(self, node: ast.ClassDef, enum: str) -> bool:
        for statement in node.body:
            if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if statement.name in _CHANGES_VALUES:
                message = f"'{statement.name}' may change the numbers of enum '{enum}'"
                return self._refuse(statement, message, "remove it")
            for decorator in statement.decorator_list:
                if not self._is_harmless(decorator):
                    message = f"'{ast.unparse(decorator)}' may make a member of enum '{enum}'"
                    return self._refuse(decorator, message, "remove it")
        return True

    def _is_harmless(self, decorator: ast.expr) -> bool:
        if isinstance(decorator, ast.Attribute) and decorator.attr in ("setter", "getter", "deleter"):
            return True
        return self._scope.meaning(decorator) in _DECORATORS

    def _refuse(self, node: ast.expr | ast.stmt, message: str, hint: str) -> bool:
        self._report.error(self._file.span(node), message, hint)
        return False


class _Members:
    """Walks over the statements of one enum."""

    def __init__(
        self, node: ast.ClassDef, file: PythonFile, scope: Scope, report: Report, *, is_flag: bool
    ) -> None:
        self._node = node
        self._file = file
        self._scope = scope
        self._report = report
        self._is_flag = is_flag
        self._ignored: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._found: list[nodes.Enumerator] = []

    def all(self) -> tuple[nodes.Enumerator, ...]:
        for statement in self._node.body:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    self._assign(target, statement.value)
            elif isinstance(statement, ast.AnnAssign):
                if statement.value is not None:
                    self._assign(statement.target, statement.value)
            elif not _makes_nothing(statement):
                message = f"this statement may make members of enum '{self._node.name}'"
                self._refuse(statement, message, "write the members as 'NAME = 1', one in each line")
        return tuple(self._found)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._name(target, value)
        elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
            parts = (*target.elts, *value.elts)
            if len(target.elts) == len(value.elts) and not any(isinstance(p, ast.Starred) for p in parts):
                for inner, part in zip(target.elts, value.elts, strict=True):
                    self._assign(inner, part)
            else:
                self._refuse(
                    target, "the members of this assignment cannot be read", "write one in each line"
                )
        else:
            self._refuse(target, "the members of this assignment cannot be read", "write one in each line")

    def _name(self, target: ast.Name, value: ast.expr) -> None:
        name = target.id
        if name == "_ignore_":
            self._ignore(value)
        elif (
            _is_private(name, self._node.name)
            or name in _SILENT
            or name in self._ignored
            or self._is_no_member(value)
        ):
            return
        elif name.startswith("_") and name.endswith("_"):
            self._refuse(target, f"'{name}' is a name that enums reserve", "choose another name")
        else:
            number = self._number(value, name)
            self._numbers[name] = number.value
            self._found.append(nodes.Enumerator(nodes.Name(name, self._file.span(target)), number, ()))

    def _ignore(self, value: ast.expr) -> None:
        try:
            names = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, RecursionError):
            names = None
        if isinstance(names, str):
            names = names.replace(",", " ").split()
        if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
            self._ignored = set(names)
        else:
            self._refuse(value, "the names of '_ignore_' cannot be read", "write them out, as in ['A', 'B']")

    def _is_no_member(self, value: ast.expr) -> bool:
        """Whether a value makes no member: a function, or `enum.nonmember(...)`."""
        is_nonmember = isinstance(value, ast.Call) and self._scope.meaning(value.func) == "enum.nonmember"
        return isinstance(value, ast.Lambda) or is_nonmember

    def _number(self, value: ast.expr, name: str) -> nodes.Number:
        found = self._numbers.get(value.id) if isinstance(value, ast.Name) else _constant(value)
        span = self._file.span(value)
        if found is None:
            hint = f"write it out, as in '{name} = 1'"
            self._report.error(span, f"the number of '{name}' cannot be read", hint)
        elif found < 0 and self._is_flag:
            message = f"'{name}' is negative, which a flag makes another number of"
            self._report.error(span, message, "write the bits that it sets")
        return nodes.Number(str(found or 0), span)

    def _refuse(self, node: ast.expr | ast.stmt, message: str, hint: str) -> None:
        self._report.error(self._file.span(node), message, hint)


def _is_private(name: str, enum: str) -> bool:
    """Whether Python makes no member of a name: `__name`, `__name__` and `_Enum__name`, but not `_name`."""
    if name.startswith("__") and not name.endswith("__") and enum.strip("_"):
        name = f"_{enum.lstrip('_')}{name}"
    mangled = f"_{enum}__"
    is_mangled = len(name) > len(mangled) and name.startswith(mangled) and not name.endswith("__")
    return is_mangled or re.fullmatch(r"__[^_](.*[^_])?__", name) is not None


def _makes_nothing(statement: ast.stmt) -> bool:
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_text or isinstance(statement, (ast.Pass, ast.FunctionDef, ast.AsyncFunctionDef))


def _constant(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if type(value) is int and value.bit_length() <= MAX_BITS else None
