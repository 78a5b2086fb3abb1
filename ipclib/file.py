"""A file descriptor with one owner, as messages carry it.

Knows descriptors only.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self


class File:
    """Owns one file descriptor and closes it exactly once.

    Sending a File moves it: afterwards it holds nothing. A File that a handler or a caller
    received is theirs: they close it, take its descriptor, or drop the last reference.
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        """Take over `fd`. Raises TypeError or ValueError when it cannot be a descriptor."""
        self._fd = -1
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
        self.close()

    def __repr__(self) -> str:
        return f"File({self._fd})" if self._fd >= 0 else "File(empty)"
