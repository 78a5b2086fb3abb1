"""Owns files that are written as a whole or not at all, and `compile_file`, for build scripts.

Must not know the stages of the compiler.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from os import PathLike, fspath
from stat import S_IMODE, S_ISREG

from ipcc.compiler import compile_files

_MOST_LINKS = 40
"""Linux follows at most this many links in a path."""


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
    """Write a regular file as a whole or not at all. Anything else, such as a pipe, is written directly.

    A link is followed, and a file that is replaced keeps its permissions. A name of a descriptor of this
    process, such as /dev/stdout or /dev/fd/63, means that descriptor, whatever it leads to.

    Raises:
        OSError: the file cannot be written.
    """
    target = _destination(path)
    if isinstance(target, int):
        _write(os.dup(target), text)
    elif _is_regular_or_new(target):
        _replace(target, text)
    else:
        _write(os.open(target, os.O_WRONLY | os.O_CLOEXEC), text)


def _destination(path: str) -> str | int:
    """Follow links to the file that a path means, or to the number of a descriptor of this process.

    The kernel's own links are not followed: /proc/self/fd/1 says `pipe:[4711]` of a pipe, which is no path.
    """
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        if name.isdecimal() and _holds_own_descriptors(folder):
            return int(name)
        if not os.path.islink(path):
            return path
        path = os.path.join(folder, os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _holds_own_descriptors(folder: str) -> bool:
    process = f"/proc/{os.getpid()}"
    return os.path.realpath(folder) in (f"{process}/fd", f"{process}/task/{os.getpid()}/fd")


def _is_regular_or_new(path: str) -> bool:
    try:
        return S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


def _write(descriptor: int, text: str) -> None:
    with open(descriptor, "wb") as file:
        file.write(text.encode())


def _replace(path: str, text: str) -> None:
    """Write another file in the same folder, and give it the name.

    The folder is held open, and the other file's name is short and random: a path at the system's limit has
    no room for a longer one, and several processes or threads may write one output at once.
    """
    folder, name = os.path.split(path)
    at = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    temporary = f".ipcc-{os.urandom(8).hex()}.tmp"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o666, dir_fd=at), "wb") as file:
            with suppress(FileNotFoundError):
                os.fchmod(file.fileno(), S_IMODE(os.stat(name, dir_fd=at).st_mode))
            file.write(text.encode())
        os.replace(temporary, name, src_dir_fd=at, dst_dir_fd=at)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=at)
        os.close(at)
