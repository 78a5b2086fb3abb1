"""Owns what names mean in a Python module: what was imported, what is a builtin, which class has the name.

Must not know interfaces. The module is never run: a name that several statements bind means nothing here.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

_OWN = ""
"""The meaning of a name that the module binds to something of its own."""


class Scope:
    """The names of a module."""

    def __init__(self, tree: ast.Module) -> None:
        self._meanings: dict[str, list[str]] = {}
        for name, meaning in _bindings(tree):
            self._meanings.setdefault(name, []).append(meaning)
        self._classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

    def meaning(self, node: ast.expr) -> str:
        """What a dotted name means: `ipclib.i32`, `enum.Enum`, `builtins.str`; empty for anything else."""
        if isinstance(node, ast.Attribute):
            owner = self.meaning(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        if not isinstance(node, ast.Name):
            return ""
        if node.id in self._meanings:
            return "" if self.has_several_meanings(node.id) else self._meanings[node.id][0]
        return f"builtins.{node.id}" if hasattr(builtins, node.id) else ""

    def has_several_meanings(self, name: str) -> bool:
        """Whether the module binds a name to different things, so that only running it would tell."""
        meanings = self._meanings.get(name, [])
        return len(set(meanings)) > 1 or (len(meanings) > 1 and _OWN in meanings)

    def class_named(self, node: ast.expr) -> ast.ClassDef | None:
        """The class of the module's top level that a name means."""
        if not isinstance(node, ast.Name) or self.has_several_meanings(node.id):
            return None
        return self._classes.get(node.id)


def bound_names(statements: list[ast.stmt]) -> set[str]:
    """The names that statements bind in their own scope; an annotation alone binds none."""
    return {name for statement in statements for name, _ in _bindings(statement)}


def _bindings(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The names that a node binds in its scope, each with its meaning."""
    for part in _in_scope(node):
        if isinstance(part, ast.ImportFrom):
            yield from _imported_from(part)
        elif isinstance(part, ast.Import):
            yield from _imported(part)
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield part.name, _OWN
        elif isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            yield part.id, _OWN
        elif isinstance(part, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and part.name:
            yield part.name, _OWN
        elif isinstance(part, ast.MatchMapping) and part.rest:
            yield part.rest, _OWN
        elif isinstance(part, ast.Global):
            yield from ((name, _OWN) for name in part.names)


def _in_scope(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope; of a function or class inside it, itself and its `global` statements."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from (inner for inner in ast.walk(part) if isinstance(inner, ast.Global))
        elif isinstance(part, ast.AnnAssign) and part.value is None:
            continue
        else:
            waiting += ast.iter_child_nodes(part)


def _imported_from(node: ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """The names of `from ipclib import i32 as number`."""
    for alias in node.names:
        if alias.name != "*":
            yield alias.asname or alias.name, _OWN if node.level else f"{node.module}.{alias.name}"


def _imported(node: ast.Import) -> Iterator[tuple[str, str]]:
    """The names of `import ipclib.gfx`, which binds `ipclib`, and of `import ipclib as ipc`."""
    for alias in node.names:
        if alias.asname:
            yield alias.asname, alias.name
        else:
            package = alias.name.partition(".")[0]
            yield package, package
