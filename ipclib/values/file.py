"""Owns File: one descriptor with one owner, as messages carry it.
Must not know messages or sockets.
"""

from __future__ import annotations

import io
import os
import warnings
from types import TracebackType
from typing import Protocol, Self

from corelib.turn import NotCopied

# The descriptor of a File that owns none says why.
_CLOSED = -1
_MOVED = -2


class HasFileno(Protocol):
    """A Python file, a socket, or another object with a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


class File(NotCopied):
    """Owns one file descriptor and closes it exactly once.

    Sending a File moves its descriptor: afterwards the File is empty. The handler or caller that received a
    File owns it: they close it, take its descriptor, or send it on. Dropping the last reference closes the
    descriptor too, with a ResourceWarning as for Python's own files. The warning names the message that
    brought the File.
    """

    __slots__ = ("_fd", "brought_by")

    def __init__(self, fd: int) -> None:
        """Take over `fd`.

        Raises:
            TypeError: it is not an int.
            ValueError: it is negative.
        """
        self._fd = _CLOSED
        self.brought_by = ""
        """The name of the message that brought it; empty if this process made it."""
        if not isinstance(fd, int) or isinstance(fd, bool):
            raise TypeError(
                f"File takes a descriptor number, not {fd!r}; File.from_file() takes a Python file, "
                "and File.open() a path"
            )
        if fd < 0:
            raise ValueError(f"File takes an open descriptor, not {fd}")
        self._fd = fd

    @classmethod
    def open(cls, path: str | bytes | os.PathLike[str] | os.PathLike[bytes], mode: str = "r") -> Self:
        """Open a file, in a mode as Python's open() takes it: "r", "w", "a" or "x", with or without "+".

        Raises:
            OSError: it cannot be opened.
            ValueError: there is no such mode.
        """
        if isinstance(path, int):
            raise TypeError(f"File.open() takes a path, not {path!r}; File() takes a descriptor")
        with io.FileIO(path, mode) as file:
            return cls(os.dup(file.fileno()))

    @classmethod
    def from_file(cls, file: HasFileno) -> Self:
        """A File of what a Python file or socket has open, with a descriptor of its own (dup(2)).

        What the Python file still buffers for writing is written first. The position is shared: a Python file
        that was read from has read ahead.

        Raises:
            ValueError: the file is closed.
            OSError: no descriptor is left, or the object has none.
        """
        flush = getattr(file, "flush", None)
        if flush is not None:
            flush()
        return cls(os.dup(file.fileno()))

    def fileno(self) -> int:
        """The descriptor, which the File still owns.

        Raises:
            ValueError: it was closed, taken or sent.
        """
        if self._fd < 0:
            raise ValueError("this File is empty: it was closed, taken or sent; send a clone() to keep it")
        return self._fd

    def take_fd(self) -> int:
        """Return the descriptor, which the caller owns from now on.

        Raises:
            ValueError: it was closed, taken or sent.
        """
        fd = self.fileno()
        self._fd = _MOVED
        return fd

    def clone(self) -> File:
        """A second File of the same open file, with a descriptor of its own (dup(2), close-on-exec).

        Raises:
            ValueError: this File is empty.
            OSError: no descriptor is left.
        """
        return File(os.dup(self.fileno()))

    def close(self) -> None:
        """Close the descriptor, if the File still owns one."""
        if self._fd >= 0:
            fd = self.take_fd()
            self._fd = _CLOSED
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._fd >= 0:
            text = f"{self!r} was dropped without close() or take_fd()"
            self.close()
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        if self._fd < 0:
            return "File(closed)" if self._fd == _CLOSED else "File(taken or sent)"
        return f"File({self._fd}, brought by {self.brought_by})" if self.brought_by else f"File({self._fd})"


class Duplicate(File):
    """A second descriptor of a file with another owner, made to be sent. Dropping it gives no warning."""

    __slots__ = ()

    def __init__(self, fd: int) -> None:
        """Duplicate `fd`, which its owner keeps.

        Raises:
            OSError: no descriptor is left.
        """
        super().__init__(os.dup(fd))

    def __del__(self) -> None:
        self.close()
