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
from ipcc.includes import refuse_includes
from ipcc.parser import parse
from ipcc.source import Source, read_source
from ipcc.tokens import tokenize


def compile_files(paths: Sequence[str], folders: Iterable[str] = ()) -> str:
    """Compile interface files to the text of one Python module.

    `folders` are where includes are looked for besides the including file's own. Raises CompileError.
    """
    report = Report()
    sources = [source for path in paths if (source := _read(path, report))]
    return _compile(sources, folders, report)


def compile_sources(sources: Sequence[Source], folders: Iterable[str] = ()) -> str:
    """The same for texts that are in memory."""
    return _compile(sources, folders, Report())


def load(path: str | PathLike[str], folders: Iterable[str] = ()) -> ModuleType:
    """Compile an interface file in memory and return its module, for scripts and tests.

    Raises CompileError. The module is not in `sys.modules`; a debugger sees its text.
    """
    text = compile_files([fspath(path)], folders)
    stem, _ = splitext(basename(fspath(path)))
    filename = f"<ipcc {fspath(path)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    module = ModuleType(f"{stem}_ipc")
    exec(compile(text, filename, "exec"), module.__dict__)
    return module


def _compile(sources: Sequence[Source], folders: Iterable[str], report: Report) -> str:
    files = [_parse(source, report) for source in sources]
    refuse_includes(files, folders, report)
    model = check(files, report)
    if report:
        raise CompileError(report.in_order_of(sources))
    return emit(model)


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
