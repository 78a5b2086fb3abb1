"""Owns files that are written as a whole or not at all, and `compile_file`, for build scripts.

Must not know the stages of the compiler.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from os import PathLike, fspath
from stat import S_IMODE

from ipcc.compiler import compile_files


def compile_file(
    source: str | PathLike[str],
    output: str | PathLike[str],
    folders: Iterable[str] = (),
    types: Iterable[str] = (),
) -> None:
    """Compile an interface file to a Python module on disk, as `ipcc SOURCE -o OUTPUT` does.

    Includes are looked for next to the source, then in `folders`; `types` are Python files that register
    classes. An error leaves an earlier output as it was.

    Raises:
        CompileError: the interface is wrong, or a file cannot be read.
        OSError: the module cannot be written.
    """
    path = fspath(output)
    write_whole(path, compile_files([fspath(source)], folders, types, path))


def write_whole(path: str, text: str) -> None:
    """Write a regular file as a whole or not at all. Anything else, such as /dev/null, is written directly.

    A link is followed, and a file that is replaced keeps its permissions.

    Raises:
        OSError: the file cannot be written.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        _replace(target, text)


def _replace(target: str, text: str) -> None:
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), S_IMODE(os.stat(target).st_mode))
        os.replace(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
