"""Owns the stages of the compiler and their order: source, tokens, nodes, model, text.

Must not know command lines, nor how a module is written to disk.
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
from ipcc.includes import IncludePaths, follow_includes, is_in_package
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

    Includes are looked for next to the including file, then in `folders`. `types` are Python files that every
    file includes. `output` is the path of the module: if it is in a package, the module imports the classes
    of `#include "x.py"` from there.

    Raises:
        CompileError: the interfaces are wrong, or a file cannot be read.
    """
    where = IncludePaths(tuple(folders), tuple(types), is_in_package(output))
    return emit(_model_of_files(paths, where))


def compile_sources(sources: Sequence[Source], folders: Iterable[str] = ()) -> str:
    """Compile interfaces that are in memory, as `compile_files` does.

    Raises:
        CompileError: the interfaces are wrong, or a file that they include cannot be read.
    """
    return emit(_model(sources, IncludePaths(tuple(folders)), Report()))


def model_of(
    paths: Sequence[str],
    folders: Iterable[str] = (),
    types: Iterable[str] = (),
) -> Compilation:
    """The checked model of interface files, for tools that write no module.

    Raises:
        CompileError: the interfaces are wrong, or a file cannot be read.
    """
    return _model_of_files(paths, IncludePaths(tuple(folders), tuple(types), None))


def load(path: str | PathLike[str], folders: Iterable[str] = (), types: Iterable[str] = ()) -> ModuleType:
    """Compile an interface file in memory and return its module, for scripts and tests.

    The module is not in `sys.modules`, and a debugger sees its text. Registered classes must be importable.

    Raises:
        CompileError: the interface is wrong, or a file cannot be read.
    """
    text = compile_files([fspath(path)], folders, types)
    stem, _ = splitext(basename(fspath(path)))
    filename = f"<ipcc {fspath(path)}>"
    linecache.cache[filename] = (
        len(text),
        None,
        [f"{line}\n" for line in text.removesuffix("\n").split("\n")],
        filename,
    )
    module = ModuleType(f"{stem}_ipc")
    exec(compile(text, filename, "exec"), module.__dict__)
    return module


def _model_of_files(paths: Sequence[str], where: IncludePaths) -> Compilation:
    report = Report()
    sources = [source for path in paths if (source := _read(path, report))]
    return _model(sources, where, report)


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
