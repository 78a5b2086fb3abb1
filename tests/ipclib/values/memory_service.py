"""Owns the service of Memory.ipc, a process of its own: `python -m tests.ipclib.values.memory_service PATH`.
A further argument lets it map memory that cannot be sealed.
Must not know what is tested.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import ipcc
from corelib import EventLoop
from ipclib import AnonymousBuffer, Limits, MultiServer, gfx

INTERFACE = Path(__file__).parent / "Memory.ipc"


def handlers(memory: Any) -> Any:
    """A ConnectionFromClient that serves every message of MemoryServer."""

    class Memory(memory.ConnectionFromClient):  # type: ignore[misc]
        def read(self, buffer: AnonymousBuffer, times: int) -> int:
            return sum(len(bytes(buffer.data)) for _ in range(times))

        def inode(self, buffer: AnonymousBuffer) -> tuple[int, int]:
            return os.fstat(buffer.fd).st_ino, buffer.size

        def mark(self, buffer: AnonymousBuffer, first: int, last: int) -> None:
            buffer.data[0] = first
            buffer.data[-1] = last

        def paint(self, bitmap: gfx.ShareableBitmap, value: int) -> bytes:
            before = bytes(bitmap.pixels)
            bitmap.pixels[:] = bytes([value]) * len(before)
            return before

    return Memory


def main() -> int:
    with EventLoop() as loop:
        limits = Limits(maps_unsealed_memory=len(sys.argv) > 2)
        server = MultiServer(handlers(ipcc.load(INTERFACE)), sys.argv[1], limits=limits)
        print("ready", flush=True)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
