"""Owns the files behind values: those whose content a user passes as `@PATH`, and those that --save writes.
Must not know types, or how values are written.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from typing import Protocol

from ipclib import AnonymousBuffer, File, gfx
from ipctools.misfit import Misfit


class Closable(Protocol):
    """A File, a buffer or a bitmap."""

    def close(self) -> None:
        """Close it; twice is fine."""


class Inputs:
    """The files that values are made from, and what must be closed when a call is over."""

    def __init__(self) -> None:
        self._made = ExitStack()

    def keep(self, made: Closable) -> None:
        """Close this with the others."""
        self._made.callback(made.close)

    def content(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            Misfit: it cannot be read.
        """
        try:
            with open(path, "rb") as file:
                return file.read()
        except (OSError, ValueError) as error:
            raise Misfit(_unreadable(path, error)) from error

    def opened(self, path: str, mode: str) -> File:
        """Open a file to be sent.

        Raises:
            Misfit: it cannot be opened.
        """
        try:
            file = File.open(path, mode)
        except (OSError, ValueError) as error:
            raise Misfit(_unreadable(path, error)) from error
        self.keep(file)
        return file

    def picture(self, path: str) -> gfx.ShareableBitmap:
        """Read a PNG file.

        Raises:
            Misfit: it cannot be read.
        """
        try:
            bitmap = gfx.ShareableBitmap.load_png(path)
        except (OSError, ValueError, ModuleNotFoundError) as error:
            raise Misfit(_unreadable(path, error)) from error
        self.keep(bitmap)
        return bitmap

    def buffer(self, content: bytes) -> AnonymousBuffer:
        """Return shared memory with this content."""
        buffer = AnonymousBuffer.create(len(content))
        buffer.data[:] = content
        self.keep(buffer)
        return buffer

    def close(self) -> None:
        """Close what was made and is still open."""
        self._made.close()


class Unread(Inputs):
    """Reads nothing: it shows only whether a value could be made."""

    def content(self, path: str) -> bytes:
        """Return no bytes."""
        return b""

    def opened(self, path: str, mode: str) -> File:
        """Open nothing of the user's."""
        return super().opened(os.devnull, "r")

    def picture(self, path: str) -> gfx.ShareableBitmap:
        """Return no picture."""
        return gfx.ShareableBitmap()


def _unreadable(path: str, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot read '{path}': {reason}"


class Outputs:
    """The folder in which the contents of results are saved; nothing is saved without one."""

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder

    @property
    def saves(self) -> bool:
        """Whether there is a folder."""
        return self._folder is not None

    def save(self, name: str, content: bytes) -> str:
        """Write a new file, and return its path.

        Raises:
            Misfit: it cannot be written.
        """
        folder = self._folder or "."
        stem = re.sub(r"[^\w.]+", "-", name).strip("-.") or "value"
        number = 1
        while True:
            path = os.path.join(folder, stem if number == 1 else f"{stem}-{number}")
            try:
                os.makedirs(folder, exist_ok=True)
                with open(path, "xb") as file:
                    file.write(content)
            except FileExistsError:
                number += 1
            except OSError as error:
                raise Misfit(f"cannot write '{path}': {error.strerror}") from error
            else:
                return path
