"""Owns what the tests of ownership share: files to send, and a watch over who owns and closes what.
Must not know connections.
"""

from __future__ import annotations

import gc
import os
from typing import Any, Protocol

from ipclib import File


class Patches(Protocol):
    """Puts something else in an attribute's place: pytest's monkeypatch, or setattr()."""

    def setattr(self, target: object, name: str, value: object) -> None: ...


def make(content: bytes = b"content") -> File:
    """A file with this content."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(fd, content)
    return File(fd)


def content_of(file: File) -> bytes:
    return os.pread(file.fileno(), 1000, 0)


def count_open() -> int:
    """The descriptors of this process."""
    gc.collect()  # What other tests left.
    return len(os.listdir("/proc/self/fd"))


def watch(patches: Patches) -> list[str]:
    """From now on, faults are noted in the list: a number closed twice, or owned by two Files at once."""
    faults: list[str] = []
    owned: set[int] = set()
    close, make_file, take = os.close, File.__init__, File.take_fd

    def checked_close(fd: int) -> None:
        try:
            close(fd)
        except OSError as error:
            faults.append(f"close({fd}): {error.strerror}")
            raise

    def noted_init(self: File, *arguments: Any) -> None:
        make_file(self, *arguments)
        if self.fileno() in owned:
            faults.append(f"{self.fileno()} has two owners")
        owned.add(self.fileno())

    def noted_take(self: File) -> int:
        fd = take(self)
        owned.discard(fd)
        return fd

    patches.setattr(os, "close", checked_close)
    patches.setattr(File, "__init__", noted_init)
    patches.setattr(File, "take_fd", noted_take)
    return faults
