"""Owns what `#include` brings: structs and enums of interface files, registered classes of Python modules.

Must not know the content of files beyond their includes, nor how a registered class is read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, KeysView, Sequence
from keyword import iskeyword

import attrs

from ipcc import nodes
from ipcc.diagnostics import Report
from ipcc.names import normal
from ipcc.python_source import read_python
from ipcc.python_types import RegisteredClass, registered_classes
from ipcc.source import Source, Span, read_source

Parse = Callable[[Source], nodes.File]


@attrs.frozen
class Included:
    """The files and registered classes that includes bring, each once, in order of first mention."""

    files: tuple[nodes.File, ...]
    registered: tuple[RegisteredClass, ...]
    sources: tuple[Source, ...]


@attrs.frozen
class IncludePaths:
    """Where includes are looked for, and where the output will be."""

    folders: tuple[str, ...] = ()
    """The folders that are searched after the including file's own."""
    types: tuple[str, ...] = ()
    """Python files that every file includes."""
    output_is_in_package: bool | None = False
    """None for tools that write no module, which take what some output could import."""


def follow_includes(
    files: Sequence[nodes.File], paths: IncludePaths, parse: Parse, report: Report
) -> Included:
    """Follow the includes of files. Those that cannot be found or read, and cycles, are reported."""
    return _Includes(files, paths, parse, report).follow()


class _Includes:
    def __init__(
        self, files: Sequence[nodes.File], paths: IncludePaths, parse: Parse, report: Report
    ) -> None:
        self._files = files
        self._paths = paths
        self._parse = parse
        self._report = report
        self._known = {os.path.realpath(file.source.path): file for file in files}
        self._new: list[nodes.File] = []
        self._modules: dict[str, str] = {}
        self._registered: list[RegisteredClass] = []
        self._sources: list[Source] = []
        self._finished: set[str] = set()

    def follow(self) -> Included:
        for path in self._paths.types:
            self._types_file(path)
        for file in self._files:
            self._follow(file)
        return Included(tuple(self._new), tuple(self._registered), tuple(self._sources))

    def _follow(self, root: nodes.File) -> None:
        """Follow includes depth first. The path is not the call stack, since chains may be long.

        It holds each file that is being followed, by its real path, with those of its includes that remain.
        """
        path = {os.path.realpath(root.source.path): (root, iter(root.includes))}
        while path:
            real, (file, remaining) = next(reversed(path.items()))
            include = next(remaining, None)
            if include is None:
                self._finished.add(real)
                del path[real]
            elif included := self._include(include, file, path.keys()):
                path[included] = self._known[included], iter(self._known[included].includes)

    def _include(self, include: nodes.Include, file: nodes.File, path: KeysView[str]) -> str | None:
        """The real path of the interface file to follow next, if the include brings a new one."""
        if not include.path.endswith((".ipc", ".py")):
            return None
        found = self._find(include, file.source)
        if found is None:
            hint = "looked for next to the file and in the -I folders"
            self._report.error(include.span, f"cannot find '{include.path}'", hint)
        elif include.path.endswith(".py"):
            self._module(found, include.path, include.is_quoted, include.span)
        else:
            return self._interface(found, include, path)
        return None

    def _find(self, include: nodes.Include, source: Source) -> str | None:
        for folder in (os.path.dirname(source.path), *self._paths.folders):
            path = os.path.join(folder, include.path)
            if os.path.isfile(path):
                return path
        return None

    # --- interface files ---

    def _interface(self, found: str, include: nodes.Include, path: KeysView[str]) -> str | None:
        real = os.path.realpath(found)
        if real in path:
            open_files = list(path)
            by_way = [os.path.basename(name) for name in open_files[open_files.index(real) + 1 :]]
            message = f"'{include.path}' includes itself"
            message += f", by way of {', '.join(map(repr, by_way))}" if by_way else ""
            self._report.error(
                include.span, message, "move the types that both need into a file of their own"
            )
            return None
        if real in self._finished:
            return None
        if real not in self._known:
            source = self._read(found, include.span)
            if source is None:
                return None
            self._known[real] = self._parse(source)
            self._new.append(self._known[real])
        return real

    def _read(
        self, path: str, place: Span | str, read: Callable[[str], Source] = read_source
    ) -> Source | None:
        try:
            source = read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._report.error(place, f"cannot read '{path}'", reason)
            return None
        self._sources.append(source)
        return source

    # --- Python modules ---

    def _types_file(self, path: str) -> None:
        if not os.path.isfile(path):
            self._report.error(
                path, "cannot read", "No such file" if not os.path.exists(path) else "not a file"
            )
            return
        is_elsewhere = os.path.isabs(path) or ".." in path.split("/")
        self._module(path, os.path.basename(path) if is_elsewhere else os.path.normpath(path), True, path)

    def _module(self, found: str, path: str, is_quoted: bool, place: Span | str) -> None:
        """Read the module at `found`, which is included as `path`."""
        real = os.path.realpath(found)
        in_package = self._paths.output_is_in_package
        name = _module_name(path, in_package=is_quoted and bool(in_package))
        if self._modules.setdefault(real, name) != name:
            message = f"'{found}' is included as '{name}' and as '{self._modules[real]}'"
            self._report.error(place, message, "include it under one name")
            return
        is_relative = is_quoted and in_package is not False
        if real in self._finished or not self._check_module_name(path, name, place, is_relative=is_relative):
            return
        self._finished.add(real)
        source = self._read(found, place, read_python)
        if source:
            self._registered += registered_classes(source, name, self._report)

    def _check_module_name(self, path: str, name: str, place: Span | str, *, is_relative: bool) -> bool:
        parts = path.removesuffix(".py").split("/")
        if not all(part.isidentifier() and not iskeyword(part) and normal(part) == part for part in parts):
            message = f"'{name}' is not a valid name of a Python module"
            self._report.error(place, message, "rename the file, or its folder")
            return False
        if parts[0] in sys.stdlib_module_names and not is_relative:
            message = f"'{parts[0]}' is a module of the standard library"
            self._report.error(place, message, "rename the file, or include it from the folder above")
            return False
        return True


def _module_name(path: str, *, in_package: bool) -> str:
    """The module of a Python file as an import statement spells it. The file of a package has its name."""
    parts = path.removesuffix(".py").split("/")
    if parts[-1] == "__init__" and (in_package or len(parts) > 1):
        parts.pop()
    return ("." if in_package else "") + ".".join(parts)


def is_in_package(output: str | None) -> bool:
    """Whether a module at this path is in a package."""
    return output is not None and os.path.isfile(os.path.join(os.path.dirname(output), "__init__.py"))
