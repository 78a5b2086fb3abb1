"""Owns the command `ipcc`: its arguments, its output, and its exit codes.

Must not know how a tool does its work. The exit code is 0 if all is well, 1 if the input is wrong, 2 if the
command line is wrong, and 130 after Ctrl-C; commands of other packages have more.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from signal import SIGINT

from ipcc._version import __version__
from ipcc.compiler import compile_files, model_of
from ipcc.describe import as_json as described_as_json
from ipcc.describe import described
from ipcc.diagnostics import CommandError, CompileError, Diagnostic
from ipcc.diff import compare
from ipcc.extensions import Command, command_names, find_command
from ipcc.formatter import format_source
from ipcc.output import write_whole
from ipcc.source import source_of
from ipcc.terminal import complain, json_text, print_text, silence_output

_EPILOG = "Other commands: {}; 'ipcc COMMAND --help' explains one. Write './check' for a file named 'check'."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except CommandError as error:
        complain(f"ipcc: error: {error}")
        return error.code
    except BrokenPipeError:
        silence_output()
        return 1
    except KeyboardInterrupt:
        return 128 + SIGINT


class _MainParser(ArgumentParser):
    """The parser of `ipcc` itself, whose help names all commands; it looks up those of other packages."""

    def format_help(self) -> str:
        """Return the text of the help."""
        self.epilog = _EPILOG.format(", ".join([*filter(None, _COMMANDS), *command_names()]))
        return super().format_help()


def _run(given: list[str]) -> int:
    name = given.pop(0) if given and given[0] in _COMMANDS else ""
    if given and not name and _WORD.fullmatch(given[0]):
        extension = find_command(given[0])
        if extension is not None:
            return _run_extension(given.pop(0), extension, given)
        _refuse_unknown_command(given[0])
    add_arguments, run = _COMMANDS[name]
    parser = ArgumentParser(f"ipcc {name}") if name else _MainParser("ipcc")
    parser.set_defaults(diagnostics_as_json=False)
    add_arguments(parser)
    options = parser.parse_args(given)
    _refuse_what_is_no_interface(options)
    try:
        return run(options)
    except CompileError as error:
        _show(error.diagnostics, options)
        return 1


def _run_extension(name: str, command: Command, given: list[str]) -> int:
    parser = ArgumentParser(f"ipcc {name}")
    parser.set_defaults(diagnostics_as_json=False)
    command.add_arguments(parser)
    options = parser.parse_intermixed_args(given)
    try:
        return command.run(options)
    except CompileError as error:
        _show(error.diagnostics, options)
        return 1


_WORD = re.compile(r"[A-Za-z][\w-]*")
"""What may be a misspelt command: a file of this name is hardly an interface."""

_INSTEAD = {
    **dict.fromkeys(("help", "usage"), "'ipcc --help'"),
    "version": "'ipcc --version'",
    **dict.fromkeys(("compile", "build", "generate", "gen"), "'ipcc FILE... -o OUT'"),
    **dict.fromkeys(("lint", "verify", "validate"), "'ipcc check'"),
    **dict.fromkeys(("fmt", "tidy"), "'ipcc format'"),
    **dict.fromkeys(("show", "print", "dump", "info", "introspect"), "'ipcc describe'"),
    **dict.fromkeys(("compare", "changes"), "'ipcc diff'"),
}
"""The commands of other tools, and what does the same here."""


def _refuse_unknown_command(word: str) -> None:
    if os.path.exists(word):
        return
    commands = [*filter(None, _COMMANDS), *command_names()]
    near = get_close_matches(word, [*commands, *_INSTEAD], n=1)
    meant = f"did you mean {_INSTEAD.get(near[0], repr(f'ipcc {near[0]}'))}?" if near else ""
    known = f"the commands are {', '.join(commands[:-1])} and {commands[-1]}"
    raise CommandError(f"there is no command and no file '{word}': {meant or known}")


def _refuse_what_is_no_interface(options: Namespace) -> None:
    files = options.files if "files" in options else (options.old, options.new)
    for file in files:
        if file.endswith((".py", ".pyi")):
            hint = "include it in an interface file (.ipc), or give it with --types"
            raise CommandError(f"'{file}' is a Python file: {hint}")
        if file in _COMMANDS and file and not os.path.exists(file):
            raise CommandError(f"there is no file '{file}': the command comes first, as in 'ipcc {file} ...'")


# --- ipcc ---


def _compile_arguments(parser: ArgumentParser) -> None:
    parser.description = "Compile IPC interfaces to a Python module."
    parser.add_argument("--version", action="version", version=f"ipcc {__version__}")
    _add_interfaces(parser)
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="the module to write, instead of standard output"
    )
    _add_json_diagnostics(parser)


def _compile(options: Namespace) -> int:
    if options.output is None and options.diagnostics_as_json:
        raise CommandError("--json needs '-o OUT': standard output cannot hold the module as well")
    if options.output is not None:
        _refuse_own_source(options.output, options.files)
    text = compile_files(options.files, options.include, options.types, options.output)
    if options.output is None:
        print_text(text)
    else:
        _write(options.output, text)
        _show((), options)
    return 0


def _refuse_own_source(output: str, files: Sequence[str]) -> None:
    """Refuse to replace a source. Standard input and output may both be one terminal or socket."""
    for file in files:
        if os.path.isfile(output) and os.path.isfile(file) and os.path.samefile(output, file):
            raise CommandError(f"'{output}' is a source: choose another output")


# --- ipcc check ---


def _check_arguments(parser: ArgumentParser) -> None:
    parser.description = "Show the mistakes in IPC interfaces, and write nothing."
    _add_interfaces(parser)
    parser.add_argument(
        "--generated", metavar="OUT", help="a module that must be exactly what the compiler would write"
    )
    _add_json_diagnostics(parser)


def _check(options: Namespace) -> int:
    if options.generated is None:
        model_of(options.files, options.include, options.types)
    else:
        text = compile_files(options.files, options.include, options.types, options.generated)
        _refuse_stale(options.generated, text, options)
    _show((), options)
    return 0


def _refuse_stale(module: str, text: str, options: Namespace) -> None:
    if _content(module) != text.encode():
        folders = [word for folder in options.include for word in ("-I", folder)]
        types = [word for file in options.types for word in ("--types", file)]
        command = shlex.join(["ipcc", *options.files, *folders, *types, "-o", module])
        raise CompileError([Diagnostic(module, "out of date", f'run "{command}"')])


def _content(path: str) -> bytes:
    with _reading(path), open(path, "rb") as file:
        return file.read()


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CompileError([Diagnostic(path, "cannot read", error.strerror or str(error))]) from error
    except ValueError as error:
        raise CompileError([Diagnostic(path, "cannot read", str(error))]) from error


# --- ipcc format ---


def _format_arguments(parser: ArgumentParser) -> None:
    parser.description = "Put interface files into canonical style. Files with errors stay as they are."
    parser.add_argument("files", nargs="+", metavar="FILE", help="an interface file (.ipc)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file would change")


def _format(options: Namespace) -> int:
    diagnostics: list[Diagnostic] = []
    for path in options.files:
        try:
            diagnostics += _format_one(path, only_check=options.check)
        except CompileError as error:
            diagnostics += error.diagnostics
    if diagnostics:
        raise CompileError(diagnostics)
    return 0


def _format_one(path: str, *, only_check: bool) -> list[Diagnostic]:
    """Format a file, which is read once: a pipe gives its text but once."""
    data = _content(path)
    text = format_source(source_of(path, data))
    if text.encode() == data:
        return []
    if only_check:
        return [Diagnostic(path, "not in canonical style", f"run '{shlex.join(['ipcc', 'format', path])}'")]
    if not os.path.isfile(path):
        raise CommandError(f"'{path}' is not a regular file: only --check takes it")
    _write(path, text)
    return []


# --- ipcc describe ---


def _describe_arguments(parser: ArgumentParser) -> None:
    parser.description = "Show the contents of interfaces: endpoints, magics, message ids, signatures, types."
    _add_interfaces(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _describe(options: Namespace) -> int:
    model = model_of(options.files, options.include, options.types)
    print_text(json_text(described_as_json(model)) if options.json else described(model))
    return 0


# --- ipcc diff ---


def _diff_arguments(parser: ArgumentParser) -> None:
    parser.description = "Show what a change of an interface breaks, and exit with 1 if it breaks anything."
    parser.add_argument("old", metavar="OLD", help="the interface file (.ipc) before the change")
    parser.add_argument("new", metavar="NEW", help="the interface file (.ipc) after the change")
    _add_where_types_are(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON array")


def _diff(options: Namespace) -> int:
    old, new = (model_of([path], options.include, options.types) for path in (options.old, options.new))
    changes = compare(old, new)
    if options.json:
        print_text(json_text([change.as_json() for change in changes]))
    else:
        print_text("".join(f"{change}\n" for change in changes))
    return 1 if any(change.breaks for change in changes) else 0


# --- arguments ---


def _add_interfaces(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="an interface file (.ipc)")
    _add_where_types_are(parser)


def _add_where_types_are(parser: ArgumentParser) -> None:
    parser.add_argument(
        "-I",
        dest="include",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder to look for includes in",
    )
    parser.add_argument(
        "--types",
        action="append",
        default=[],
        metavar="FILE.py",
        help="a Python file whose registered types every interface file may use",
    )


def _add_json_diagnostics(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--json",
        dest="diagnostics_as_json",
        action="store_true",
        help="print the diagnostics as a JSON array on standard output",
    )


# --- printing and writing ---


def _show(diagnostics: Iterable[Diagnostic], options: Namespace) -> None:
    if options.diagnostics_as_json:
        print_text(json_text([diagnostic.as_json() for diagnostic in diagnostics]))
        return
    if sys.stderr is None:  # closed, as by `2>&-`
        return
    in_colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for diagnostic in diagnostics:
        complain(diagnostic.shown(in_colour=in_colour))


def _write(path: str, text: str) -> None:
    try:
        write_whole(path, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"cannot write '{path}': {error.strerror}") from error


_COMMANDS: dict[str, tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]] = {
    "": (_compile_arguments, _compile),
    "check": (_check_arguments, _check),
    "format": (_format_arguments, _format),
    "describe": (_describe_arguments, _describe),
    "diff": (_diff_arguments, _diff),
}
