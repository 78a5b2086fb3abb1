"""Owns the service of Files.ipc, in a process of its own: `python -m tests.ipclib.files_service SOCKET`.
Must not know what is tested.
"""

from __future__ import annotations

import builtins
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import ipcc
from corelib import EventLoop, Promise, Timer
from ipclib import AnonymousBuffer, File, HandlerError, MultiServer, Wait
from tests.ipclib import owned_files

INTERFACE = Path(__file__).parent / "Files.ipc"


class FilesHandlers:
    """Serves every message of FilesServer but the two without a handler."""

    noted_faults: list[str]
    noted_leaks: list[str]

    def echo(self, *values: Any) -> Any:
        return values

    def give(self, count: int, ballast: bytes) -> tuple[list[File], bytes]:
        return [owned_files.make(b"%d" % number) for number in range(count)], ballast

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
        return [owned_files.make() for _ in range(count)], 256

    def hang_up(self) -> None:
        self.ask(wait=Wait.BLOCK)
        self.shutdown()

    def share(self, buffer: AnonymousBuffer, number: int) -> tuple[AnonymousBuffer, int]:
        return buffer, number

    def open_fds(self) -> int:
        return owned_files.count_open()

    def faults(self) -> list[str]:
        return self.noted_faults

    def leaks(self) -> list[str]:
        noted = list(self.noted_leaks)
        self.noted_leaks.clear()
        return noted


def handlers(files_ipc: Any, faults: list[str], leaks: list[str]) -> Any:
    """A ConnectionFromClient with these handlers."""

    class Files(FilesHandlers, files_ipc.ConnectionFromClient):  # type: ignore[misc]
        noted_faults = faults
        noted_leaks = leaks

    return Files


def main() -> int:
    logging.disable()
    faults = owned_files.watch(builtins)  # type: ignore[arg-type]
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
