"""Owns the stages of the compiler and their order: source, tokens, nodes, model, text.

Must not know command lines, nor how a module is written to disk.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath, strerror
from os.path import basename, splitext
from types import MappingProxyType, ModuleType

from ipcc import nodes
from ipcc.checker import check
from ipcc.description import is_of_service, own_codecs, without_repetitions
from ipcc.diagnostics import CompileError, Diagnostic, Report
from ipcc.emitter import emit
from ipcc.extensions import interface_of_service
from ipcc.includes import IncludePaths, follow_includes, is_in_package
from ipcc.model import Compilation
from ipcc.parser import parse
from ipcc.python_types import RegisteredClass
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
    model = _model_of_files(paths, where)
    for definition in model.imported:
        if definition.registered and not definition.registered.module:
            hint = "only the interface file says in which Python module it is: compile that file"
            raise CompileError([Diagnostic(paths[0], f"'{definition.name}' has a codec of its own", hint)])
    return emit(model)


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
    return _executed(text, f"{stem}_ipc", f"<ipcc {fspath(path)}>")


def model_of_description(text: str, path: str, module: str) -> Compilation:
    """The checked model of the interface that the service at a socket path describes.

    Classes with codecs of their own are imported from `module`, each under its name with `__` for `::`.

    Raises:
        CompileError: the text is no interface.
    """
    report = Report()
    source = Source(path, text)
    return _model([source], IncludePaths(), report, {source: own_codecs(source, module)})


def loaded(model: Compilation, name: str) -> ModuleType:
    """The module of a model, in memory, as `load` returns it."""
    return _executed(emit(model), name, f"<ipcc {name}>")


def _executed(text: str, name: str, filename: str) -> ModuleType:
    linecache.cache[filename] = (
        len(text),
        None,
        [f"{line}\n" for line in text.removesuffix("\n").split("\n")],
        filename,
    )
    module = ModuleType(name)
    exec(compile(text, filename, "exec"), module.__dict__)
    return module


def _model_of_files(paths: Sequence[str], where: IncludePaths) -> Compilation:
    report = Report()
    sources: list[Source] = []
    described: dict[Source, tuple[RegisteredClass, ...]] = {}
    for path in paths:
        if is_of_service(path):
            sources.append(Source(path, interface_of_service(path)))
            described[sources[-1]] = own_codecs(sources[-1], "")
        elif source := _read(path, report):
            sources.append(source)
    return _model(sources, where, report, described)


def _model(
    sources: Sequence[Source],
    paths: IncludePaths,
    report: Report,
    described: Mapping[Source, tuple[RegisteredClass, ...]] = MappingProxyType({}),
) -> Compilation:
    """The model of sources; those that services describe have their classes with codecs of their own."""
    files = [_parse(source, report) for source in sources]
    files = [without_repetitions(file, report) if file.source in described else file for file in files]
    brought = follow_includes(files, paths, lambda source: _parse(source, report), report)
    registered = (*brought.registered, *(each for classes in described.values() for each in classes))
    model = check(files, report, brought.files, registered)
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
