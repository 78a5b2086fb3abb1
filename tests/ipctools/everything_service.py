"""Owns a service of Everything.ipc, `python everything_service.py SOCKET`, which does what the text `a` says.
Must not know the tools.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import ipcc
from corelib import EventLoop, Promise
from ipclib import File, HandlerError, MultiServer

EVERYTHING = ipcc.load(Path(__file__).parent / "Everything.ipc")

_never: list[Promise[int]] = []
"""Promises that are not settled, and would be if they were dropped."""


class Client(EVERYTHING.ConnectionFromClient):  # type: ignore[name-defined, misc]
    """A client, which is greeted at once, and told what it posts."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.socket = arguments[0]
        self.async_told("welcome")
        gift = File(os.memfd_create("gift", os.MFD_CLOEXEC))
        os.write(gift.fileno(), b"a gift")
        self.async_given(gift)

    def texts(self, a: str, b: str, c: bytes, d: bytes, e: object, f: None) -> Any:
        print(f"texts {a}", flush=True)
        match a:
            case "die":
                os._exit(0)
            case "hang":
                _never.append(Promise())
                return _never[-1]
            case "refuse":
                raise HandlerError("no such \x1b[31mtext")
            case "fail":
                raise ValueError("a mistake of the service")
            case "ask":
                answer = self.ask(len(b))
                return answer.answer
            case "garbage":
                self.socket.send(b"\xff" * 20)
                _never.append(Promise())
                return _never[-1]
            case "disconnect":
                self.shutdown()
        return len(a)

    def numbers(self, *values: object) -> None:
        self.async_told(" ".join(map(str, values)))

    def files(self, a: File, b: File | None, c: list[File]) -> File:
        for file in (b, *c):
            if file is not None:
                file.close()
        return a


def main() -> int:
    with EventLoop() as loop:
        server = MultiServer(Client, sys.argv[1])
        print("ready", flush=True)
        code = loop.exec()
        server.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
