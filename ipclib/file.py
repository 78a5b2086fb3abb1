"""A file descriptor with one owner, as messages carry it.

Knows descriptors only.
"""

from __future__ import annotations

import os
import warnings
from types import TracebackType
from typing import Self


class File:
    """Owns one file descriptor and closes it exactly once.

    Sending a File moves it: afterwards it holds nothing. A File that a handler or a caller
    received is theirs: they close it, take its descriptor, or send it on. Dropping the last reference
    closes too, with a ResourceWarning as for Python's own files; it names the message that brought the File.
    """

    __slots__ = ("_fd", "brought_by")

    def __init__(self, fd: int) -> None:
        """Take over `fd`. Raises TypeError or ValueError when it cannot be a descriptor."""
        self._fd = -1
        self.brought_by = ""
        """The message that it came with, by name; empty when this process made it."""
        if not isinstance(fd, int) or isinstance(fd, bool):
            raise TypeError(
                f"File takes a descriptor number, not {fd!r}; a Python file has .fileno(), to be dup'ed"
            )
        if fd < 0:
            raise ValueError(f"File takes an open descriptor, not {fd}")
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor, still owned. Raises ValueError when it was closed, taken or sent."""
        if self._fd < 0:
            raise ValueError("this File is empty: it was closed, taken or sent; send a clone() to keep it")
        return self._fd

    def take_fd(self) -> int:
        """The descriptor, now the caller's to close."""
        fd = self.fileno()
        self._fd = -1
        return fd

    def clone(self) -> File:
        """A second File on the same open file (dup, close-on-exec)."""
        return File(os.dup(self.fileno()))

    def close(self) -> None:
        """Close the descriptor; nothing happens when it is gone already."""
        if self._fd >= 0:
            os.close(self.take_fd())

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
            return "File(empty)"
        return f"File({self._fd}, brought by {self.brought_by})" if self.brought_by else f"File({self._fd})"


class Duplicate(File):
    """A second descriptor of what somebody else owns, made to be sent; to drop it is no leak."""

    __slots__ = ()

    def __init__(self, fd: int) -> None:
        """Duplicate `fd`, which stays its owner's. OSError when there is no descriptor left."""
        super().__init__(os.dup(fd))

    def __del__(self) -> None:
        self.close()
