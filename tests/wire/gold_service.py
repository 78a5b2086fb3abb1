"""Owns the service of Gold.ipc, `python gold_service.py SOCKET`, which echoes as the C++ original does.
Must not know the tests: it prints the message that each handler gets."""

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


def read(file: File) -> bytes:
    """Return the content of a file, and leave it open."""
    return os.pread(file.fileno(), 1 << 20, 0)


def consume(file: File) -> bytes:
    """Return the content of a file, and close it."""
    with file:
        return read(file)


def make(content: bytes) -> File:
    """Make a file with this content."""
    file = File(os.memfd_create("gold", os.MFD_CLOEXEC))
    os.write(file.fileno(), content)
    return file


def shown(value: Any) -> str:
    """Return a text that is the same for two values only if their types and contents are."""
    if isinstance(value, File):
        return f"File({read(value)!r})"
    if isinstance(value, AnonymousBuffer):
        return f"AnonymousBuffer({bytes(value.data)!r})" if value.is_valid else "AnonymousBuffer()"
    if isinstance(value, gfx.ShareableBitmap):
        return f"{value!r} {bytes(value.pixels).hex()}" if value.is_valid else repr(value)
    return repr(value)


def shown_message(name: str, values: tuple[Any, ...]) -> str:
    """Return one line for a message; a digest if it is long, because a pipe holds only 64 KiB."""
    text = f"{name}({', '.join(map(shown, values))})"
    return text if len(text) < 4096 else f"{name}: {hashlib.sha256(text.encode()).hexdigest()}"


def _printing(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler that first prints its message."""

    def handle(self: Any, *values: Any) -> Any:
        print(shown_message(name, values), flush=True)
        return handler(self, *values)

    return handle


class Handlers:
    """The handlers of GoldServer, except those that echo their values."""

    async_notify: Any
    """Posts to the client; the connection class brings it, as the next two."""
    async_finished: Any
    ask_client: Any
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


def _echo(_self: Handlers, *values: Any) -> Any:
    return values[0] if len(values) == 1 else values


def connection_class() -> Any:
    """Return a ConnectionFromClient that serves, and prints, every message of GoldServer."""
    gold = ipcc.load(HERE / "Gold.ipc", types=[str(HERE / "gold_types.py")])
    names = [name for name in vars(gold.GoldServerStub) if not name.startswith("_")]
    handlers = {name: _printing(name, getattr(Handlers, name, _echo)) for name in names}
    return type("Gold", (Handlers, gold.ConnectionFromClient), handlers)


def main() -> int:
    with EventLoop() as loop:
        server = MultiServer(connection_class(), sys.argv[1])
        print("ready", flush=True)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
