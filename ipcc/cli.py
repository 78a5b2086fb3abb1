"""The command `ipcc`: arguments, output files, exit codes (0 fine, 1 wrong input, 2 wrong command line).

Knows the terminal and the file system; of the compiler only its one entry.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from ipcc.compiler import compile_files
from ipcc.diagnostics import CommandError, CompileError

_EPILOG = "'ipcc check FILE...' shows what is wrong and writes nothing. A file named 'check' is './check'."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] == ["check"]:
            _check(given[1:])
        else:
            _compile(given)
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    except CommandError as error:
        print(f"ipcc: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _silence_output()
        return 1
    return 0


def _compile(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("ipcc", description="Compile IPC interfaces to Python.", epilog=_EPILOG)
    _add_inputs(parser)
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="the module to write, instead of standard output"
    )
    options = parser.parse_args(arguments)
    if options.output is not None:
        _refuse_own_source(options.output, options.files)
    text = compile_files(options.files, options.include)
    if options.output is None:
        _print(text)
    else:
        _write(options.output, text)


def _check(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("ipcc check", description="Show what is wrong with IPC interfaces.")
    _add_inputs(parser)
    options = parser.parse_args(arguments)
    compile_files(options.files, options.include)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="an interface file (.ipc)")
    parser.add_argument(
        "-I",
        dest="include",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder to look for includes in",
    )


def _refuse_own_source(output: str, files: Sequence[str]) -> None:
    for file in files:
        if os.path.exists(output) and os.path.exists(file) and os.path.samefile(output, file):
            raise CommandError(f"'{output}' is a source: choose another output")


def _print(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def _write(path: str, text: str) -> None:
    """Write a regular file whole or not at all; what is no regular file, such as /dev/null, directly."""
    target = os.path.realpath(path)
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            with open(target, "w", encoding="utf-8") as file:
                file.write(text)
        else:
            _replace(target, text)
    except OSError as error:
        raise CommandError(f"cannot write '{path}': {error.strerror}") from error


def _replace(target: str, text: str) -> None:
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _silence_output() -> None:
    """Python flushes standard output once more at exit, into the pipe that broke."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
