"""Owns the service of Clock.ipc: `python -m tests.ipclib.clock_service SOCKET INTERFACE`, or its class alone.
Must not know what is tested.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import ipcc
from corelib import EventLoop, Promise, Timer, deferred_invoke
from ipclib import File, HandlerError, MultiServer


class ClockHandlers:
    """Serves every message of ClockServer but not_handled."""

    total = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.numbers: list[int] = []
        self.levels: list[int] = []
        self.promises: dict[int, Promise[int]] = {}
        self.died = 0

    def add(self, a: int, b: int) -> int:
        return a + b

    def echo_string(self, text: str) -> str:
        return text

    def echo_bytes(self, data: bytes) -> bytes:
        return data

    def echo_names(self, names: list[str]) -> list[str]:
        return names

    def divide(self, a: int, b: int) -> tuple[int, int]:
        return divmod(a, b)

    def nothing(self) -> None:
        pass

    def slow(self, ms: int, ticks: int) -> Promise[int]:
        for number in range(ticks):
            self.async_tick(number)
        promise: Promise[int] = Promise()
        Timer.create_single_shot(ms, lambda: promise.resolve(ms)).start()
        return promise

    def sleep(self, ms: int) -> None:
        time.sleep(ms / 1000)

    def held(self, value: int) -> Promise[int]:
        self.promises[value] = Promise()
        return self.promises[value]

    def release(self, value: int) -> None:
        self.promises.pop(value).resolve(value)

    def descend(self, depth: int) -> int:
        return 1 + self.ascend(depth - 1) if depth > 0 else 0

    def cross(self, depth: int) -> None:
        deferred_invoke(lambda: self.levels.append(self.ascend(depth)))

    def crossed(self) -> list[int]:
        return self.levels

    def log(self, number: int, text: str) -> None:
        self.numbers.append(number)
        type(self).total += 1

    def total_logged(self) -> int:
        return self.total

    def logged(self) -> list[int]:
        return self.numbers

    def fail(self, text: str, on_purpose: bool) -> None:
        raise HandlerError(text) if on_purpose else ZeroDivisionError(text)

    def take_files(self, files: list[File], fail: bool) -> list[bytes]:
        if fail:
            raise HandlerError("as asked")
        contents = []
        for file in files:
            with file:
                contents.append(os.pread(file.fileno(), 100, 0))
        return contents

    def give_file(self, content: bytes) -> File:
        fd = os.memfd_create("given")
        os.write(fd, content)
        return File(fd)

    def die(self) -> None:
        self.died += 1


def handlers(clock: Any) -> Any:
    """A ConnectionFromClient with these handlers, of an interface that was loaded."""

    class Clock(ClockHandlers, clock.ConnectionFromClient):  # type: ignore[misc]
        total = 0

    return Clock


def main() -> int:
    socket_path, interface = sys.argv[1:]
    with EventLoop() as loop:
        server = MultiServer(handlers(ipcc.load(interface)), socket_path)
        print("ready", flush=True)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
