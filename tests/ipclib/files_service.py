"""The service of Files.ipc, in a process of its own: `python files_service.py SOCKET`."""

from __future__ import annotations

import builtins
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import descriptors

import ipcc
from corelib import EventLoop, Promise, Timer
from ipclib import AnonymousBuffer, File, HandlerError, MultiServer, Wait

INTERFACE = Path(__file__).parent / "Files.ipc"


def handlers(files_ipc: Any, faults: list[str], leaks: list[str]) -> Any:
    """A ConnectionFromClient that serves every message of FilesServer but the two without a handler."""

    class Files(files_ipc.ConnectionFromClient):  # type: ignore[misc]
        def echo(self, *values: Any) -> Any:
            return values

        def give(self, count: int, ballast: bytes) -> tuple[list[File], bytes]:
            return [descriptors.make(b"%d" % number) for number in range(count)], ballast

        def ignore(self, files: list[File]) -> None:
            pass

        def post(self, files: list[File], ballast: bytes) -> None:
            pass

        def refuse(self, files: list[File]) -> None:
            raise HandlerError("as asked")

        def post_refused(self, files: list[File]) -> None:
            raise ZeroDivisionError

        def give_late(self, files: list[File], ms: int) -> Promise[File]:
            for file in files[1:]:
                file.close()
            promise: Promise[File] = Promise()
            Timer.create_single_shot(ms, lambda: promise.resolve(files[0])).start()
            return promise

        def answer_badly(self, count: int) -> tuple[list[File], int]:
            return [descriptors.make() for _ in range(count)], 256

        def hang_up(self) -> None:
            self.ask(wait=Wait.BLOCK)
            self.shutdown()

        def share(self, buffer: AnonymousBuffer, number: int) -> tuple[AnonymousBuffer, int]:
            return buffer, number

        def open_fds(self) -> int:
            return descriptors.count_open()

        def faults(self) -> list[str]:
            return faults

        def leaks(self) -> list[str]:
            noted = list(leaks)
            leaks.clear()
            return noted

    return Files


def main() -> int:
    logging.disable()
    faults = descriptors.watch(builtins)  # type: ignore[arg-type]
    leaks: list[str] = []
    warnings.simplefilter("always", ResourceWarning)
    warnings.showwarning = lambda message, *_: leaks.append(str(message))  # type: ignore[assignment]
    with EventLoop() as loop:
        server = MultiServer(handlers(ipcc.load(INTERFACE), faults, leaks), sys.argv[1])
        print("ready", flush=True)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
