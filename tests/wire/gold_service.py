"""The service of Gold.ipc, in a process of its own: `python gold_service.py SOCKET`.

It echoes as the C++ original does, and tells on standard output what each handler got.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipcc
from corelib import EventLoop
from ipclib import AnonymousBuffer, File, MultiServer, gfx

HERE = Path(__file__).parent


def load() -> Any:
    """Gold.ipc, compiled."""
    return ipcc.load(HERE / "Gold.ipc", types=[str(HERE / "gold_types.py")])


def read(file: File) -> bytes:
    """All that is in a file, which stays open."""
    return os.pread(file.fileno(), 1 << 20, 0)


def consume(file: File) -> bytes:
    """All that is in a file, which is closed."""
    with file:
        return read(file)


def make(content: bytes) -> File:
    """A file with this content."""
    file = File(os.memfd_create("gold", os.MFD_CLOEXEC))
    os.write(file.fileno(), content)
    return file


def shown(value: Any) -> str:
    """A value as text, in which two are the same only when type and content are; files by their content."""
    if isinstance(value, File):
        return f"File({read(value)!r})"
    if isinstance(value, AnonymousBuffer):
        return f"AnonymousBuffer({bytes(value.data)!r})" if value.is_valid else "AnonymousBuffer()"
    if isinstance(value, gfx.ShareableBitmap):
        return f"{value!r} {bytes(value.pixels).hex()}" if value.is_valid else repr(value)
    return repr(value)


def shown_message(name: str, values: tuple[Any, ...]) -> str:
    """One line for a message that a handler got; a digest of what is long, for pipes hold little."""
    text = f"{name}({', '.join(map(shown, values))})"
    return text if len(text) < 4096 else f"{name}: {hashlib.sha256(text.encode()).hexdigest()}"


def _telling(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same handler, which first prints what it got."""

    def told(self: Any, *values: Any) -> Any:
        print(shown_message(name, values), flush=True)
        return handler(self, *values)

    return told


def handlers(gold: Any) -> Any:
    """A ConnectionFromClient that serves every message of GoldServer."""

    class Gold(gold.ConnectionFromClient):  # type: ignore[misc]
        logged = 0

        def add(self, a: int, b: int) -> int:
            return a + b

        def read_buffer(self, buffer: AnonymousBuffer) -> bytes:
            return bytes(buffer.data) if buffer.is_valid else b""

        def make_buffer(self, data: bytes) -> AnonymousBuffer:
            buffer = AnonymousBuffer.create(len(data))
            buffer.data[:] = data
            return buffer

        def read_file(self, file: File) -> bytes:
            return consume(file)

        def make_file(self, data: bytes) -> File:
            return make(data)

        def maybe_read_file(self, file: File | None) -> bytes | None:
            return None if file is None else consume(file)

        def maybe_make_file(self, data: bytes | None) -> File | None:
            return None if data is None else make(data)

        def concat_files(self, first: File, separator: bytes, second: File) -> bytes:
            return consume(first) + separator + consume(second)

        def no_arguments(self) -> int:
            return 42

        def no_result(self, value: int) -> None:
            self.async_notify(value, str(self.ask_client(value)))

        def nothing(self) -> None:
            pass

        def log(self, id: int, text: str) -> None:
            self.logged += 1

        def poke(self) -> None:
            pass

        def start_notifications(self, count: int) -> None:
            for seq in range(count):
                self.async_notify(seq, f"ding {seq}")
            self.async_finished()

        def get_log_count(self) -> int:
            return self.logged

    def echo(_self: Gold, *values: Any) -> Any:
        return values[0] if len(values) == 1 else values

    for message in gold.GoldServer._messages:
        handler = getattr(message, "_handler", "")
        if handler.startswith("echo_") or handler == "two_results":
            setattr(Gold, handler, echo)
    for message in gold.GoldServer._messages:
        handler = getattr(message, "_handler", "")
        if handler:
            setattr(Gold, handler, _telling(handler, getattr(Gold, handler)))
    return Gold


def main() -> int:
    with EventLoop() as loop:
        server = MultiServer(handlers(load()), sys.argv[1])
        print("ready", flush=True)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
