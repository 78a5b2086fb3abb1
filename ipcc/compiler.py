"""The pipeline end to end: source, tokens, nodes, model, text.

Knows the stages and their order; nothing of command lines.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Sequence
from os import PathLike, fspath, strerror
from os.path import basename, splitext
from types import ModuleType

from ipcc import nodes
from ipcc.checker import check
from ipcc.diagnostics import CompileError, Report
from ipcc.emitter import emit
from ipcc.includes import IncludePaths, follow_includes, include_paths
from ipcc.model import Compilation
from ipcc.parser import parse
from ipcc.source import Source, read_source
from ipcc.tokens import tokenize


def compile_files(
    paths: Sequence[str],
    folders: Iterable[str] = (),
    types: Iterable[str] = (),
    output: str | None = None,
) -> str:
    """Compile interface files to the text of one Python module.

    `folders` are where includes are looked for besides the including file's own, `types` Python files that
    every file includes, `output` where the module will lie: in a package it imports what `#include "x.py"`
    names from that. Raises CompileError.
    """
    return emit(model_of(paths, folders, types, output))


def compile_sources(sources: Sequence[Source], folders: Iterable[str] = ()) -> str:
    """The same for texts that are in memory."""
    return emit(_model(sources, IncludePaths(tuple(folders)), Report()))


def model_of(
    paths: Sequence[str],
    folders: Iterable[str] = (),
    types: Iterable[str] = (),
    output: str | None = None,
) -> Compilation:
    """The checked model of interface files, for tools. Raises CompileError."""
    report = Report()
    sources = [source for path in paths if (source := _read(path, report))]
    return _model(sources, include_paths(folders, types, output), report)


def load(path: str | PathLike[str], folders: Iterable[str] = (), types: Iterable[str] = ()) -> ModuleType:
    """Compile an interface file in memory and return its module, for scripts and tests.

    Raises CompileError. The module is not in `sys.modules`; a debugger sees its text. Registered Python
    modules must be importable.
    """
    text = compile_files([fspath(path)], folders, types)
    stem, _ = splitext(basename(fspath(path)))
    filename = f"<ipcc {fspath(path)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    module = ModuleType(f"{stem}_ipc")
    exec(compile(text, filename, "exec"), module.__dict__)
    return module


def _model(sources: Sequence[Source], paths: IncludePaths, report: Report) -> Compilation:
    files = [_parse(source, report) for source in sources]
    brought = follow_includes(files, paths, lambda source: _parse(source, report), report)
    model = check(files, report, brought.files, brought.registered)
    if report:
        raise CompileError(report.in_order_of((*sources, *brought.sources)))
    return model


def _parse(source: Source, report: Report) -> nodes.File:
    return parse(source, tokenize(source, report), report)


def _read(path: str, report: Report) -> Source | None:
    try:
        return read_source(path)
    except OSError as error:
        report.error(path, "cannot read", strerror(error.errno) if error.errno else str(error))
    except ValueError as error:
        report.error(path, "cannot read", str(error))
    return None
